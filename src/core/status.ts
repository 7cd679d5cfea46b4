/**
 * What a process tells about itself, as one JSON value (/status.json): the live view and the fleet page read it. Everything that grows is told
 * since the start; what happened in the last second is the difference of two.
 */
import { LatencyHistogram, type LatencySnapshot } from './latency.ts'
import { byRoom, type Room, rooms } from './marks.ts'
import { type CounterName, type RoomState, roomStates } from './metrics.ts'
import type { Metrics } from './registry.ts'
import { busyShare } from './replicas.ts'

export interface PartitionStatus {
  readonly topic: string
  readonly partition: number
  readonly lane: number
  readonly marks: Readonly<Record<Room, number>>
  /** One past the last offset in Kafka, as of the last fetch; null before the first. */
  readonly endOffset: number | null
  /** Age of the oldest record not stored yet; 0 when there is none. */
  readonly lagSeconds?: number
}

export interface RoomStatus {
  readonly records: number
  readonly batches: number
  readonly seconds: Readonly<Record<RoomState, number>>
}

const told = [
  'rows_total',
  'rejects_total',
  'duplicates_total',
  'skips_total',
  'entries_total',
  'refilled_entries_total',
  'fenced_total',
  'lost_total',
  'retries_total',
  'rebalances_total',
  'gate_seeks_total',
] as const satisfies readonly CounterName[]
type Told = (typeof told)[number] extends infer N ? (N extends `${infer Stem}_total` ? Stem : never) : never

export interface Status {
  readonly version: string
  readonly consumer: string
  readonly replica: string
  readonly pid: number
  readonly startedMs: number
  /** When this was told, by the process's own clock. */
  readonly atMs: number
  readonly phase: string
  readonly live: boolean
  readonly ready: boolean
  readonly reasons: readonly string[]
  readonly lagRecords: number | null
  readonly lagSeconds: number | null
  readonly bytesInFlight: number
  readonly inFlightBytesMax: number
  readonly residentBytes: number
  /** All threads, since the process began. */
  readonly cpuSeconds?: number
  readonly lanes: number
  /** False where rows are stored and nothing goes to streams. */
  readonly publishes?: boolean
  /** Of the topic, whoever carries them. */
  readonly topicPartitions?: number
  /** How many replicas would help now, as this one sees it. */
  readonly usefulReplicas?: number | null
  /** What keeps this process from being faster, while it is behind; null while it keeps up. */
  readonly limitingRoom?: Room | null
  readonly rooms: Readonly<Record<Room, RoomStatus>>
  readonly totals: Readonly<Record<Told, number>>
  readonly rejectsByCode: Readonly<Record<string, number>>
  readonly batchRows: LatencySnapshot
  readonly storedMs: LatencySnapshot
  readonly publishedMs: LatencySnapshot
  readonly partitions: readonly PartitionStatus[]
  /** Assigned here, and standing still until an operator decides. */
  readonly stopped: readonly { readonly partition: number; readonly code: string; readonly reason: string }[]
}

/** What the metrics do not know. */
export type StatusFacts = Omit<Status, 'rooms' | 'totals' | 'rejectsByCode' | 'batchRows' | 'storedMs' | 'publishedMs'>

export function readStatus(facts: StatusFacts, metrics: Metrics): Status {
  const room = (name: Room): RoomStatus => ({
    records: metrics.sum('records_total', { room: name }),
    batches: metrics.sum('batches_total', { room: name }),
    seconds: Object.fromEntries(
      roomStates.map((state) => [state, metrics.sum('room_seconds_total', { room: name, state })]),
    ) as Record<RoomState, number>,
  })
  return {
    ...facts,
    rooms: byRoom(room),
    totals: Object.fromEntries(told.map((name) => [name.slice(0, -'_total'.length), metrics.sum(name)])) as Record<
      Told,
      number
    >,
    rejectsByCode: metrics.by('rejects_total', 'code'),
    batchRows: metrics.histogram('batch_rows').snapshot(),
    storedMs: metrics.histogram('produced_to_stored_seconds').snapshot(),
    publishedMs: metrics.histogram('produced_to_published_seconds').snapshot(),
  }
}

export interface Quantiles {
  readonly count: number
  readonly p50: number
  readonly p95: number
  readonly p99: number
}

/** What happened between two statuses of one process. */
export interface Window {
  readonly seconds: number
  readonly perSecond: Readonly<Record<Room, number>>
  readonly totals: Readonly<Record<Told, number>>
  /** The share of its time that each room worked, of all its lanes' time. */
  readonly working: Readonly<Record<Room, number>>
  readonly bottleneck: Room | 'source' | null
  readonly batchRows: LatencyHistogram
  readonly storedMs: LatencyHistogram
  readonly publishedMs: LatencyHistogram
}

export function windowOf(earlier: Status, later: Status): Window {
  // A process that was started anew in between has begun again at zero.
  const from = earlier.startedMs === later.startedMs && earlier.pid === later.pid ? earlier : null
  const seconds = Math.max(0.001, (later.atMs - (from?.atMs ?? later.startedMs)) / 1000)
  const perRoom = (of: (room: RoomStatus) => number) =>
    byRoom((name) => of(later.rooms[name]) - (from === null ? 0 : of(from.rooms[name])))
  const records = perRoom((room) => room.records)
  const worked = perRoom((room) => room.seconds.working)
  const passed = perRoom((room) => roomStates.reduce((sum, state) => sum + room.seconds[state], 0))
  const working = byRoom((name) => (passed[name] > 0 ? worked[name] / passed[name] : 0))
  const histogram = (of: (status: Status) => LatencySnapshot) => {
    const all = LatencyHistogram.from(of(later))
    return from === null ? all : all.since(of(from))
  }
  return {
    seconds,
    perSecond: byRoom((name) => records[name] / seconds),
    totals: Object.fromEntries(
      Object.entries(later.totals).map(([name, total]) => [name, total - (from?.totals[name as Told] ?? 0)]),
    ) as Record<Told, number>,
    working,
    bottleneck: bottleneckOf(working, records),
    batchRows: histogram((status) => status.batchRows),
    storedMs: histogram((status) => status.storedMs),
    publishedMs: histogram((status) => status.publishedMs),
  }
}

/** The busiest room; `source` when all have time to spare, null when nothing came by. */
export function bottleneckOf(
  working: Readonly<Record<Room, number>>,
  records: Readonly<Record<Room, number>>,
): Room | 'source' | null {
  if (rooms.every((room) => records[room] === 0)) return null
  const busiest = rooms.reduce((best, room) => (working[room] > working[best] ? room : best), rooms[0])
  return working[busiest] >= busyShare ? busiest : 'source'
}

export function quantiles(histogram: LatencyHistogram): Quantiles {
  const { count } = histogram
  return { count, p50: histogram.percentile(0.5), p95: histogram.percentile(0.95), p99: histogram.percentile(0.99) }
}
