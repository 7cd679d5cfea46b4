import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compareKeys, type Key, keyBefore, keyOfStreamId, streamId } from '../../src/replay/key.ts'

const key: fc.Arbitrary<Key> = fc.record(
  {
    micros: fc.integer({ min: 1, max: 4e15 }),
    partition: fc.integer({ min: 0, max: 2 ** 22 - 1 }),
    offset: fc.integer({ min: 0, max: 2 ** 42 - 1 }),
  },
  { noNullPrototype: true },
)

/** As Redis compares ids. */
function compareIds(a: string, b: string): number {
  const [ah, al] = a.split('-').map(BigInt) as [bigint, bigint]
  const [bh, bl] = b.split('-').map(BigInt) as [bigint, bigint]
  const order = ah === bh ? al - bl : ah - bh
  return order < 0n ? -1 : order > 0n ? 1 : 0
}

test('a key comes back from the id that it makes', () => {
  fc.assert(fc.property(key, (one) => assert.deepEqual(keyOfStreamId(streamId(one)), one)))
})

test('ids go in the order of their keys', () => {
  const near = fc
    .tuple(key, key, fc.boolean())
    .map(([a, b, same]) => [a, same ? { ...b, micros: a.micros } : b] as const)
  fc.assert(
    fc.property(near, ([a, b]) => assert.equal(compareIds(streamId(a), streamId(b)), Math.sign(compareKeys(a, b)))),
  )
})

test('before a time lies every event of an earlier one, and none of that time', () => {
  fc.assert(
    fc.property(key, fc.integer({ min: 2, max: 4e15 }), (one, micros) => {
      assert.equal(compareKeys(one, keyBefore(micros)) > 0, one.micros >= micros)
    }),
  )
})
