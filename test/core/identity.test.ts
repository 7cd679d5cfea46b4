/** The key of an event, by known answers. That the database computes the same is shown in test/schema/identity.test.ts. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import * as uuid from 'uuid'
import { dayMax, dayMs } from '../../src/core/day.ts'
import { eventId, formatUuid, writeEventId } from '../../src/core/identity.ts'

const msMax = (dayMax + 1) * dayMs - 1

/** Computed once by other means: printf, sha256sum, and pencil. */
const known: [ms: number, source: string, id: string, key: string][] = [
  [Date.UTC(2026, 10, 21, 10, 0, 0, 123), '/a', 'x', '01a1fd8c-697b-716c-830b-6a2f0d4adf9c'],
]
for (const [ms, source, id, key] of known)
  test(`${source} ${id} at ${ms}`, () => assert.equal(eventId(ms, source, id), key))

const text = fc.string({ unit: 'grapheme' }).filter((value) => value.isWellFormed())
const ms = fc.oneof(
  fc.nat(2 ** 32 + 5),
  fc.integer({ min: 0, max: msMax }),
  fc.constantFrom(0, 2 ** 32 - 1, 2 ** 32, msMax),
)

test('a UUID of version 7 whose time is the millisecond and whose rest is the hash, bit by bit', () => {
  fc.assert(
    fc.property(ms, text, text, (ms, source, id) => {
      const key = eventId(ms, source, id)
      assert.ok(uuid.validate(key))
      assert.equal(uuid.version(key), 7)
      const hex = key.replaceAll('-', '')
      assert.equal(Number.parseInt(hex.slice(0, 12), 16), ms)
      const digest = createHash('sha256').update(`${source}\n${id}`, 'utf8').digest()
      const wanted = [...digest.subarray(0, 10)]
      wanted[0] = ((wanted[0] as number) & 0x0f) | 0x70
      wanted[2] = ((wanted[2] as number) & 0x3f) | 0x80
      assert.equal(hex.slice(12), Buffer.from(wanted).toString('hex'))
    }),
  )
})

test('keys sort as their times do, and differ where source or id differ, also where a part moves from one to the other', () => {
  fc.assert(
    fc.property(ms, ms, text, text, (one, other, source, id) => {
      const keys = [eventId(one, source, id), eventId(other, source, id)] as const
      if (one !== other) assert.equal(keys[0] < keys[1], one < other)
      assert.equal(eventId(one, source, id), keys[0])
      assert.notEqual(eventId(one, source, `${id}x`), keys[0])
      assert.notEqual(eventId(one, `${source}${id}y`, ''), eventId(one, source, `${id}y`))
    }),
  )
})

test('written in the middle of a buffer it touches its 16 bytes only', () => {
  const bytes = new Uint8Array(40).fill(0xee)
  writeEventId(bytes, 12, 5, 'a', 'b')
  assert.deepEqual([...bytes.subarray(0, 12), ...bytes.subarray(28)], Array(24).fill(0xee))
  assert.equal(formatUuid(bytes, 12), eventId(5, 'a', 'b'))
  assert.equal(formatUuid(bytes.subarray(12)), eventId(5, 'a', 'b'))
})
