import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Pace, RateLimit } from '../../src/replay/pace.ts'

const speed = fc.oneof(fc.double({ min: 0.01, max: 1000, noNaN: true }), fc.constantFrom(1, 0.5, 10, 100))
/** Gaps between events in microseconds. */
const gaps = fc.array(fc.integer({ min: 0, max: 5_000_000 }), { minLength: 1, maxLength: 100 })

test('two events are due as far apart as they were, at the factor, within 5 ms or 1 %', () => {
  fc.assert(
    fc.property(speed, gaps, fc.array(fc.double({ min: 0, max: 4, noNaN: true })), (factor, all, lags) => {
      const pace = new Pace(factor)
      let micros = 1_700_000_000_000_000
      let nowMs = 0
      let sent: number | null = null
      all.forEach((gap, index) => {
        micros += gap
        const due = pace.dueMs(micros, nowMs)
        // A timer comes late, by less than 5 ms; what is due already needs none.
        const at = due > nowMs ? due + (lags[index % Math.max(1, lags.length)] ?? 0) : nowMs
        if (sent !== null) {
          const wanted = gap / 1000 / factor
          const error = Math.abs(at - sent - wanted)
          assert(error <= 5 + 0.01 * wanted + 1e-3, `${gap} us at ${factor}x: ${at - sent} ms, off by ${error}`)
        }
        sent = at
        nowMs = at
      })
    }),
  )
})

test('errors do not add up: after any number of events the last is due where it is at the factor', () => {
  fc.assert(
    fc.property(speed, gaps, (factor, all) => {
      const pace = new Pace(factor)
      let micros = 0
      pace.dueMs(0, 0)
      let due = 0
      for (const gap of all) {
        micros += gap
        due = pace.dueMs(micros, due)
      }
      assert(Math.abs(due - micros / 1000 / factor) < 1e-6 * Math.max(1, due))
    }),
  )
})

test('after a stall the rest is spaced as ever, and not sent in a burst', () => {
  const pace = new Pace(1)
  assert.equal(pace.dueMs(0, 100), 100)
  assert.equal(pace.dueMs(10_000_000, 100), 10_100)
  // The target took half a minute.
  assert.equal(pace.dueMs(10_500_000, 40_000), 40_000)
  assert.equal(pace.dueMs(11_500_000, 40_000), 41_000)
})

test('a small delay is caught up with', () => {
  const pace = new Pace(2)
  pace.dueMs(0, 0)
  assert.equal(pace.dueMs(1_000_000, 900), 500)
  assert.equal(pace.lateMs(1_000_000, 900), 400)
  assert.equal(pace.dueMs(2_000_000, 900), 1000)
})

test('another speed counts from the next event on', () => {
  const pace = new Pace(1)
  pace.dueMs(0, 0)
  pace.speed = 10
  assert.equal(pace.dueMs(5_000_000, 700), 700)
  assert.equal(pace.dueMs(15_000_000, 700), 1700)
  pace.speed = 'max'
  assert.equal(pace.dueMs(1e12, 800), 800)
})

test('in no stretch of time do more go than the rate and its burst allow, and no fewer than the rate does', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 200_000 }),
      fc.array(fc.double({ min: 0, max: 30, noNaN: true }), { minLength: 1, maxLength: 60 }),
      (perSecond, waits) => {
        const limit = new RateLimit(perSecond)
        const burst = Math.max(1, perSecond * 0.05)
        let nowMs = 0
        let sent = 0
        for (const wait of waits) {
          nowMs += wait
          for (let may = limit.available(nowMs); may > 0; may = limit.available(nowMs)) {
            limit.take(may)
            sent += may
          }
          assert(sent <= burst + (perSecond * nowMs) / 1000 + 1e-6)
          const more = limit.waitMs()
          assert(more > 0 && more <= 1000 / perSecond + 1e-9)
        }
        // Nobody waited longer than a burst holds: nothing was wasted.
        if (Math.max(...waits) * perSecond <= 1000 * (burst - 1)) assert(sent >= (perSecond * nowMs) / 1000 - 1)
      },
    ),
  )
})

test('without a limit nobody waits', () => {
  const limit = new RateLimit(Number.POSITIVE_INFINITY)
  assert.equal(limit.available(0), Number.POSITIVE_INFINITY)
  limit.take(1000)
  assert.equal(limit.waitMs(), 0)
})
