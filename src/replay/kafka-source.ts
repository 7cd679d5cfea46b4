/**
 * The events of ranges of Kafka's partitions, read without a group and merged by time. Within a partition the order of the log stands: an event that is
 * older than the one before it counts as old as that one. What is no event by the consumer's own decoder is left out, as it is no row either.
 */
import { FatalError } from '../core/errors.ts'
import type { Decoder } from '../define.ts'
import type { KafkaReader } from '../records/kafka-reader.ts'
import type { ReplayDescription } from './description.ts'
import { bytesOf, type PlacedEvent, type ReplayEvent } from './entry.ts'
import type { Judge } from './judge.ts'
import { RunDecoder, RunReader } from './kafka-runs.ts'
import { compareKeys, type KafkaPosition, type Position } from './key.ts'
import type { KafkaRange } from './plan.ts'
import type { Estimate, ReplaySource, SourceBatch } from './source.ts'

export interface KafkaSourceOptions {
  /** Answers of so many bytes at most. */
  readonly openReader: (signal: AbortSignal, fetchBytes: number) => Promise<Pick<KafkaReader, 'runs' | 'close'>>
  readonly decoder: Decoder
  readonly description: ReplayDescription
  readonly ranges: readonly KafkaRange[]
  /** How far an event may lie from the time of its record: beyond that the fleet has rejected it. */
  readonly pastMs: number
  readonly futureMs: number
  readonly judges: readonly Judge[]
  /** A producer's second copy of an event is left out, where it comes within the next half a million. Needs a reading from the beginning. */
  readonly once: boolean
}

/** Of a batch: so many of either. */
const batchEvents = 1000
const batchBytes = 1024 * 1024
/** Where so many pieces of a partition in turn hold nothing that is wanted, what there is by then is handed on. */
const barrenMax = 8
const rememberedMax = 500_000
/** Of all partitions together: of answers, packed as they are, one in work and one ahead each; and of entries, and unpacked batches. */
const fetchBytesTotal = 4 * 1024 * 1024
const fetchBytesMin = 32 * 1024
const fetchBytesMax = 1024 * 1024
const pieceBytesTotal = 8 * 1024 * 1024
const pieceBytesMin = 16 * 1024
const pieceBytesMax = 256 * 1024

interface Lane {
  readonly range: KafkaRange
  readonly reader: RunReader
  events: readonly PlacedEvent[]
  at: number
  /** Time of the last event taken: no later one is older. */
  micros: number
  /** The first offset not decoded yet. */
  nextOffset: number
  ended: boolean
}

export function openKafkaSource(options: KafkaSourceOptions): ReplaySource {
  const { openReader, description, ranges, judges, once } = options

  /** False: nothing that is wanted yet, and not the end. */
  async function fill(lane: Lane): Promise<boolean> {
    for (let barren = 0; lane.at >= lane.events.length && !lane.ended; barren++) {
      if (barren === barrenMax) return false
      // What was handed on must not be kept while the next is waited for.
      lane.events = []
      lane.at = 0
      let piece = await lane.reader.next()
      if (piece === null) {
        lane.ended = true
        lane.nextOffset = lane.range.to
        break
      }
      lane.nextOffset = lane.reader.nextOffset
      for (const judge of judges) {
        if (piece.length === 0) break
        const fits = await judge(piece)
        piece = piece.filter((_, index) => fits[index])
      }
      let { micros } = lane
      lane.events = piece.map(({ event }) => {
        micros = event.micros = Math.max(micros, event.micros)
        return event
      })
    }
    return true
  }

  async function* read(from: Position, signal: AbortSignal): AsyncGenerator<SourceBatch, void, undefined> {
    if (ranges.length === 0) return
    const each = (total: number, min: number, max: number) =>
      Math.min(max, Math.max(min, Math.floor(total / ranges.length)))
    const reader = await openReader(signal, each(fetchBytesTotal, fetchBytesMin, fetchBytesMax))
    const decoder = new RunDecoder(options, each(pieceBytesTotal, pieceBytesMin, pieceBytesMax))
    try {
      const lanes = ranges.map((range): Lane => {
        const [begin, micros] = from.kafka?.[range.partition] ?? [range.from, 0]
        const rest = { ...range, from: begin }
        const runs = new RunReader(reader.runs(rest, expired), rest, decoder)
        return { range, reader: runs, events: [], at: 0, micros, nextOffset: begin, ended: false }
      })
      const seen = new Set<string>()
      let events: ReplayEvent[] = []
      let bytes = 0
      const handedOn = (): SourceBatch => {
        const batch = { events, fromKafka: events.length, kafka: positionOf(lanes), share: shareOf(lanes) }
        events = []
        bytes = 0
        return batch
      }
      // Asked all at once: they wait for the same broker.
      while (!(await Promise.all(lanes.map(fill))).every(Boolean)) yield handedOn()
      for (;;) {
        signal.throwIfAborted()
        const lane = earliest(lanes)
        if (lane === null) break
        if (events.length === batchEvents || bytes >= batchBytes) yield handedOn()
        const event = lane.events[lane.at++] as PlacedEvent
        lane.micros = event.micros
        const isNew = !once || isFirst(seen, event.id)
        if (isNew && (from.after === null || compareKeys(event, from.after) > 0)) {
          events.push(event)
          bytes += event.end - event.start
        }
        while (lane.at >= lane.events.length && !(await fill(lane))) yield handedOn()
      }
      if (events.length > 0) yield handedOn()
    } finally {
      await reader.close()
    }
  }

  async function estimate(signal: AbortSignal): Promise<Estimate> {
    const records = ranges.reduce((sum, { from, to }) => sum + to - from, 0)
    const none: Estimate = { events: 0, bytes: 0, exact: true, postgres: 0, kafka: 0, firstMs: null, lastMs: null }
    let sampled = 0
    let bytes = 0
    let firstMs: number | null = null
    let lastMs: number | null = null
    for await (const { events } of read({ after: null, kafka: null }, signal)) {
      bytes += bytesOf(events)
      for (const { micros } of events) {
        lastMs = Math.floor(micros / 1000)
        firstMs ??= lastMs
      }
      sampled += events.length
      if (sampled >= batchEvents) {
        bytes = Math.round((bytes / sampled) * records)
        return { ...none, events: records, bytes, exact: false, kafka: records, firstMs }
      }
    }
    return { ...none, events: sampled, bytes, kafka: sampled, firstMs, lastMs }
  }

  return { estimate, read, close: async () => {} }

  function expired(partition: number, low: number): void {
    throw new FatalError(
      'HISTORY_EXPIRED',
      `Kafka has dropped records of partition ${partition} below ${low} while they were to be replayed.`,
      `Begin another replay ${description.source === 'auto' ? 'once they are stored' : 'with --source auto'}.`,
    )
  }
}

function isFirst(seen: Set<string>, id = ''): boolean {
  if (seen.has(id)) return false
  seen.add(id)
  if (seen.size > rememberedMax) for (const oldest of seen) return seen.delete(oldest)
  return true
}

function earliest(lanes: readonly Lane[]): Lane | null {
  let first: Lane | null = null
  for (const lane of lanes) {
    const head = lane.events[lane.at]
    if (head === undefined) continue
    if (first === null || compareKeys(head, first.events[first.at] as PlacedEvent) < 0) first = lane
  }
  return first
}

function positionOf(lanes: readonly Lane[]): KafkaPosition {
  return Object.fromEntries(
    lanes.map(({ range: { partition }, events, at, nextOffset, micros }) => [
      String(partition),
      [events[at]?.offset ?? nextOffset, micros] as const,
    ]),
  )
}

function shareOf(lanes: readonly Lane[]): number {
  let read = 0
  let all = 0
  for (const { range, events, at, nextOffset } of lanes) {
    read += (events[at]?.offset ?? nextOffset) - range.from
    all += range.to - range.from
  }
  return read / all
}
