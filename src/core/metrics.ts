/**
 * Every metric, one row each, and a small registry over prom-client. Nothing here is called per record: a room holds its counters and adds once
 * per batch; latencies are recorded into a LatencyHistogram and become Prometheus buckets only when somebody scrapes.
 */

import type { Metric } from 'prom-client'
import { collectDefaultMetrics, Registry } from 'prom-client'
import { assert } from './errors.ts'
import { isEdge, LatencyHistogram } from './latency.ts'
import type { Room } from './marks.ts'

/** What a room does with its second: it works, it waits for something to come in, or it waits for the next room to take something. */
export const roomStates = ['working', 'input', 'output'] as const
export type RoomState = (typeof roomStates)[number]

interface MetricRow {
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly labels: readonly string[]
  readonly help: string
  /** Of histograms: upper bounds in the published unit, and how many recorded units make one of it. */
  readonly buckets?: readonly number[]
  readonly scale?: number
}

const secondBuckets = [
  0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4,
]
const rowBuckets = [1, 8, 64, 256, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536]

export const metricRows = {
  info: { type: 'gauge', labels: ['version', 'consumer', 'replica'], help: 'Always 1; says who is speaking.' },
  records_total: { type: 'counter', labels: ['room'], help: 'Records that passed a room.' },
  batches_total: { type: 'counter', labels: ['room'], help: 'Batches that passed a room.' },
  room_seconds_total: {
    type: 'counter',
    labels: ['room', 'state'],
    help: "Where a room's time goes: working, waiting for input, waiting for the next room. Summed over lanes.",
  },
  retries_total: { type: 'counter', labels: ['room', 'code'], help: 'Attempts repeated because the world was busy.' },
  rows_total: { type: 'counter', labels: [], help: 'Events stored as rows.' },
  rejects_total: { type: 'counter', labels: ['code'], help: 'Records stored in rejects, by why.' },
  unlabelled_total: {
    type: 'counter',
    labels: [],
    help: 'Events stored that were read as structured mode although no header said so.',
  },
  duplicates_total: { type: 'counter', labels: [], help: "A producer's duplicates of events already stored." },
  skips_total: { type: 'counter', labels: [], help: 'Records that are not ours.' },
  entries_total: { type: 'counter', labels: [], help: 'Entries added to streams.' },
  refilled_entries_total: { type: 'counter', labels: [], help: 'Entries added again because a stream had lost them.' },
  bytes_total: {
    type: 'counter',
    labels: ['room'],
    help: 'Bytes that passed a room, in the form in which it handles them.',
  },
  batch_rows: { type: 'histogram', labels: [], help: 'Rows of one COPY.', buckets: rowBuckets, scale: 1 },
  produced_to_stored_seconds: {
    type: 'histogram',
    labels: [],
    help: "From the record's Kafka timestamp to the COMMIT of its row.",
    buckets: secondBuckets,
    scale: 1000,
  },
  produced_to_published_seconds: {
    type: 'histogram',
    labels: [],
    help: "From the record's Kafka timestamp to its entry in the stream.",
    buckets: secondBuckets,
    scale: 1000,
  },
  lag_records: { type: 'gauge', labels: [], help: 'Records of the assigned partitions that are not stored yet.' },
  lag_seconds: { type: 'gauge', labels: [], help: 'Age of the oldest record not stored yet; 0 when there is none.' },
  partition_lag_records: {
    type: 'gauge',
    labels: ['topic', 'partition'],
    help: 'Records of a partition not stored yet.',
  },
  mark: {
    type: 'gauge',
    labels: ['room', 'topic', 'partition'],
    help: 'The next offset a room expects, by partition.',
  },
  partitions_stopped: {
    type: 'gauge',
    labels: ['code'],
    help: 'Assigned partitions that stand still until an operator decides, by why. `millrace offsets show` tells more.',
  },
  partition_headroom_records: {
    type: 'gauge',
    labels: ['topic', 'partition'],
    help: 'Offsets between the first that Kafka still holds and the first that is not stored yet: what retention may still take without loss.',
  },
  retention_headroom_records: {
    type: 'gauge',
    labels: [],
    help: 'The smallest headroom of an assigned partition that has lag; absent when none has.',
  },
  retention_headroom_seconds: {
    type: 'gauge',
    labels: [],
    help: "The topic's retention.ms minus the lag in seconds; absent where retention is unlimited or may not be read.",
  },
  bytes_in_flight: {
    type: 'gauge',
    labels: [],
    help: 'Record bytes held by the process; bounded by inFlightBytesMax.',
  },
  publish_away: {
    type: 'gauge',
    labels: [],
    help: '1 while Redis is away and rows are stored without being published.',
  },
  unpublished_records: {
    type: 'gauge',
    labels: [],
    help: 'Records of the assigned partitions that are stored and not published yet.',
  },
  assigned_partitions: { type: 'gauge', labels: [], help: 'Partitions that this replica carries.' },
  rebalances_total: { type: 'counter', labels: [], help: 'Times the group gave out partitions anew.' },
  gate_seeks_total: {
    type: 'counter',
    labels: [],
    help: 'Partitions that began elsewhere than the group offset said.',
  },
  fenced_total: { type: 'counter', labels: [], help: 'Batches dropped because another process had moved the ledger.' },
  partition_horizon_days: {
    type: 'gauge',
    labels: [],
    help: 'Days after today that have a partition, without a gap; -1: today has none. Below 1 the process is not ready.',
  },
  partitions_to_seal: { type: 'gauge', labels: [], help: 'Closed days, past sealAfterHours, that are not sealed yet.' },
  keeper_actions_total: {
    type: 'counter',
    labels: ['action'],
    help: 'Partitions that this process made, sealed, dropped or detached.',
  },
  keeper_failures_total: {
    type: 'counter',
    labels: ['code'],
    help: 'What the partition keeper could not do, by why; it tries again.',
  },
  lost_total: { type: 'counter', labels: ['code'], help: 'Work dropped because it was no longer ours, by why.' },
} as const satisfies Record<string, MetricRow>

export type MetricName = keyof typeof metricRows
type OfType<T extends MetricRow['type']> = {
  [N in MetricName]: (typeof metricRows)[N]['type'] extends T ? N : never
}[MetricName]
export type CounterName = OfType<'counter'>
export type GaugeName = OfType<'gauge'>
export type HistogramName = OfType<'histogram'>

type LabelValue<L extends string> = L extends 'room' ? Room : L extends 'state' ? RoomState : string | number
export type Labels<N extends MetricName> = {
  readonly [L in (typeof metricRows)[N]['labels'][number]]: LabelValue<L>
}
/** Metrics without labels take none; the others must be given all of theirs. */
type LabelsOf<N extends MetricName> = (typeof metricRows)[N]['labels'] extends readonly [] ? [] : [labels: Labels<N>]

export interface Counter {
  value: number
  add(amount?: number): void
}
export interface Gauge {
  value: number
  set(value: number): void
}

export interface Metrics {
  /** The counter itself, to be held: adding is an addition. */
  counter<N extends CounterName>(name: N, ...labels: LabelsOf<N>): Counter
  gauge<N extends GaugeName>(name: N, ...labels: LabelsOf<N>): Gauge
  /** Instead of cells: read when somebody asks. What a gauge no longer yields is no longer shown; a counter must not forget. */
  observe<N extends GaugeName | CounterName>(
    name: N,
    read: () => Iterable<readonly [labels: Labels<N>, value: number]>,
  ): void
  histogram(name: HistogramName): LatencyHistogram
  /** The sum over all labels that match. */
  sum<N extends CounterName | GaugeName>(name: N, where?: Partial<Labels<N>>): number
  /** The values of a counter by one label: rejects by code, for example. */
  by<N extends CounterName>(name: N, label: keyof Labels<N> & string): Record<string, number>
  render(): Promise<string>
  readonly contentType: string
}

const prefix = 'millrace_'
type Cell = { readonly labels: Readonly<Record<string, string | number>>; value: number }

export function createMetrics(options: { processMetrics?: boolean } = {}): Metrics {
  const registry = new Registry()
  const cells = new Map<string, Map<string, Cell>>()
  const readers = new Map<string, () => Iterable<readonly [Cell['labels'], number]>>()
  const histograms = new Map<string, LatencyHistogram>()

  for (const [name, row] of Object.entries<MetricRow>(metricRows)) {
    const own = new Map<string, Cell>()
    cells.set(name, own)
    if (row.type === 'histogram') histograms.set(name, new LatencyHistogram())
    else if (row.labels.length === 0 && row.type === 'counter') own.set('', newCell({}))
    const values = () =>
      row.type === 'histogram' ? bucketValues(prefix + name, row, histograms.get(name)!) : valuesOf(name)
    const metric = { name: prefix + name, help: row.help, type: row.type, aggregator: 'sum', values: [] }
    // prom-client renders whatever has a name and a get(); its own classes would cost a hash per addition.
    registry.registerMetric({ ...metric, get: async () => ({ ...metric, values: values() }) } as unknown as Metric)
  }
  if (options.processMetrics ?? true) collectDefaultMetrics({ register: registry })

  function cell(name: MetricName, labels: Cell['labels'] = {}): Cell & Counter & Gauge {
    const row: MetricRow = metricRows[name]
    const key = row.labels.map((label) => String(labels[label])).join('\u0000')
    const own = cells.get(name)!
    const known = own.get(key) ?? newCell(labels)
    own.set(key, known)
    return known as Cell & Counter & Gauge
  }

  function valuesOf(name: string): Cell[] {
    const read = readers.get(name)
    if (read === undefined) return [...cells.get(name)!.values()]
    return Array.from(read(), ([labels, value]) => ({ labels, value }))
  }

  const matching = (name: MetricName, where: Readonly<Record<string, unknown>>) =>
    valuesOf(name).filter((own) =>
      Object.entries(where).every(([label, value]) => String(own.labels[label]) === String(value)),
    )

  return {
    counter: (name, ...labels) => cell(name, labels[0] as Cell['labels'] | undefined),
    gauge: (name, ...labels) => cell(name, labels[0] as Cell['labels'] | undefined),
    observe: (name, read) => void readers.set(name, read as () => Iterable<readonly [Cell['labels'], number]>),
    histogram: (name) => histograms.get(name)!,
    sum: (name, where = {}) => matching(name, where).reduce((total, own) => total + own.value, 0),
    by: (name, label) => {
      const totals: Record<string, number> = {}
      for (const own of valuesOf(name)) {
        const key = String(own.labels[label])
        totals[key] = (totals[key] ?? 0) + own.value
      }
      return totals
    },
    render: () => registry.metrics(),
    contentType: registry.contentType,
  }
}

/** The README's table. */
export function renderMetricsTable(): string {
  const lines = ['| metric | type | labels | what it says |', '|---|---|---|---|']
  for (const [name, row] of Object.entries<MetricRow>(metricRows)) {
    lines.push(`| \`${prefix}${name}\` | ${row.type} | ${row.labels.join(', ')} | ${row.help} |`)
  }
  return `${lines.join('\n')}\n`
}

function newCell(labels: Cell['labels']): Cell & Counter & Gauge {
  return {
    labels,
    value: 0,
    add(amount = 1) {
      this.value += amount
    },
    set(value) {
      this.value = value
    },
  }
}

function bucketValues(name: string, row: MetricRow, histogram: LatencyHistogram) {
  const scale = row.scale ?? 1
  const values: { metricName: string; labels: Record<string, string | number>; value: number }[] = []
  for (const bound of row.buckets ?? []) {
    // 0.005 * 1000 is not quite 5 in every case; bounds are whole numbers of the recorded unit.
    const limit = Math.round(bound * scale)
    assert(isEdge(limit), () => `${name}: the bound ${bound} is no edge of the histogram`)
    values.push({ metricName: `${name}_bucket`, labels: { le: bound }, value: histogram.countUpTo(limit) })
  }
  values.push({ metricName: `${name}_bucket`, labels: { le: '+Inf' }, value: histogram.count })
  values.push({ metricName: `${name}_sum`, labels: {}, value: histogram.sum / scale })
  values.push({ metricName: `${name}_count`, labels: {}, value: histogram.count })
  return values
}
