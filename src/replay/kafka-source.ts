/**
 * The events of ranges of Kafka's partitions, read without a group and merged by time. Within a partition the order of the log stands: an event that is
 * older than the one before it counts as old as that one. What is no event by the consumer's own decoder is left out, as it is no row either.
 */
import { ByteWriter } from '../core/bytes.ts'
import { FatalError } from '../core/errors.ts'
import { EventView } from '../core/event.ts'
import { eventId } from '../core/identity.ts'
import { RecordView, runOf } from '../core/record.ts'
import type { Decoder } from '../define.ts'
import type { Feed } from '../records/feed.ts'
import type { KafkaReader, SourceRecord } from '../records/kafka-reader.ts'
import type { ReplayDescription } from './description.ts'
import { markedEntry, type ReplayEvent } from './entry.ts'
import type { Judge } from './judge.ts'
import { compareKeys, type KafkaPosition, type Position } from './key.ts'
import type { KafkaRange } from './plan.ts'
import { type Facts, matcher } from './selection.ts'
import type { Estimate, ReplaySource, SourceBatch } from './source.ts'

export interface KafkaSourceOptions {
  /** Answers of so many bytes at most. */
  readonly openReader: (signal: AbortSignal, fetchBytes: number) => Promise<KafkaReader>
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

const batchEvents = 1000
const decodeRecords = 500
/** Where so many pieces of a partition in turn hold nothing that is wanted, what there is by then is handed on. */
const barrenMax = 8
const rememberedMax = 500_000
/** Of all partitions together, for one answer each: what is read ahead and what was decoded come on top. */
const fetchBytesTotal = 24 * 1024 * 1024
const fetchBytesMin = 64 * 1024
const fetchBytesMax = 2 * 1024 * 1024

interface Lane {
  readonly range: KafkaRange
  readonly feed: Feed<SourceRecord>
  events: readonly ReplayEvent[]
  at: number
  /** Time of the last event taken: no later one is older. */
  micros: number
  /** The first offset not decoded yet. */
  nextOffset: number
  ended: boolean
}

export function openKafkaSource(options: KafkaSourceOptions): ReplaySource {
  const { openReader, description, ranges, judges, once } = options
  const decode = createDecode(options)

  /** False: nothing that is wanted yet, and not the end. */
  async function fill(lane: Lane): Promise<boolean> {
    const { feed } = lane
    for (let barren = 0; lane.at >= lane.events.length && !lane.ended; barren++) {
      if (barren === barrenMax) return false
      if (feed.empty) await feed.ready()
      const records: SourceRecord[] = []
      for (let head = feed.head(); head !== undefined && records.length < decodeRecords; head = feed.head()) {
        records.push(head)
        feed.take()
        if (feed.empty) break
      }
      const last = records.at(-1)
      if (last === undefined) {
        lane.ended = true
        lane.nextOffset = lane.range.to
        break
      }
      let candidates = decode(records)
      for (const judge of judges) {
        if (candidates.length === 0) break
        const fits = await judge(candidates)
        candidates = candidates.filter((_, index) => fits[index])
      }
      let micros = lane.micros
      lane.events = candidates.map(({ event }) => {
        micros = Math.max(micros, event.micros)
        return micros === event.micros ? event : { ...event, micros }
      })
      lane.at = 0
      lane.nextOffset = last.offset + 1
    }
    return true
  }

  async function* read(from: Position, signal: AbortSignal): AsyncGenerator<SourceBatch, void, undefined> {
    if (ranges.length === 0) return
    const bytes = Math.min(fetchBytesMax, Math.max(fetchBytesMin, Math.floor(fetchBytesTotal / ranges.length)))
    const reader = await openReader(signal, bytes)
    try {
      const lanes = ranges.map((range): Lane => {
        const [begin, micros] = from.kafka?.[range.partition] ?? [range.from, 0]
        const feed = reader.read([{ ...range, from: begin }], expired)
        return { range, feed, events: [], at: 0, micros, nextOffset: begin, ended: false }
      })
      const seen = new Set<string>()
      let events: ReplayEvent[] = []
      const handedOn = (): SourceBatch => {
        const batch = { events, fromKafka: events.length, kafka: positionOf(lanes), share: shareOf(lanes) }
        events = []
        return batch
      }
      // Asked all at once: they wait for the same broker.
      while (!(await Promise.all(lanes.map(fill))).every(Boolean)) yield handedOn()
      for (;;) {
        signal.throwIfAborted()
        const lane = earliest(lanes)
        if (lane === null) break
        if (events.length === batchEvents) yield handedOn()
        const event = lane.events[lane.at++] as ReplayEvent
        lane.micros = event.micros
        const isNew = !once || isFirst(seen, event.id)
        if (isNew && (from.after === null || compareKeys(event, from.after) > 0)) events.push(event)
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
      for (const { entry, micros } of events) {
        bytes += entry.length
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

interface Candidate {
  readonly event: ReplayEvent
  readonly data: string | null
  readonly id: string
}

function createDecode(options: KafkaSourceOptions): (records: readonly SourceRecord[]) => Candidate[] {
  const { decoder, description, pastMs, futureMs, judges, once } = options
  const { select, id: replayId, fromMs, toMs } = description
  const view = new RecordView()
  const event = new EventView()
  const written = new ByteWriter(0)
  const fits = matcher(select)
  const keys = select.keys.length === 0 ? null : new Set(select.keys)
  return (records) => {
    const run = runOf(
      records.map(({ offset, timestampMs, key, value, headers }) => ({
        offset: String(offset),
        timestamp: String(timestampMs),
        key,
        value,
        headers,
      })),
    )
    const bytes = Buffer.from(run.bytes.buffer, run.bytes.byteOffset, run.bytes.length)
    view.open(bytes, run)
    const found: Candidate[] = []
    for (const { partition, offset, timestampMs, key } of records) {
      view.next()
      if (decoder.decode(view, event) !== null) continue
      const micros = event.timeMicros
      const ms = Math.floor(micros / 1000)
      if (!(micros >= 0 && ms >= timestampMs - pastMs && ms <= timestampMs + futureMs)) continue
      if ((fromMs !== null && ms < fromMs) || (toMs !== null && ms >= toMs)) continue
      if (keys !== null && (key === null || !keys.has(key.toString('utf8')))) continue
      if (!fits(event as Facts)) continue
      event.writeEntry(written)
      const own = written.take(0)
      const id = judges.length > 0 || once ? eventId(ms, event.source, event.id) : ''
      const entry = markedEntry(own, replayId, event.timed ? null : micros)
      found.push({
        event: { micros, partition, offset, entry, id },
        // Only a judge wants these.
        data:
          judges.length === 0 || event.dataStart < 0 ? null : bytes.toString('utf8', event.dataStart, event.dataEnd),
        id,
      })
    }
    return found
  }
}

function earliest(lanes: readonly Lane[]): Lane | null {
  let first: Lane | null = null
  for (const lane of lanes) {
    const head = lane.events[lane.at]
    if (head === undefined) continue
    if (first === null || compareKeys(head, first.events[first.at] as ReplayEvent) < 0) first = lane
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
