import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { LatencyHistogram } from '../../src/core/latency.ts'

const values = fc.array(fc.double({ min: 0.5, max: 120_000, noNaN: true, noDefaultInfinity: true }), {
  minLength: 1,
  maxLength: 400,
})
const of = (all: readonly number[]) => {
  const histogram = new LatencyHistogram()
  for (const value of all) histogram.record(value)
  return histogram
}

test('percentiles are within 5 % of the exact ones', () => {
  fc.assert(
    fc.property(values, fc.double({ min: 0, max: 1, noNaN: true }), (all, p) => {
      const exact = [...all].sort((a, b) => a - b)[Math.max(1, Math.ceil(p * all.length)) - 1]!
      const told = of(all).percentile(p)
      assert(Math.abs(told - exact) <= 0.05 * exact, `${told} for ${exact}`)
    }),
  )
})

test('a window is two snapshots subtracted, and merging is adding', () => {
  fc.assert(
    fc.property(values, values, (before, after) => {
      const histogram = of(before)
      const earlier = JSON.parse(JSON.stringify(histogram.snapshot()))
      histogram.merge(of(after))
      const window = histogram.since(earlier)
      assert.deepEqual(window.snapshot().counts, of(after).snapshot().counts)
      assert.equal(window.count, after.length)
      assert.deepEqual(LatencyHistogram.from(histogram.snapshot()).snapshot(), histogram.snapshot())
    }),
  )
})

test('an edge belongs to the bucket below it, as `le` says', () => {
  const histogram = of([10, 10, 10.001, 5])
  assert.equal(histogram.countUpTo(10), 3)
  assert.equal(histogram.countUpTo(5), 1)
})

test('clocks that go back, nonsense and eternities are counted, not lost', () => {
  const histogram = of([-5, 0, Number.NaN, 1e9, Number.POSITIVE_INFINITY])
  assert.equal(histogram.count, 5)
  assert.equal(histogram.countUpTo(0.5), 3)
  assert.equal(histogram.percentile(1), 131_072)
  assert(Number.isNaN(new LatencyHistogram().percentile(0.5)))
})

test('ages of a batch', () => {
  const histogram = new LatencyHistogram()
  histogram.recordAges(1000, Float64Array.of(0, 990, 990, 996), 1, 4)
  assert.equal(histogram.count, 3)
  assert.equal(histogram.countUpTo(4), 1)
  assert.equal(histogram.countUpTo(10), 3)
})
