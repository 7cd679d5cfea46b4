/**
 * Counts what a consumer file declares (business.ts): at commit, once per event that became a row. The decoding thread asks the declared functions once
 * per batch for each type it meets, notes for every row of which kind it is, and sums up; the sums travel with the batch and are added when PostgreSQL
 * has answered its COMMIT, or the ledger has said in its place that the batch is stored. Rows that this commit has not made are taken off by
 * their kinds.
 */
import type { Decoded, Tally } from './batch.ts'
import { type BusinessMetric, businessSeries, type EventCounter, type EventMeasure, otherValue } from './business.ts'
import { LatencyHistogram, type Sample, samplesOf } from './latency.ts'
import { Rate } from './rate.ts'

const processingBuckets = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6]
const quantiles = [0.5, 0.9, 0.99]

/** One counter of one label value. */
interface Cell {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
}

interface Plan {
  readonly cells: readonly Cell[]
  readonly bySource: boolean
  /** The cells that an event of this type and source adds to. */
  cellsOf(type: string, source: string): number[]
}

const plans = new WeakMap<readonly BusinessMetric[], Plan>()

/** The same in every thread, since it is made from the declaration alone. */
function planOf(metrics: readonly BusinessMetric[]): Plan {
  const known = plans.get(metrics)
  if (known !== undefined) return known
  const counters = metrics.filter((metric): metric is EventCounter => !('measure' in metric))
  const cells: Cell[] = []
  const places = counters.map(({ name, label, values }) => {
    const place = new Map<string, number>()
    if (label === undefined) place.set('', cells.push({ name, labels: {} }) - 1)
    else
      for (const value of [...(values ?? []), otherValue])
        place.set(value, cells.push({ name, labels: { [label]: value } }) - 1)
    return place
  })
  const plan: Plan = {
    cells,
    bySource: counters.some(({ by }) => by === 'source'),
    cellsOf: (type, source) =>
      counters.flatMap(({ label, by, of }, index) => {
        const answer = of === undefined ? true : answerOf(of, by === 'source' ? source : type)
        if (answer === null || answer === false || answer === undefined) return []
        const place = places[index] as Map<string, number>
        const value = label === undefined ? '' : String(answer)
        return [place.get(value) ?? (place.get(otherValue) as number)]
      }),
  }
  plans.set(metrics, plan)
  return plan
}

/** A counter is no reason to stop: what its function cannot bear is `other`. */
function answerOf(of: NonNullable<EventCounter['of']>, text: string): string | boolean | null {
  try {
    return of(text)
  } catch {
    return otherValue
  }
}

/** In the decoding thread, for one batch: one look-up per row. */
export class TallyWriter {
  readonly #plan: Plan
  readonly #kindOf: Uint16Array<ArrayBuffer>
  readonly #valueBytes: Uint32Array<ArrayBuffer>
  readonly #kinds: { cells: number[]; rows: number }[] = []
  /** By type, or by type and source where a counter asks for the source. */
  readonly #byType = new Map<string, number | Map<string, number>>()

  constructor(metrics: readonly BusinessMetric[], records: number) {
    this.#plan = planOf(metrics)
    this.#kindOf = new Uint16Array(records)
    this.#valueBytes = new Uint32Array(records)
  }

  row(row: number, type: string, source: string, bytes: number): void {
    const kind = this.#plan.bySource ? this.#kindBySource(type, source) : this.#kindByType(type)
    this.#kindOf[row] = kind
    this.#valueBytes[row] = bytes
    ;(this.#kinds[kind] as { rows: number }).rows++
  }

  #kindByType(type: string): number {
    const known = this.#byType.get(type)
    if (known !== undefined) return known as number
    const kind = this.#kind(type, '')
    this.#byType.set(type, kind)
    return kind
  }

  #kindBySource(type: string, source: string): number {
    let sources = this.#byType.get(type) as Map<string, number> | undefined
    if (sources === undefined) {
      sources = new Map()
      this.#byType.set(type, sources)
    }
    const known = sources.get(source)
    if (known !== undefined) return known
    const kind = this.#kind(type, source)
    sources.set(source, kind)
    return kind
  }

  #kind(type: string, source: string): number {
    return this.#kinds.push({ cells: this.#plan.cellsOf(type, source), rows: 0 }) - 1
  }

  finish(): Tally {
    return { kinds: this.#kinds, kindOf: this.#kindOf, valueBytes: this.#valueBytes }
  }
}

/** A metric that is read when somebody asks. */
export interface Series {
  readonly name: string
  readonly help: string
  readonly type: string
  read(): Sample[]
}

export interface Business {
  readonly series: readonly Series[]
  /**
   * The batch is committed. `known`: rows that this commit did not make. `takenMs`: when the first record of each slice was taken in.
   */
  stored(batch: Decoded, known: ReadonlySet<number> | null, takenMs: readonly number[], nowMs: number): void
}

/** The histogram of sizes counts in units of so many bytes: from 32 bytes to 8 MiB to within 3 %. */
const sizeUnit = 64

/** `steadyMs`: a clock that nobody sets. */
export function openBusiness(metrics: readonly BusinessMetric[], steadyMs: () => number): Business {
  const { cells } = planOf(metrics)
  const counts = new Float64Array(cells.length)
  const processing = new LatencyHistogram()
  const sizes = new LatencyHistogram()
  const rate = new Rate(10)
  const wants = (wanted: EventMeasure['measure']) =>
    metrics.some((metric) => 'measure' in metric && metric.measure === wanted)
  const [wantsProcessing, wantsSizes] = [wants('processing_seconds'), wants('event_bytes')]

  const readers: Record<EventMeasure['measure'], () => Sample[]> = {
    processing_seconds: () => samplesOf(processing, processingBuckets, 1000),
    events_per_second: () => [{ suffix: '', labels: {}, value: rate.perSecond(steadyMs()) }],
    event_bytes: () => [
      ...quantiles.map((quantile) => ({
        suffix: '',
        labels: { quantile },
        value: sizes.percentile(quantile) * sizeUnit,
      })),
      { suffix: '_sum', labels: {}, value: sizes.sum * sizeUnit },
      { suffix: '_count', labels: {}, value: sizes.count },
    ],
  }

  const readerOf = (metric: BusinessMetric): (() => Sample[]) =>
    'measure' in metric
      ? readers[metric.measure]
      : () =>
          cells.flatMap(({ name, labels }, cell) =>
            name === metric.name ? [{ suffix: '', labels, value: counts[cell] as number }] : [],
          )

  return {
    series: businessSeries(metrics).map(({ name, help, type }, index) => ({
      name,
      help,
      type,
      read: readerOf(metrics[index] as BusinessMetric),
    })),
    stored({ tally, rows, slices }, known, takenMs, nowMs) {
      if (tally === null) return
      const { kinds, kindOf, valueBytes } = tally
      for (const { cells, rows } of kinds) for (const cell of cells) counts[cell] = (counts[cell] as number) + rows
      // Rare enough to be counted back one by one.
      for (const row of known ?? []) {
        const kind = kinds[kindOf[row] as number]
        for (const cell of kind?.cells ?? []) counts[cell] = (counts[cell] as number) - 1
      }
      rate.add(steadyMs(), rows.count - (known?.size ?? 0))
      if (wantsSizes)
        for (let row = 0; row < rows.count; row++)
          if (known?.has(row) !== true) sizes.record((valueBytes[row] as number) / sizeUnit)
      if (!wantsProcessing) return
      const made = slices.map(({ rows }) => rows)
      for (const row of known ?? []) {
        const slice = rows.slice[row] as number
        made[slice] = (made[slice] as number) - 1
      }
      for (const [slice, count] of made.entries())
        if (count > 0) processing.record(nowMs - (takenMs[slice] ?? nowMs), count)
    },
  }
}
