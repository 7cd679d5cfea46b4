/** Batches as the hallway makes them, from records a test writes down. */
import { type Chunk, type Decoded, type Packed, packChunks } from '../../src/core/batch.ts'
import { type RawRecord, type RecordRun, runBytes, runOf } from '../../src/core/record.ts'
import { cloudEvent } from '../../src/decoders/cloud-event.ts'
import { type ConsumerDefinition, defineConsumer } from '../../src/define.ts'
import { decodeBatch } from '../../src/flow/decode/decode-batch.ts'
import type { DecodeLimits } from '../../src/flow/decode/port.ts'

export const nowMs = Date.UTC(2026, 10, 21, 12)
export const dayMs = 86_400_000

/** Events of type com.x.NAME go to events:NAME. */
export const definition: ConsumerDefinition = defineConsumer({
  topic: 'cloud-events',
  table: 'cloud_events',
  decoder: cloudEvent,
  route: ({ type }) => `events:${type.split('.')[2] ?? 'cloud'}`,
  metrics: [
    { name: 'tests_total', help: 'Events.', label: 'type', values: ['com.x.cloud', 'com.x.order'], of: (type) => type },
    { name: 'tests_bytes', help: 'Their bytes.', measure: 'event_bytes' },
  ],
})

export const limits: DecodeLimits = {
  consumer: 'tests',
  eventPastMsMax: 30 * dayMs,
  eventFutureMsMax: dayMs,
  valueBytesMax: 4_000_000,
  tracedMax: 0,
}

export interface EventSpec {
  readonly id: string
  readonly source?: string
  readonly type?: string
  readonly timeMs?: number
  readonly data?: unknown
  readonly traceparent?: string
}

export function eventText({
  id,
  source = '/tests',
  type = 'com.x.cloud',
  timeMs = nowMs,
  data = { id },
  traceparent,
}: EventSpec): string {
  const time = new Date(timeMs).toISOString()
  return JSON.stringify({ specversion: '1.0', id, source, type, time, traceparent, data })
}

/** A record that holds this event, or these very bytes. */
export function record(
  offset: number,
  what: EventSpec | string | Buffer | null,
  over: Partial<RawRecord> = {},
): RawRecord {
  const value =
    what === null || Buffer.isBuffer(what) ? what : Buffer.from(typeof what === 'string' ? what : eventText(what))
  return { offset: String(offset), timestamp: String(nowMs), key: null, value, ...over }
}

export interface ChunkSpec {
  readonly partition: number
  readonly records?: readonly RawRecord[]
  /** Instead of one run of all records. */
  readonly runs?: readonly RecordRun[]
  readonly firstOffset?: number
  readonly nextOffset?: number
  readonly again?: boolean
}

export function chunkOf({ partition, records = [], again = false, ...given }: ChunkSpec): Chunk {
  const runs = given.runs ?? (records.length === 0 ? [] : [runOf(records)])
  const firstOffset = given.firstOffset ?? runs[0]?.baseOffset ?? 0
  const nextOffset = given.nextOffset ?? (runs.at(-1)?.lastOffset ?? firstOffset - 1) + 1
  const count = runs.reduce((sum, run) => sum + run.count, 0)
  const bytes = runs.reduce((sum, run) => sum + runBytes(run), 0)
  return { partition, firstOffset, nextOffset, runs, records: Math.min(count, nextOffset - firstOffset), bytes, again }
}

export const pack = (...chunks: readonly ChunkSpec[]): Packed => packChunks(chunks.map(chunkOf))

export const decode = (packed: Packed, over: Partial<DecodeLimits> = {}): Decoded =>
  decodeBatch(definition, { ...limits, ...over }, packed, nowMs)

export const batchOf = (...chunks: readonly ChunkSpec[]): Decoded => decode(pack(...chunks))
