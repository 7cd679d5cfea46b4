import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { LatencyHistogram } from '../../src/core/latency.ts'
import { type OpenLoopOptions, openLoop } from '../../src/simulate/open-loop.ts'
import { createProfile } from '../../src/simulate/profile.ts'
import { mergeStats, statsOf } from '../../src/simulate/stats.ts'

const never = new AbortController().signal
const profile = createProfile({ name: 'constant', rate: 500, peak: 500, periodMs: 1000 })

function start(options: Partial<OpenLoopOptions> & Pick<OpenLoopOptions, 'work'>) {
  const startedMs = Date.now()
  return {
    startedMs,
    loop: openLoop({
      profile,
      startedMs,
      events: Number.POSITIVE_INFINITY,
      endMs: Number.POSITIVE_INFINITY,
      now: Date.now,
      signal: never,
      inFlightMax: 2,
      chunkMax: 10,
      ...options,
    }),
  }
}

test('slow work makes nothing late on paper: each event is begun once, in order, with the time it was due', async () => {
  const seen: [place: number, dueMs: number][] = []
  let inFlight = 0
  let most = 0
  const { startedMs, loop } = start({
    events: 150,
    async work(first, dueMs) {
      assert.ok(dueMs.length <= 10)
      for (const [index, due] of dueMs.entries()) seen.push([first + index, due])
      most = Math.max(most, ++inFlight)
      await sleep(60)
      inFlight--
    },
  })
  await sleep(250)
  assert.ok(loop.waiting() > 20, `${loop.waiting()} wait`)
  await loop.done
  assert.equal(most, 2)
  assert.equal(inFlight, 0)
  assert.deepEqual(
    seen,
    Array.from({ length: 150 }, (_, place) => [place, startedMs + place * 2]),
  )
  // 15 pieces of 60 ms, two at once, where the schedule has 300 ms.
  assert.ok(Date.now() - startedMs >= 8 * 60)
})

test('a failure ends it, once what was begun is over; so does the signal, without one', async () => {
  let done = 0
  const failing = start({
    async work(first) {
      await sleep(first === 0 ? 5 : 40)
      if (first === 0) throw new Error('broken')
      done++
    },
    profile: null,
    events: 1000,
  })
  await assert.rejects(failing.loop.done, /broken/)
  assert.equal(done, 1)

  const stop = new AbortController()
  let begun = 0
  const work = async (_: number, { length }: readonly number[]) => {
    begun += length
  }
  const stopped = start({ signal: stop.signal, work })
  setTimeout(() => stop.abort(), 100)
  await stopped.loop.done
  assert.ok(begun > 5 && begun < 500, `${begun}`)
})

test('time that is up ends it: what was due before is done, and no more', async () => {
  let begun = 0
  const startedMs = Date.now()
  const work = async (_: number, { length }: readonly number[]) => {
    begun += length
  }
  const { loop } = start({ endMs: startedMs + 100, startedMs, work })
  await loop.done
  assert.ok(begun >= 48 && begun <= 51, `${begun}`)
})

test('property: senders side by side add up to one that has seen it all', () => {
  const part = fc.record({
    events: fc.nat(1000),
    duplicates: fc.nat(10),
    poison: fc.nat(10),
    failed: fc.nat(5),
    bytes: fc.nat(100_000),
    elapsedMs: fc.nat(10_000),
    waiting: fc.nat(5),
    aborted: fc.nat(5),
    ms: fc.array(fc.double({ min: 0, max: 1e5, noNaN: true })),
  })
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 5 }), (parts) => {
      const histogram = (values: readonly number[]) => {
        const made = new LatencyHistogram()
        for (const value of values) made.record(value)
        return made
      }
      const merged = mergeStats(
        parts.map(({ ms, ...counted }) =>
          statsOf({ ...counted, poisons: { bad: counted.poison }, late: histogram(ms), acknowledged: histogram(ms) }),
        ),
      )
      const sum = (of: (one: (typeof parts)[number]) => number) => parts.reduce((total, one) => total + of(one), 0)
      assert.equal(
        merged.produced,
        sum((one) => one.events + one.duplicates + one.poison),
      )
      assert.equal(
        merged.poisons.bad,
        sum(({ poison }) => poison),
      )
      assert.equal(merged.elapsedMs, Math.max(...parts.map(({ elapsedMs }) => elapsedMs)))
      const whole = statsOf({
        ...merged,
        late: histogram(parts.flatMap(({ ms }) => ms)),
        acknowledged: histogram(parts.flatMap(({ ms }) => ms)),
      })
      assert.deepEqual(merged.acknowledged.counts, whole.acknowledged.counts)
      assert.deepEqual([merged.ackMsP50, merged.ackMsP99], [whole.ackMsP50, whole.ackMsP99])
    }),
    { numRuns: 60 },
  )
})
