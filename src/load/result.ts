/** What a load test comes to: one value, for the table, the JSON and the page. */
import type { LatencyHistogram } from '../core/latency.ts'
import type { VerifyResult } from '../verify/verify.ts'
import type { Judged } from './judge.ts'
import type { ReadersStats } from './readers.ts'
import type { Sample } from './samples.ts'
import type { SuiteName } from './suites.ts'

export interface Latencies {
  readonly count: number
  readonly p50: number | null
  readonly p95: number | null
  readonly p99: number | null
  readonly p999: number | null
  readonly max: number | null
}

export interface SuiteResult {
  readonly name: SuiteName
  readonly what: string
  readonly kept: boolean
  readonly goals: readonly Judged[]
  /** What else was found, in sentences. */
  readonly findings: readonly string[]
  readonly scheduled: number
  readonly sent: number
  readonly failed: number
  readonly seconds: number
  readonly ratePerSecond: number
  readonly catchUpSeconds: number
  readonly stored: Latencies
  readonly published: Latencies | null
  readonly acknowledged: Latencies
  readonly lateMsP99: number
  /** The median of the seconds' p99, on the way to the end: one bad second of a shared machine does not decide it. */
  readonly medianSecondP99: number | null
  /** Seconds of CPU per million events sent, by process. */
  readonly cpuSecondsPerMillion: Readonly<Record<string, number>>
  readonly memoryPeak: Readonly<Record<string, number>>
  /** What read beside it; null: nothing did. */
  readonly readers: ReadersStats | null
  readonly samples: readonly Sample[]
}

export interface LoadResult {
  /** Every goal is kept, the proof holds, and everybody ended in order. */
  readonly passed: boolean
  readonly at: string
  readonly version: string
  readonly machine: { readonly cores: number; readonly cpu: string; readonly memoryGiB: number; readonly node: string }
  readonly replicas: number
  readonly partitions: number
  readonly processes: number
  readonly seed: number
  readonly servers: readonly (readonly [name: string, address: string])[]
  readonly publishes: boolean
  readonly suites: readonly SuiteResult[]
  readonly proof: VerifyResult
  readonly troubles: readonly string[]
}

export function latenciesOf(histogram: LatencyHistogram): Latencies {
  const of = (share: number) => (histogram.count === 0 ? null : Math.round(histogram.percentile(share) * 100) / 100)
  return { count: histogram.count, p50: of(0.5), p95: of(0.95), p99: of(0.99), p999: of(0.999), max: of(1) }
}

/** [what, how many, p50, p99] of everything that read beside a run. */
export function readRows({
  streams,
  queries,
}: ReadersStats): [what: string, count: number, p50: number, p99: number][] {
  return [
    ...(streams?.groups ?? []).map(({ group, read, readMsP50, readMsP99 }): [string, number, number, number] => [
      `entries to the group ${group}`,
      read,
      readMsP50,
      readMsP99,
    ]),
    ...queries.reads.map((one): [string, number, number, number] => [
      `queries ${one.kind}`,
      one.queries,
      one.msP50,
      one.msP99,
    ]),
  ]
}

/** Without what only charts want: for one line. */
export function briefResult(result: LoadResult) {
  return { ...result, suites: result.suites.map(({ samples, ...suite }) => suite) }
}
