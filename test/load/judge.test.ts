import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { readLoadFlags } from '../../src/load/flags.ts'
import { growthOf, judge, kneeOf, recoveryMs, type Seen } from '../../src/load/judge.ts'
import { spikeEnds, suiteNames, suiteOf } from '../../src/load/suites.ts'
import { createProfile } from '../../src/simulate/profile.ts'
import { seconds } from './samples.ts'

const options = readLoadFlags({}, 0, 8)
const well: Seen = {
  elapsedMs: 59_400,
  catchUpMs: 300,
  p99Ms: 30,
  sent: 400_000,
  failed: 0,
  restarts: 0,
  samples: seconds(60),
}
const missed = (seen: Partial<Seen>, name: (typeof suiteNames)[number] = 'goal') =>
  judge(suiteOf(name, options), { ...well, ...seen }, true)
    .filter(({ kept }) => !kept)
    .map(({ goal, measured }) => `${goal}: ${measured}`)

test('the founding goal: so many events, in so long, so quickly', () => {
  const suite = suiteOf('goal', options)
  assert.equal(suite.events, 400_000)
  assert.deepEqual(missed({}), [])
  assert.deepEqual(missed({ elapsedMs: 60_001 }), ['400,000 events published within 60 s: 400,000 in 60.00 s'])
  assert.deepEqual(missed({ sent: 399_999 }), ['400,000 events published within 60 s: 399,999 in 59.40 s'])
  assert.deepEqual(missed({ p99Ms: 50 }), ['p99 from due to published below 50 ms: 50 ms'])
  assert.deepEqual(missed({ p99Ms: Number.NaN }), ['p99 from due to published below 50 ms: -'])
  assert.equal(missed({ failed: 3, restarts: 1 }).length, 2)
})

test('property: the last event of a goal is due a second before the time is up, whatever the goal', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5_000_000 }),
      fc.integer({ min: 2000, max: 3_600_000 }),
      (events, withinMs) => {
        const suite = suiteOf('goal', { ...options, events, withinMs })
        const profile = createProfile(suite.profile)
        assert.ok(profile.dueMs(events - 1) <= withinMs - 1000)
        assert.ok(profile.dueMs(events) >= (withinMs - 1000) * 0.999999)
      },
    ),
  )
})

test('every suite ends: its events are those of its schedule', () => {
  for (const name of suiteNames) {
    for (const short of [true, false]) {
      const suite = suiteOf(name, { ...options, short })
      const profile = createProfile(suite.profile)
      assert.ok(profile.dueMs(suite.events - 1) < suite.scheduleMs, name)
      assert.ok(profile.dueMs(suite.events) >= suite.scheduleMs * 0.9999, name)
    }
  }
})

test('a spike is over when nothing is old any more; never is later than any limit', () => {
  const suite = suiteOf('spike', { ...options, forMs: 40_000 })
  assert.deepEqual(spikeEnds(suite), [12_500, 32_500])
  const slow = seconds(125, (at) => ({ lagSeconds: at >= 10 && at < 17 ? 2 : 0 }))
  assert.equal(recoveryMs(slow, 12_500), 4500)
  // A second's worth with the sender is what is just being sent; more is old.
  const heldBack = (waiting: number) => seconds(60, () => ({ due: 2000, waiting }))
  assert.equal(recoveryMs(heldBack(2001), 12_500), Number.POSITIVE_INFINITY)
  assert.equal(recoveryMs(heldBack(2000), 12_500), 500)
  const old = seconds(125, () => ({ lagSeconds: 3 }))
  assert.match(missed({ samples: old }, 'spike')[0] as string, /after a spike/)
  assert.deepEqual(missed({ samples: slow }, 'spike'), [])
})

test('growth is of the replicas, from the second fifth to the last', () => {
  const leaking = seconds(100, (at) => ({
    memory: { 'replica-1': 100e6 + at * 1e6, 'replica-2': 100e6, kafka: 1e9 * at },
  }))
  const { from, to } = growthOf(leaking)
  assert.deepEqual([from, to], [229.5e6, 289.5e6])
  assert.match(missed({ samples: leaking }, 'soak')[0] as string, /memory of the replicas .*: \+26\.1 %/)
  assert.deepEqual(missed({ samples: seconds(100) }, 'soak'), [])
  assert.deepEqual(growthOf([]), { from: 0, to: 0 })
})

test('the knee is the highest rate before it falls behind for good', () => {
  const ramp = seconds(60, (at) => ({ due: at * 1000, lagSeconds: at === 10 || at >= 40 ? 5 : 0 }))
  assert.deepEqual(kneeOf(ramp), { rate: 39_000, reached: true })
  assert.deepEqual(kneeOf(seconds(5)), { rate: 1000, reached: false })
  assert.deepEqual(kneeOf([]), { rate: 0, reached: false })
})

test('flags: one profile or all, and what each has no use for', () => {
  assert.deepEqual(readLoadFlags({ events: '1_000', within: '30s' }, 5, 8).suites, ['goal'])
  assert.deepEqual(readLoadFlags({ all: true }, 5, 8).suites, suiteNames)
  assert.equal(readLoadFlags({ all: true }, 5, 8).events, 100_000)
  assert.equal(options.replicas, 4)
  assert.equal(readLoadFlags({}, 0, 1).replicas, 1)
  assert.equal(readLoadFlags({ profile: 'soak', for: '2h' }, 5, 8).forMs, 7_200_000)
  for (const [flags, says] of [
    [{ all: true, profile: 'soak' }, /both given/],
    [{ profile: 'endless' }, /one of smoke|--profile/],
    [{ rate: '5' }, /--rate is for one profile/],
    [{ all: true, for: '5s' }, /--for is for one profile/],
    [{ profile: 'soak', peak: '5' }, /has no --peak/],
    [{ profile: 'spike', rate: 'max' }, /no schedule/],
    [{ within: '1s' }, /--within/],
    [{ keep: true, fresh: true }, /both given/],
  ] as const) {
    assert.throws(
      () => readLoadFlags(flags, 0, 8),
      (error: Error & { code?: string }) => error.code === 'USAGE' && says.test(error.message),
      JSON.stringify(flags),
    )
  }
})
