/** What a run comes to: one JSON value for programs, a few lines for people. */
import { count } from '../core/count.ts'
import { quantiles } from '../core/status.ts'
import type { Recorder } from '../live/recorder.ts'
import { bytes, milliseconds } from '../live/style.ts'
import type { SimulateStats } from '../simulate/stats.ts'
import { renderVerify } from '../verify/print.ts'
import type { VerifyResult } from '../verify/verify.ts'
import type { StartOptions } from './flags.ts'

export interface Summary {
  /** The proof holds, everything the simulator was told is stored is in Kafka, and every replica ended in order. */
  readonly holds: boolean
  readonly produced: number
  readonly rows: number
  readonly rejects: number
  readonly duplicates: number
  readonly entries: number
  readonly lost: number
  readonly duplicated: number
  readonly outOfOrder: number
  readonly wrong: number
  /** Acknowledged to the simulator in this run, the primed ones included. */
  readonly acknowledged: number
  /** Events that went through before the clock started; in no rate and no latency. */
  readonly primed: number
  /** From the record's timestamp, which is when it was due, to the COMMIT of its row; without the warm-up. */
  readonly p50Ms: number | null
  readonly p95Ms: number | null
  readonly p99Ms: number | null
  readonly publishedP50Ms: number | null
  readonly publishedP95Ms: number | null
  readonly publishedP99Ms: number | null
  readonly measured: number
  readonly warmupSeconds: number
  /** Acknowledged events per second of load. */
  readonly ratePerSecond: number
  /** Load, without set-up and catching up. */
  readonly seconds: number
  readonly catchUpSeconds: number
  readonly verifySeconds: number
  readonly replicas: number
  readonly partitions: number
  readonly restarts: number
  readonly residentMiBPeak: readonly number[]
  readonly rejectsByCode: Readonly<Record<string, number>>
  readonly seed: number
  readonly problems: readonly string[]
}

export interface RunFacts {
  readonly options: StartOptions
  readonly partitions: number
  readonly publishes: boolean
  readonly stats: SimulateStats
  /** Events that went through before the clock started. */
  readonly primed: number
  readonly recorder: Recorder
  readonly verified: VerifyResult
  readonly producedBefore: number
  readonly warmupMs: number
  readonly catchUpMs: number
  readonly restarts: number
  readonly peaks: ReadonlyMap<string, number>
  /** What was not in order besides the proof, in sentences. */
  readonly troubles: readonly string[]
}

export function summaryOf(facts: RunFacts): Summary {
  const { verified, stats, recorder, options } = facts
  const { storedMs, publishedMs } = recorder.sinceMark()
  const stored = quantiles(storedMs)
  const published = quantiles(publishedMs)
  const troubles = [...facts.troubles]
  const inKafka = verified.produced - facts.producedBefore
  const acknowledged = facts.primed + stats.produced
  if (inKafka < acknowledged) troubles.push(`Kafka acknowledged ${acknowledged} records and holds ${inKafka} of them`)
  const round = (ms: number) => (Number.isNaN(ms) ? null : Math.round(ms * 10) / 10)
  const { produced, rows, rejects, duplicates, entries, lost, duplicated, outOfOrder, wrong } = verified
  return {
    holds: verified.holds && troubles.length === 0,
    produced,
    rows,
    rejects,
    duplicates,
    entries,
    lost,
    duplicated,
    outOfOrder,
    wrong,
    acknowledged,
    primed: facts.primed,
    p50Ms: round(stored.p50),
    p95Ms: round(stored.p95),
    p99Ms: round(stored.p99),
    publishedP50Ms: round(published.p50),
    publishedP95Ms: round(published.p95),
    publishedP99Ms: round(published.p99),
    measured: stored.count,
    warmupSeconds: facts.warmupMs / 1000,
    ratePerSecond: Math.round((stats.produced * 1000) / Math.max(1, stats.elapsedMs)),
    seconds: Math.round(stats.elapsedMs / 100) / 10,
    catchUpSeconds: Math.round(facts.catchUpMs / 100) / 10,
    verifySeconds: Math.round(verified.seconds * 10) / 10,
    replicas: options.replicas,
    partitions: facts.partitions,
    restarts: facts.restarts,
    residentMiBPeak: [...facts.peaks.values()].map((peak) => Math.round(peak / 1024 ** 2)),
    rejectsByCode: recorder.rejectsByCode(),
    seed: options.seed,
    problems: [...troubles, ...verified.problems.map(({ kind, text }) => `${kind}: ${text}`)],
  }
}

export function renderSummary(summary: Summary, facts: RunFacts): string {
  const { publishes, stats, peaks } = facts
  const figures = (name: string, values: readonly (number | null)[]) =>
    `${name.padEnd(22)}${values.map((ms) => milliseconds(ms ?? Number.NaN).padStart(9)).join('')}`
  const restarts = summary.restarts > 0 ? `, restarts ${summary.restarts}` : ''
  const lines = [
    `${count(stats.produced)} records in ${summary.seconds.toFixed(1)} s, ${count(summary.ratePerSecond)}/s, seed ${summary.seed}`,
    `${summary.replicas} replicas, caught up after ${summary.catchUpSeconds.toFixed(1)} s${restarts}`,
    `highest memory: ${[...peaks].map(([name, peak]) => `${name} ${bytes(peak)}`).join(', ')}`,
    '',
    `${''.padEnd(22)}${['p50', 'p95', 'p99'].map((name) => name.padStart(9)).join('')}`,
    figures('produced to stored', [summary.p50Ms, summary.p95Ms, summary.p99Ms]),
    ...(publishes
      ? [figures('produced to published', [summary.publishedP50Ms, summary.publishedP95Ms, summary.publishedP99Ms])]
      : []),
    `of ${count(summary.measured)} events, without the first ${summary.warmupSeconds} s`,
    '',
    renderVerify(facts.verified, publishes).trimEnd(),
    ...summary.problems
      .slice(0, summary.problems.length - facts.verified.problems.length)
      .map((text) => `but: ${text}`),
  ]
  return `\n${lines.join('\n')}\n`
}
