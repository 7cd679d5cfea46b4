/** What a load test comes to: one value, for the table, the JSON and the page. */
import type { LatencyHistogram } from '../core/latency.ts'
import type { VerifyResult } from '../verify/verify.ts'
import type { Judged } from './judge.ts'
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

/** Without what only charts want: for one line. */
export function briefResult(result: LoadResult) {
  return { ...result, suites: result.suites.map(({ samples, ...suite }) => suite) }
}
