/** The figures of a sender, and of several together. */
import { LatencyHistogram, type LatencySnapshot } from '../core/latency.ts'

export interface SimulateStats {
  /** Acknowledged records; the next three are what they were. */
  readonly produced: number
  readonly events: number
  readonly duplicates: number
  readonly poison: number
  /** The bad ones by their labels. */
  readonly poisons: Readonly<Record<string, number>>
  /** Records of requests that were given up: written or not, nobody knows. */
  readonly failed: number
  /** Bytes of keys and values, before compression. */
  readonly bytes: number
  readonly elapsedMs: number
  /** Due, but not yet handed to the client, because too many requests are in flight. */
  readonly waiting: number
  /** Transactions given up on purpose; their records were sent again. */
  readonly aborted: number
  /** From a record's due time to its hand-over to the client. */
  readonly lateMsP99: number
  /** From a record's due time to its acknowledgement. */
  readonly ackMsP50: number
  readonly ackMsP99: number
  readonly late: LatencySnapshot
  readonly acknowledged: LatencySnapshot
}

/** What is counted; the rest follows from it. */
export type Counted = Omit<
  SimulateStats,
  'produced' | 'lateMsP99' | 'ackMsP50' | 'ackMsP99' | 'late' | 'acknowledged'
> & {
  readonly late: LatencyHistogram
  readonly acknowledged: LatencyHistogram
}

/** In ms, to a tenth; 0 where there is nothing. */
export const quantile = (histogram: LatencyHistogram | undefined, share: number): number =>
  histogram === undefined || histogram.count === 0 ? 0 : Math.round(histogram.percentile(share) * 10) / 10

export function statsOf(counted: Counted): SimulateStats {
  const { events, duplicates, poison, late, acknowledged } = counted
  return {
    ...counted,
    produced: events + duplicates + poison,
    lateMsP99: quantile(late, 0.99),
    ackMsP50: quantile(acknowledged, 0.5),
    ackMsP99: quantile(acknowledged, 0.99),
    late: late.snapshot(),
    acknowledged: acknowledged.snapshot(),
  }
}

/** Of senders side by side. */
export function mergeStats(all: readonly SimulateStats[]): SimulateStats {
  const sum = (of: (stats: SimulateStats) => number) => all.reduce((total, one) => total + of(one), 0)
  const merged = (of: (stats: SimulateStats) => LatencySnapshot) => {
    const histogram = new LatencyHistogram()
    for (const one of all) histogram.merge(LatencyHistogram.from(of(one)))
    return histogram
  }
  const poisons: Record<string, number> = {}
  for (const one of all) {
    for (const [label, count] of Object.entries(one.poisons)) poisons[label] = (poisons[label] ?? 0) + count
  }
  return statsOf({
    events: sum(({ events }) => events),
    duplicates: sum(({ duplicates }) => duplicates),
    poison: sum(({ poison }) => poison),
    poisons,
    failed: sum(({ failed }) => failed),
    bytes: sum(({ bytes }) => bytes),
    elapsedMs: Math.max(0, ...all.map(({ elapsedMs }) => elapsedMs)),
    waiting: sum(({ waiting }) => waiting),
    aborted: sum(({ aborted }) => aborted),
    late: merged(({ late }) => late),
    acknowledged: merged(({ acknowledged }) => acknowledged),
  })
}

/** Without what only machines that merge it want. */
export function briefStats({
  late,
  acknowledged,
  ...brief
}: SimulateStats): Omit<SimulateStats, 'late' | 'acknowledged'> {
  return brief
}
