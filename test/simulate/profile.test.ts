import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createProfile, type ProfilePlan, profileNames } from '../../src/simulate/profile.ts'

const plan: fc.Arbitrary<ProfilePlan> = fc.record({
  name: fc.constantFrom(...profileNames),
  rate: fc.double({ min: 0.5, max: 50_000, noNaN: true }),
  peak: fc.double({ min: 0.5, max: 200_000, noNaN: true }),
  periodMs: fc.double({ min: 100, max: 600_000, noNaN: true }),
})

test('property: times never go back, and record n is due at the first moment by which n + 1 are', () => {
  fc.assert(
    fc.property(plan, fc.nat(500_000), (one, from) => {
      const profile = createProfile(one)
      let before = Number.NEGATIVE_INFINITY
      for (let index = from; index < from + 50; index++) {
        const dueMs = profile.dueMs(index)
        assert.ok(dueMs >= before, `${index}: ${dueMs} after ${before}`)
        before = dueMs
        const slack = 1e-9 * Math.max(1, dueMs)
        assert.ok(profile.dueCount(dueMs + slack) >= index + 1, `${index} at ${dueMs}`)
        if (dueMs > slack) assert.ok(profile.dueCount(dueMs - slack) <= index + 1)
      }
    }),
    { numRuns: 300 },
  )
})

test('property: what is due between two moments is the rate between them, added up', () => {
  const moment = fc.double({ min: 0, max: 2_000_000, noNaN: true })
  fc.assert(
    fc.property(plan, moment, fc.double({ min: 1, max: 20_000, noNaN: true }), (one, from, length) => {
      const profile = createProfile(one)
      const steps = 2000
      let sum = 0
      for (let step = 0; step < steps; step++) {
        sum += (profile.rateAt(from + ((step + 0.5) * length) / steps) * length) / steps / 1000
      }
      const counted = profile.dueCount(from + length) - profile.dueCount(from)
      // A spike's edge may fall inside of a step.
      const slack =
        1.01 +
        sum * 0.002 +
        (Math.max(one.peak, one.rate) * length * 2 * Math.ceil(1 + length / one.periodMs)) / steps / 1000
      assert.ok(Math.abs(counted - sum) <= slack, `${counted} due, ${sum} by the rate`)
    }),
    { numRuns: 200 },
  )
})

test('property: the first record is due at once, and nothing before it', () => {
  fc.assert(
    fc.property(plan, (one) => {
      const profile = createProfile(one)
      assert.ok(profile.dueMs(0) < 1e-6)
      assert.equal(profile.dueCount(-1), 0)
    }),
  )
})

test('the shapes: a constant is exact, a ramp rises and holds, a spike is a quarter, a wave begins in its trough', () => {
  const at = (name: ProfilePlan['name']) => createProfile({ name, rate: 1000, peak: 4000, periodMs: 20_000 })
  assert.equal(at('constant').dueMs(6667), 6667)
  assert.equal(at('constant').dueCount(1000), 1001)
  assert.deepEqual(
    [0, 10_000, 20_000, 90_000].map((ms) => at('ramp').rateAt(ms)),
    [1000, 2500, 4000, 4000],
  )
  // 1,000 a second and 150 more with each second: 17,500 in ten seconds, 50,000 in twenty.
  for (const [index, ms] of [
    [17_500, 10_000],
    [50_000, 20_000],
    [54_000, 21_000],
  ] as const) {
    assert.ok(Math.abs(at('ramp').dueMs(index) - ms) < 1e-6, `${index}: ${at('ramp').dueMs(index)}`)
  }
  assert.deepEqual(
    [0, 7499, 7500, 12_499, 12_500, 29_000].map((ms) => at('spike').rateAt(ms)),
    [1000, 1000, 4000, 4000, 1000, 4000],
  )
  assert.deepEqual(
    [0, 10_000, 20_000].map((ms) => Math.round(at('sine').rateAt(ms))),
    [1000, 4000, 1000],
  )
  assert.deepEqual(
    [0, 20_000, 80_000].map((ms) => at('soak').rateAt(ms)),
    [100, 1000, 1000],
  )
})
