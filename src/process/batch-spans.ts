/**
 * What was noted of a batch, as spans: one for the batch, one for each room it has been in, and one in its producer's trace for each followed event.
 * Made once, when the batch has ended.
 */
import type { Decoded, Packed, TracedRecord } from '../core/batch.ts'
import { formatUuid } from '../core/identity.ts'
import type { Attributes, Span } from '../core/otlp.ts'
import type { TraceContext } from '../core/trace-context.ts'
import {
  batchSpan,
  eventSpan,
  kinds,
  moments,
  names,
  type Outcome,
  roomKinds,
  roomSpan,
  type TracedRoom,
} from '../core/trace-names.ts'
import type { Foreign } from '../flow/persist/port.ts'

export interface Setting {
  readonly lane: number
  readonly topic: string
  readonly table: string
  readonly group: string
  /** False: nothing goes to streams, and stored is as far as an event gets. */
  readonly publishes: boolean
}

export interface RoomTimes {
  readonly startMs: number
  /** null: it has not come out. */
  endMs: number | null
  error: string | null
  readonly moments: { readonly name: string; readonly atMs: number; readonly attributes?: Attributes }[]
}

export interface Story {
  readonly context: TraceContext
  readonly packed: Packed
  /** null: given up before it was decoded. */
  readonly batch: Decoded | null
  /** Consume/ first. */
  readonly rooms: ReadonlyMap<TracedRoom, RoomTimes>
  readonly startMs: number
  readonly endMs: number
  /** When each of the followed records was taken in. */
  readonly takenMs: readonly number[]
  readonly foreign: Foreign
  /** null: not published. */
  readonly entries: number | null
  /** Why it was given up. */
  readonly error: string | null
}

export function spansOf(story: Story, setting: Setting, newSpanId: () => string): Span[] {
  const { context, batch, rooms, error } = story
  const roomSpans = [...rooms].map(
    ([room, times]): Span => ({
      name: roomSpan(room, setting),
      kind: roomKinds[room],
      context: { ...context, spanId: newSpanId() },
      parent: { spanId: context.spanId, remote: false },
      startMs: times.startMs,
      endMs: times.endMs ?? story.endMs,
      attributes: roomAttributes(room, story, setting),
      moments: times.moments,
      links: [],
      error: times.error ?? (times.endMs === null ? error : null),
    }),
  )
  const events = batch?.traced.map((record, index): Span => {
    const { traceId, spanId, state } = record
    const outcome = outcomeOf(record, story, setting)
    return {
      name: eventSpan(setting.topic),
      kind: kinds.consumer,
      context: { traceId, spanId: newSpanId(), state },
      parent: { spanId, remote: true },
      startMs: story.takenMs[index] ?? story.startMs,
      endMs: story.endMs,
      attributes: { ...eventAttributes(record, batch, setting), [names.outcome]: outcome },
      moments: momentsOf(outcome, story),
      links: [context],
      error: record.reject ?? (outcome === 'lost' ? error : null),
    }
  })
  return [rootSpan(story, setting), ...roomSpans, ...(events ?? [])]
}

function rootSpan({ context, packed, batch, startMs, endMs, error }: Story, setting: Setting): Span {
  return {
    name: batchSpan(setting.topic),
    kind: kinds.consumer,
    context,
    parent: null,
    startMs,
    endMs,
    attributes: {
      ...messaging(setting, 'batch', 'process'),
      [names.group]: setting.group,
      [names.batchSize]: packed.records,
      [names.lane]: setting.lane,
      [names.partitions]: packed.slices.length,
      [names.again]: packed.again,
      ...(batch !== null && { [names.rows]: batch.rows.count, [names.rejects]: batch.rejects.count }),
    },
    moments: [],
    links: batch?.traced.map(({ traceId, spanId, state }) => ({ traceId, spanId, state })) ?? [],
    error,
  }
}

const messaging = ({ topic }: Setting, operation: string, operationType: string): Attributes => ({
  [names.system]: 'kafka',
  [names.destination]: topic,
  [names.operation]: operation,
  [names.operationType]: operationType,
})

function roomAttributes(room: TracedRoom, { packed, batch, entries }: Story, setting: Setting): Attributes {
  if (room === 'consume') return { ...messaging(setting, 'poll', 'receive'), [names.batchSize]: packed.records }
  if (room === 'decode') return {}
  if (room === 'persist') {
    return {
      [names.dbSystem]: 'postgresql',
      [names.dbOperation]: 'COPY',
      [names.dbCollection]: setting.table,
      [names.dbBatchSize]: batch?.rows.count ?? 0,
    }
  }
  return {
    [names.system]: 'redis',
    [names.operation]: 'XADD',
    [names.operationType]: 'send',
    ...(entries !== null && { [names.batchSize]: entries }),
  }
}

const eventAttributes = ({ slice, offset, row }: TracedRecord, batch: Decoded, setting: Setting): Attributes => ({
  ...messaging(setting, 'process', 'process'),
  [names.group]: setting.group,
  [names.partition]: String(batch.slices[slice]?.partition),
  [names.offset]: offset,
  ...(row >= 0 && { [names.row]: formatUuid(batch.rows.ids, row * 16) }),
})

function isThrough(room: TracedRoom, { rooms }: Story): boolean {
  const times = rooms.get(room)
  return times !== undefined && times.endMs !== null && times.error === null
}

function outcomeOf({ row, reject }: TracedRecord, story: Story, { publishes }: Setting): Outcome {
  if (!isThrough('persist', story)) return 'lost'
  if (row < 0) return reject === null ? 'skipped' : 'rejected'
  if (story.foreign?.has(row)) return 'duplicate'
  if (publishes && story.entries !== null) return 'published'
  return story.error === null ? 'stored' : 'lost'
}

/** How far this one got, and when. */
function momentsOf(outcome: Outcome, story: Story): Span['moments'] {
  const rooms = ['decode', 'persist', ...(outcome === 'published' ? (['publish'] as const) : [])] as const
  return rooms
    .filter((room) => isThrough(room, story))
    .map((room) => ({ name: moments[room], atMs: story.rooms.get(room)?.endMs as number }))
}
