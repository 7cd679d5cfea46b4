import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Arrivals, arrivalsMax } from '../../src/core/arrivals.ts'

const at = (nextOffset: number, timestampMs: number, takenMs = timestampMs + 5) => ({
  nextOffset,
  timestampMs,
  takenMs,
})

test('the oldest record behind a mark is as old as the arrival it came in', () => {
  const arrivals = new Arrivals()
  arrivals.push(at(10, 1000), 1009)
  arrivals.push(at(20, 2000), 2009)
  assert.deepEqual(
    [0, 9, 10, 19].map((mark) => arrivals.oldestMs(mark)),
    [1000, 1000, 2000, 2000],
  )
  assert.equal(arrivals.beyond(10)?.takenMs, 2005)
  arrivals.forget(10)
  assert.equal(arrivals.size, 1)
  assert.equal(arrivals.oldestMs(0), 2000)
})

test('what is still in Kafka came after the last one taken in, and after Kafka was last seen empty', () => {
  const arrivals = new Arrivals()
  assert.equal(arrivals.oldestMs(0), null, 'nothing is known')
  arrivals.push(at(10, 1000), 1009)
  assert.equal(arrivals.oldestMs(10), 1009)
  arrivals.caughtUp(5000)
  assert.equal(arrivals.oldestMs(10), 5000)
  arrivals.forget(10)
  assert.equal(arrivals.beyond(10), null)
})

test('memory is bounded, an age is never told too small, and is exact as long as nothing had to be merged', () => {
  const steps = fc.array(fc.record({ offsets: fc.integer({ min: 1, max: 9 }), ms: fc.integer({ min: 0, max: 50 }) }), {
    minLength: 1,
    maxLength: 3 * arrivalsMax,
    size: 'max',
  })
  fc.assert(
    fc.property(steps, fc.double({ min: 0, max: 1, noNaN: true }), fc.boolean(), (given, share, forgets) => {
      const arrivals = new Arrivals()
      const all: { first: number; next: number; ms: number }[] = []
      let next = 0
      let ms = 1000
      for (const step of given) {
        all.push({ first: next, next: next + step.offsets, ms })
        next += step.offsets
        arrivals.push(at(next, ms), ms)
        ms += step.ms
      }
      const mark = Math.floor(share * (next - 1))
      if (forgets) arrivals.forget(mark)
      assert.ok(arrivals.size <= arrivalsMax)
      const truth = all.find(({ next }) => next > mark)?.ms ?? 0
      const told = arrivals.oldestMs(mark) ?? Number.POSITIVE_INFINITY
      assert.ok(told <= truth)
      if (given.length <= arrivalsMax) assert.equal(told, truth)
    }),
    { numRuns: 60 },
  )
})
