/** One load through a fleet that serves: warmed up, sent on schedule, watched until everything has arrived, judged. */
import { count } from '../core/count.ts'
import { LatencyHistogram } from '../core/latency.ts'
import type { Room } from '../core/marks.ts'
import { median } from '../core/median.ts'
import { milliseconds } from '../live/style.ts'
import { createProfile } from '../simulate/profile.ts'
import type { Fleet } from '../start/fleet.ts'
import { readTreeUsage, readUsage, type TreeUsage } from '../start/usage.ts'
import type { LoadOptions } from './flags.ts'
import { judge, kneeOf } from './judge.ts'
import { startReaders } from './readers.ts'
import { latenciesOf, type SuiteResult } from './result.ts'
import { createSampler, type Sampler } from './samples.ts'
import type { Suite } from './suites.ts'

export interface RunOptions {
  readonly fleet: Fleet
  readonly suite: Suite
  readonly options: LoadOptions
  readonly seed: number
  readonly now: () => number
  readonly signal: AbortSignal
  /** Given the sampler of the run under way, to be called at each look. */
  readonly onSampler: (sampler: Sampler | null) => void
}

/** A histogram knows its values to within a bucket. */
const bucketShare = 1.04

export async function runSuite({
  fleet,
  suite,
  options,
  seed,
  now,
  signal,
  onSampler,
}: RunOptions): Promise<SuiteResult> {
  const { watch, publishes, replicas } = fleet
  const { duplicates, poison, binary, processes } = options
  const events = { seed, duplicates, poison, binary }
  const last: Room = publishes ? 'publish' : 'persist'
  const profile = createProfile(suite.profile)

  if (suite.warmMs > 0 && !signal.aborted) {
    const rate = profile.rateAt(0)
    const warming = fleet.load({ ...events, seed: seed + 1, rate, forMs: suite.warmMs }, processes)
    await fleet.orFailure(warming.begun)
    watch.forMs = suite.warmMs
    watch.load = warming
    watch.phase = `${suite.name}: warming up`
    await fleet.orFailure(warming.done)
    await fleet.caughtUp('settle')
  }

  const readers = options.readers && !signal.aborted ? startReaders(fleet, seed, now) : null
  const orFailure = <T>(work: Promise<T>): Promise<T> =>
    readers === null ? fleet.orFailure(work) : Promise.race([fleet.orFailure(work), readers.failed])
  const restarts = () => replicas.reduce((sum, replica) => sum + replica.restarts, 0)
  const restartsBefore = restarts()
  const sending = fleet.load(
    { ...events, rate: suite.profile.rate, profile: suite.profile, events: suite.events },
    processes,
  )
  const usage = () => usageOf(fleet, sending.pids)
  const startedMs = await orFailure(sending.begun)
  watch.recorder.mark()
  const usageBefore = usage()
  const sampler = createSampler({
    watch,
    usage,
    stats: () => sending.stats,
    rateAt: profile.rateAt,
    startedMs,
    scheduleMs: suite.scheduleMs,
    now,
  })
  onSampler(sampler)
  watch.forMs = suite.scheduleMs
  watch.load = sending
  watch.phase = suite.name
  const scheduleOver = setTimeout(
    () => {
      usageAtEnd = usage()
    },
    suite.scheduleMs + startedMs - now(),
  )
  let usageAtEnd: Record<string, TreeUsage | null> | null = null
  const stats = await orFailure(sending.done).finally(() => clearTimeout(scheduleOver))
  const loadEndedMs = now()
  watch.phase = `${suite.name}: catching up`
  await fleet.caughtUp(last)
  const arrivedMs = now()
  // The senders are gone by now: theirs is what they had used when the schedule was over.
  const gone: Record<string, TreeUsage | null> = usageAtEnd ?? {}
  const usageAfter = Object.fromEntries(Object.entries(usage()).map(([name, one]) => [name, one ?? gone[name] ?? null]))
  const read = (await readers?.stop()) ?? null
  await fleet.caughtUp('settle')
  await watch.look()
  sampler.look()
  onSampler(null)

  const { storedMs, publishedMs } = watch.recorder.sinceMark()
  const stored = latenciesOf(storedMs)
  const published = publishes ? latenciesOf(publishedMs) : null
  const onTheWay = published ?? stored
  const { samples } = sampler
  const p99s = samples.flatMap(({ storedMs, publishedMs }) => (publishes ? publishedMs.p99 : storedMs.p99) ?? [])
  // Nobody took longer than the slowest: the last to be due was there so long after at most. Asking Kafka for its ends has taken a while, too.
  const slowestMs = (onTheWay.max ?? Number.POSITIVE_INFINITY) * bucketShare
  const elapsedMs = Math.min(arrivedMs - startedMs, profile.dueMs(Math.max(0, suite.events - 1)) + slowestMs)
  const seen = {
    elapsedMs,
    catchUpMs: Math.max(0, elapsedMs - (loadEndedMs - startedMs)),
    p99Ms: onTheWay.p99 ?? Number.NaN,
    sent: stats.produced,
    failed: stats.failed,
    restarts: restarts() - restartsBefore,
    samples,
  }
  const goals = judge(suite, seen, publishes)
  const interrupted = signal.aborted && stats.produced < suite.events
  return {
    name: suite.name,
    what: suite.what,
    kept: goals.every(({ kept }) => kept) && !interrupted,
    goals,
    findings: [
      ...(interrupted ? [`interrupted after ${count(stats.produced)} of ${count(suite.events)} events`] : []),
      ...(suite.name === 'stress' ? [kneeText(samples)] : []),
      ...(stats.lateMsP99 > 50
        ? [`the sender itself was late: p99 ${milliseconds(stats.lateMsP99)}, counted in every latency`]
        : []),
    ],
    scheduled: suite.events,
    sent: stats.produced,
    failed: stats.failed,
    seconds: Math.round(seen.elapsedMs / 10) / 100,
    ratePerSecond: Math.round((stats.produced * 1000) / Math.max(1, stats.elapsedMs)),
    catchUpSeconds: Math.round(seen.catchUpMs / 10) / 100,
    stored,
    published,
    acknowledged: latenciesOf(LatencyHistogram.from(stats.acknowledged)),
    lateMsP99: stats.lateMsP99,
    medianSecondP99: p99s.length === 0 ? null : median(p99s),
    cpuSecondsPerMillion: perMillion(usageBefore, usageAfter, stats.produced),
    memoryPeak: peaks(samples),
    readers: read,
    samples,
  }
}

function kneeText(samples: SuiteResult['samples']): string {
  const { rate, reached } = kneeOf(samples)
  return reached
    ? `kept up with ${count(rate)} events/s, then fell behind`
    : `kept up with all of it, up to ${count(rate)} events/s`
}

/** Every process by its name: the fleet's, the senders, the local servers, and this one, which watches. */
function usageOf({ replicas, servers }: Fleet, senders: readonly number[]): Record<string, TreeUsage | null> {
  const of: [string, number][] = replicas.flatMap(({ name, state }) =>
    state.kind === 'serving' ? [[name, state.pid] as [string, number]] : [],
  )
  for (const [index, pid] of senders.entries()) of.push([senders.length === 1 ? 'sender' : `sender-${index + 1}`, pid])
  for (const [name, pid] of Object.entries(servers.pids)) if (pid !== undefined) of.push([name, pid])
  return {
    ...Object.fromEntries(of.map(([name, pid]) => [name, readTreeUsage(pid)])),
    // Without its children, which are all of the above.
    'this view': readUsage(process.pid),
  }
}

function perMillion(
  from: Readonly<Record<string, TreeUsage | null>>,
  to: Readonly<Record<string, TreeUsage | null>>,
  events: number,
): Record<string, number> {
  if (events === 0) return {}
  return Object.fromEntries(
    Object.entries(to).flatMap(([name, usage]) => {
      const before = from[name]
      if (usage === null || before === null || before === undefined || usage.cpuSeconds < before.cpuSeconds) return []
      return [[name, Math.round(((usage.cpuSeconds - before.cpuSeconds) * 1e7) / events) / 10]]
    }),
  )
}

function peaks(samples: SuiteResult['samples']): Record<string, number> {
  const all: Record<string, number> = {}
  for (const { memory } of samples) {
    for (const [name, bytes] of Object.entries(memory)) all[name] = Math.max(all[name] ?? 0, bytes)
  }
  return all
}
