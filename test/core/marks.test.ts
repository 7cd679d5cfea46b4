import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { FatalError } from '../../src/core/errors.ts'
import { Marks, rooms } from '../../src/core/marks.ts'

const move = fc.record({ room: fc.constantFrom(...rooms), by: fc.integer({ min: -3, max: 8 }) })

test('after any attempts the law holds, marks never went back, and every refusal names both sides', () => {
  fc.assert(
    fc.property(fc.nat(1000), fc.array(move, { maxLength: 60 }), (start, moves) => {
      const marks = new Marks(7, start)
      for (const { room, by } of moves) {
        const before = marks.all()
        const to = before[room] + by
        const index = rooms.indexOf(room)
        const limit = index === 0 ? Number.POSITIVE_INFINITY : before[rooms[index - 1] as 'consume']
        if (by >= 0 && to <= limit) {
          marks.advance(room, to)
          assert.deepEqual(marks.all(), { ...before, [room]: to })
        } else {
          assert.throws(
            () => marks.advance(room, to),
            (error: unknown) =>
              error instanceof FatalError &&
              error.code === 'BUG' &&
              error.message.includes('partition 7') &&
              error.message.includes(room) &&
              error.message.includes(String(to)) &&
              error.message.includes(String(by < 0 ? before[room] : limit)),
          )
          assert.deepEqual(marks.all(), before, 'a refusal changes nothing')
        }
        const { consume, decode, persist, publish, settle } = marks.all()
        assert.ok(settle <= publish && publish <= persist && persist <= decode && decode <= consume)
      }
    }),
  )
})

test('the rooms are named so that their alphabetical order is the flow', () => {
  assert.deepEqual([...rooms].sort(), [...rooms])
})
