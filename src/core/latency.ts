/**
 * A histogram that costs an addition per value and forgets little: every doubling is cut into 16 equal buckets, so a value is known to within
 * 3.2 % from 0.5 up to 131,072 (in milliseconds: two minutes). A bucket holds (low, high], as Prometheus' `le` wants it.
 *
 * Counts only ever grow; the last second or the last ten are two snapshots subtracted.
 */

import { assert } from './errors.ts'

const perDoubling = 16
const doublings = 18
const floor = 0.5
/** Bucket 0 is everything at or below the floor (also what a skewed clock makes negative), the last one everything above the top. */
const bucketCount = doublings * perDoubling + 2

// The top 13 bits of a positive float32 are its exponent and the first four bits of its fraction: the bucket, without a logarithm. Subtracting one
// from the bits first makes a value on an edge fall into the bucket below.
const float = new Float32Array(1)
const bits = new Uint32Array(float.buffer)
const bitsPerBucket = 19
const floorBits = 0x3f00_0000 >>> bitsPerBucket

function bucketOf(value: number): number {
  if (!(value > floor)) return 0
  float[0] = value
  const index = (((bits[0] as number) - 1) >>> bitsPerBucket) - floorBits + 1
  return index < bucketCount ? index : bucketCount - 1
}

/** The upper edge of a bucket, inclusive. */
function edge(bucket: number): number {
  if (bucket >= bucketCount - 1) return Number.POSITIVE_INFINITY
  const doubling = Math.floor(bucket / perDoubling)
  return floor * 2 ** doubling * (1 + (bucket % perDoubling) / perDoubling)
}

/** What crosses a wire: counts by bucket, empty ones at the end left out. */
export interface LatencySnapshot {
  readonly count: number
  readonly sum: number
  readonly counts: readonly number[]
}

export class LatencyHistogram {
  count = 0
  sum = 0
  readonly #counts = new Float64Array(bucketCount)

  static from(snapshot: LatencySnapshot): LatencyHistogram {
    const histogram = new LatencyHistogram()
    histogram.#add(snapshot.counts, 1)
    histogram.count = snapshot.count
    histogram.sum = snapshot.sum
    return histogram
  }

  record(value: number, times = 1): void {
    const bucket = bucketOf(value)
    this.#counts[bucket] = (this.#counts[bucket] as number) + times
    this.count += times
    if (value > 0 && value < Number.POSITIVE_INFINITY) this.sum += value * times
  }

  /** The age at `nowMs` of everything produced at `producedMs[from, to)`, but for some: one call per batch. */
  recordAges(
    nowMs: number,
    producedMs: ArrayLike<number>,
    from = 0,
    to = producedMs.length,
    without: ReadonlySet<number> | null = null,
  ): void {
    for (let i = from; i < to; i++) if (without?.has(i) !== true) this.record(nowMs - (producedMs[i] as number))
  }

  merge(other: LatencyHistogram): void {
    this.#add(other.#counts, 1)
    this.count += other.count
    this.sum += other.sum
  }

  /** What was recorded since `earlier`, a snapshot of this same histogram. */
  since(earlier: LatencySnapshot): LatencyHistogram {
    const window = LatencyHistogram.from(this.snapshot())
    window.#add(earlier.counts, -1)
    window.count -= earlier.count
    window.sum -= earlier.sum
    return window
  }

  /** The value that the share `p` (0 to 1) does not exceed: the middle of its bucket. NaN when nothing was recorded. */
  percentile(p: number): number {
    if (this.count === 0) return Number.NaN
    const rank = Math.max(1, Math.ceil(p * this.count))
    let seen = 0
    for (let bucket = 0; bucket < bucketCount - 1; bucket++) {
      seen += this.#counts[bucket] as number
      if (seen >= rank) return bucket === 0 ? floor : (edge(bucket - 1) + edge(bucket)) / 2
    }
    return edge(bucketCount - 2)
  }

  /** How many values were at or below `limit`; exact when `limit` is an edge. */
  countUpTo(limit: number): number {
    let seen = 0
    for (let bucket = 0; bucket < bucketCount && edge(bucket) <= limit; bucket++) seen += this.#counts[bucket] as number
    return seen
  }

  snapshot(): LatencySnapshot {
    let used = bucketCount
    while (used > 0 && this.#counts[used - 1] === 0) used--
    return { count: this.count, sum: this.sum, counts: Array.from(this.#counts.subarray(0, used)) }
  }

  #add(counts: ArrayLike<number>, sign: 1 | -1): void {
    const shared = Math.min(counts.length, bucketCount)
    for (let i = 0; i < shared; i++) this.#counts[i] = (this.#counts[i] as number) + sign * (counts[i] as number)
  }
}

/** One line of what Prometheus reads, without its name. */
export interface Sample {
  readonly suffix: string
  readonly labels: Readonly<Record<string, string | number>>
  readonly value: number
}

/** A histogram as Prometheus has them: `bounds` in the published unit, of which one is `scale` recorded ones. */
export function samplesOf(histogram: LatencyHistogram, bounds: readonly number[], scale: number): Sample[] {
  const { count, sum } = histogram
  return [
    ...bounds.map((bound) => {
      // 0.005 * 1000 is not quite 5 in every case; bounds are whole numbers of the recorded unit.
      const limit = Math.round(bound * scale)
      assert(isEdge(limit), () => `the bound ${bound} is no edge of the histogram`)
      return { suffix: '_bucket', labels: { le: bound }, value: histogram.countUpTo(limit) }
    }),
    { suffix: '_bucket', labels: { le: '+Inf' }, value: count },
    { suffix: '_sum', labels: {}, value: sum / scale },
    { suffix: '_count', labels: {}, value: count },
  ]
}

/** True when `limit` is an edge, so that `countUpTo(limit)` is exact; the metrics table asserts it of every bound it publishes. */
export function isEdge(limit: number): boolean {
  return edge(bucketOf(limit)) === limit
}
