import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { heatLimits, heatOf, heatSteps, waiting, worstOf } from '../../src/live/partitions.ts'
import { partition } from './picture.ts'

test('heat goes up in steps of ten', () => {
  assert.deepEqual([0, 99, 100, 999, 1000, 12_345, 1e5, 1e6, 1e12].map(heatOf), [0, 0, 1, 1, 2, 3, 4, 5, 5])
  assert.equal(heatSteps, heatLimits.length + 1)
  fc.assert(
    fc.property(fc.nat(), fc.nat(), (one, more) => {
      assert.ok(heatOf(one) <= heatOf(one + more))
      assert.ok(heatOf(one) >= 0 && heatOf(one) < heatSteps)
    }),
  )
})

test('the worst are the stopped, then whoever is furthest behind', () => {
  const stopped = partition(9, 0, { stopped: { code: 'STREAM_LOST', reason: 'gone' } })
  const all = [partition(1, 5), partition(2, 500), stopped, partition(3, 0)]
  assert.deepEqual(
    worstOf(all).map((one) => one.partition),
    [9, 2, 1, 3],
  )
  assert.equal(waiting(all, 'persist'), 505)
  assert.equal(waiting(all, 'consume'), 0)
  assert.equal(waiting([partition(1, 5, { behind: null, marks: null })], 'persist'), 0)
})
