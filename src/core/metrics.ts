/**
 * Every metric of a process, one row each: the README's table, the registry, and the checks of dashboards and rules are made from it. No label
 * can take more values than its table, its topic or its consumer file lists.
 *
 * What a consumer file declares for itself (core/business.ts) comes besides, under the names given there.
 */
import { type BusinessMetric, businessSeries } from './business.ts'
import type { Room } from './marks.ts'

/** What a room does with its second: it works, it waits for something to come in, or it waits for the next room to take something. */
export const roomStates = ['working', 'input', 'output'] as const
export type RoomState = (typeof roomStates)[number]

export interface MetricRow {
  readonly type: 'counter' | 'gauge' | 'histogram'
  /** What is counted or measured; empty for what is only yes or no. */
  readonly unit: string
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
  info: {
    type: 'gauge',
    unit: '',
    labels: ['version', 'consumer', 'replica'],
    help: 'Always 1; says who is speaking.',
  },
  records_total: { type: 'counter', unit: 'records', labels: ['room'], help: 'Records that passed a room.' },
  batches_total: { type: 'counter', unit: 'batches', labels: ['room'], help: 'Batches that passed a room.' },
  room_seconds_total: {
    type: 'counter',
    unit: 'seconds',
    labels: ['room', 'state'],
    help: "Where a room's time goes: working, waiting for input, waiting for the next room. Summed over lanes.",
  },
  retries_total: {
    type: 'counter',
    unit: 'attempts',
    labels: ['room', 'code'],
    help: 'Attempts repeated because the world was busy.',
  },
  rows_total: { type: 'counter', unit: 'rows', labels: [], help: 'Events stored as rows.' },
  rejects_total: { type: 'counter', unit: 'records', labels: ['code'], help: 'Records stored in rejects, by why.' },
  unlabelled_total: {
    type: 'counter',
    unit: 'events',
    labels: [],
    help: 'Events stored that were read as structured mode although no header said so.',
  },
  duplicates_total: {
    type: 'counter',
    unit: 'events',
    labels: [],
    help: "A producer's duplicates of events already stored.",
  },
  skips_total: { type: 'counter', unit: 'records', labels: [], help: 'Records that are not ours.' },
  entries_total: { type: 'counter', unit: 'entries', labels: [], help: 'Entries added to streams.' },
  refilled_entries_total: {
    type: 'counter',
    unit: 'entries',
    labels: [],
    help: 'Entries added again because a stream had lost them.',
  },
  bytes_total: {
    type: 'counter',
    unit: 'bytes',
    labels: ['room'],
    help: 'Bytes that passed a room, in the form in which it handles them.',
  },
  batch_rows: { type: 'histogram', unit: 'rows', labels: [], help: 'Rows of one COPY.', buckets: rowBuckets, scale: 1 },
  produced_to_stored_seconds: {
    type: 'histogram',
    unit: 'seconds',
    labels: [],
    help: "From the record's Kafka timestamp to the COMMIT of its row.",
    buckets: secondBuckets,
    scale: 1000,
  },
  produced_to_published_seconds: {
    type: 'histogram',
    unit: 'seconds',
    labels: [],
    help: "From the record's Kafka timestamp to its entry in the stream.",
    buckets: secondBuckets,
    scale: 1000,
  },
  event_to_stored_seconds: {
    type: 'histogram',
    unit: 'seconds',
    labels: [],
    help: "From the event's own time to the COMMIT of its row.",
    buckets: secondBuckets,
    scale: 1000,
  },
  event_to_published_seconds: {
    type: 'histogram',
    unit: 'seconds',
    labels: [],
    help: "From the event's own time to its entry in the stream.",
    buckets: secondBuckets,
    scale: 1000,
  },
  copy_seconds_total: {
    type: 'counter',
    unit: 'seconds',
    labels: [],
    help: 'Time of the transactions that stored something, BEGIN to the answer of COMMIT; rows_total over it is the rate of COPY. Summed over lanes.',
  },
  lag_records: {
    type: 'gauge',
    unit: 'records',
    labels: [],
    help: 'Records of the assigned partitions that are not stored yet.',
  },
  lag_seconds: {
    type: 'gauge',
    unit: 'seconds',
    labels: [],
    help: 'Age of the oldest record not stored yet; 0 when there is none.',
  },
  partition_lag_records: {
    type: 'gauge',
    unit: 'records',
    labels: ['topic', 'partition'],
    help: 'Records of a partition not stored yet.',
  },
  partition_lag_seconds: {
    type: 'gauge',
    unit: 'seconds',
    labels: ['topic', 'partition'],
    help: 'Age of the oldest record of a partition not stored yet; 0 when there is none.',
  },
  room_lag_records: {
    type: 'gauge',
    unit: 'records',
    labels: ['room'],
    help: 'Records of the assigned partitions that have not passed a room yet.',
  },
  room_lag_seconds: {
    type: 'gauge',
    unit: 'seconds',
    labels: ['room'],
    help: 'Age of the oldest record that has not passed a room yet; 0 when there is none.',
  },
  bottleneck: {
    type: 'gauge',
    unit: '',
    labels: ['room'],
    help: '1 for the room that limits the process now, 0 for the others; without lag 0 for all.',
  },
  room_stretch: {
    type: 'gauge',
    unit: 'ratio',
    labels: ['room'],
    help: 'Seconds per row now over seconds per row at its best, of the rooms whose work is done by a server; absent while too little is known.',
  },
  useful_replicas: {
    type: 'gauge',
    unit: 'replicas',
    labels: [],
    help: 'How many replicas of this consumer would be of use now, as this one sees it; absent while it has no partition. Take the highest.',
  },
  mark: {
    type: 'gauge',
    unit: 'offset',
    labels: ['room', 'topic', 'partition'],
    help: 'The next offset a room expects, by partition.',
  },
  partitions_stopped: {
    type: 'gauge',
    unit: 'partitions',
    labels: ['code'],
    help: 'Assigned partitions that stand still until an operator decides, by why. `millrace offsets show` tells more.',
  },
  partition_headroom_records: {
    type: 'gauge',
    unit: 'records',
    labels: ['topic', 'partition'],
    help: 'Offsets between the first that Kafka still holds and the first that is not stored yet: what retention may still take without loss.',
  },
  retention_headroom_records: {
    type: 'gauge',
    unit: 'records',
    labels: [],
    help: 'The smallest headroom of an assigned partition that has lag; absent when none has.',
  },
  retention_headroom_seconds: {
    type: 'gauge',
    unit: 'seconds',
    labels: [],
    help: "The topic's retention.ms minus the lag in seconds; absent where retention is unlimited or may not be read.",
  },
  bytes_in_flight: {
    type: 'gauge',
    unit: 'bytes',
    labels: [],
    help: 'Record bytes held by the process; bounded by inFlightBytesMax.',
  },
  decode_queue: { type: 'gauge', unit: 'batches', labels: [], help: 'Batches that wait for a decoding thread.' },
  main_thread_share: {
    type: 'gauge',
    unit: 'ratio',
    labels: [],
    help: 'Share of the last ten seconds in which the main thread had a core: near 1 it can do no more.',
  },
  event_loop_delay_seconds: {
    type: 'gauge',
    unit: 'seconds',
    labels: ['quantile'],
    help: 'How late the main thread came to what was due, over the last ten seconds.',
  },
  publish_away: {
    type: 'gauge',
    unit: '',
    labels: [],
    help: '1 while Redis is away and rows are stored without being published.',
  },
  server_away: {
    type: 'gauge',
    unit: '',
    labels: ['server'],
    help: '1 for each of kafka, postgres and redis that does not answer this process now.',
  },
  unpublished_records: {
    type: 'gauge',
    unit: 'records',
    labels: [],
    help: 'Records of the assigned partitions that are stored and not published yet.',
  },
  redis_memory_bytes: {
    type: 'gauge',
    unit: 'bytes',
    labels: [],
    help: 'Memory used by Redis; of a cluster, by the master that is fullest. Absent while Redis is away.',
  },
  redis_memory_max_bytes: {
    type: 'gauge',
    unit: 'bytes',
    labels: [],
    help: 'What maxmemory of the same server allows; 0: no limit.',
  },
  stream_entries: {
    type: 'gauge',
    unit: 'entries',
    labels: ['family'],
    help: "Entries in the streams of this replica's partitions, by family as the consumer file lists them, any other one as `other`. Asked every 15 s.",
  },
  assigned_partitions: { type: 'gauge', unit: 'partitions', labels: [], help: 'Partitions that this replica carries.' },
  rebalances_total: {
    type: 'counter',
    unit: 'rebalances',
    labels: [],
    help: 'Times the group gave out partitions anew.',
  },
  gate_seeks_total: {
    type: 'counter',
    unit: 'partitions',
    labels: [],
    help: 'Partitions that began elsewhere than the group offset said.',
  },
  gaps_total: {
    type: 'counter',
    unit: 'gaps',
    labels: [],
    help: 'Times Kafka, asked twice, went on beyond the offset asked for and still held that offset: compaction or deleted records, nothing of ours.',
  },
  restarts_total: {
    type: 'counter',
    unit: 'restarts',
    labels: [],
    help: 'How often the supervisor of `npm start` has started this replica anew; elsewhere 0.',
  },
  fenced_total: {
    type: 'counter',
    unit: 'batches',
    labels: [],
    help: 'Batches dropped because another process had moved the ledger.',
  },
  partition_horizon_days: {
    type: 'gauge',
    unit: 'days',
    labels: [],
    help: 'Days after today that have a partition, without a gap; -1: today has none. Below 1 the process is not ready.',
  },
  partitions_to_seal: {
    type: 'gauge',
    unit: 'partitions',
    labels: [],
    help: 'Closed days, past sealAfterHours, that are not sealed yet.',
  },
  keeper_actions_total: {
    type: 'counter',
    unit: 'partitions',
    labels: ['action'],
    help: 'Partitions that this process made, sealed, dropped or detached.',
  },
  keeper_failures_total: {
    type: 'counter',
    unit: 'failures',
    labels: ['code'],
    help: 'What the partition keeper could not do, by why; it tries again.',
  },
  trace_spans_total: {
    type: 'counter',
    unit: 'spans',
    labels: ['outcome'],
    help: 'Spans `exported`, `dropped` because too many waited, `failed` because the receiver did not take them. Only where traces are on.',
  },
  lost_total: {
    type: 'counter',
    unit: 'losses',
    labels: ['code'],
    help: 'Work dropped because it was no longer ours, by why.',
  },
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
export type LabelsOf<N extends MetricName> = (typeof metricRows)[N]['labels'] extends readonly []
  ? []
  : [labels: Labels<N>]

const prefix = 'millrace_'

/** As Prometheus knows it. */
export const fullName = (name: MetricName): string => prefix + name

export interface SeriesName {
  readonly type: string
  readonly labels: readonly string[]
}

/** Every name a query may use, with the labels it has: of histograms and summaries those of their parts. */
export function seriesNames(business: readonly BusinessMetric[] = []): Map<string, SeriesName> {
  const names = new Map<string, SeriesName>()
  const add = (name: string, { type, labels }: SeriesName) => {
    if (type === 'histogram') names.set(`${name}_bucket`, { type, labels: [...labels, 'le'] })
    if (type === 'summary') names.set(name, { type, labels: [...labels, 'quantile'] })
    if (type !== 'histogram' && type !== 'summary') return void names.set(name, { type, labels })
    for (const part of ['sum', 'count']) names.set(`${name}_${part}`, { type, labels })
  }
  for (const [name, row] of Object.entries<MetricRow>(metricRows)) add(prefix + name, row)
  for (const { name, ...row } of businessSeries(business)) add(name, row)
  return names
}

interface TableRow {
  readonly name: string
  readonly type: string
  readonly unit: string
  readonly labels: readonly string[]
  readonly help: string
}

function renderTable(rows: readonly TableRow[]): string {
  const lines = ['| metric | type | unit | labels | what it says |', '|---|---|---|---|---|']
  for (const { name, type, unit, labels, help } of rows)
    lines.push(`| \`${name}\` | ${type} | ${unit} | ${labels.join(', ')} | ${help} |`)
  return `${lines.join('\n')}\n`
}

/** The README's tables. */
export const renderMetricsTable = (): string =>
  renderTable(Object.entries<MetricRow>(metricRows).map(([name, row]) => ({ ...row, name: prefix + name })))
export const renderBusinessTable = (business: readonly BusinessMetric[]): string =>
  renderTable(businessSeries(business))
