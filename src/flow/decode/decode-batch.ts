/** The pure heart of decode/: one packed batch through a consumer's decoder. Runs in the workers, and inline in memory.ts. */
import type { CopyOfDay, Decoded, Packed, Slice } from '../../core/batch.ts'
import { CopyWriter } from '../../core/copy.ts'
import { EventView, ID, SOURCE, SUBJECT, TENANT, TYPE } from '../../core/event.ts'
import { writeEventId } from '../../core/identity.ts'
import { RecordView } from '../../core/record.ts'
import { type Reject, reject } from '../../core/verdict.ts'
import type { ConsumerDefinition } from '../../define.ts'
import type { DecodeLimits } from './port.ts'

const dayMs = 86_400_000
const noBytes = new Uint8Array(0)

export function decodeBatch(
  definition: ConsumerDefinition,
  limits: DecodeLimits,
  packed: Packed,
  nowMs: number,
): Decoded {
  const { decoder, route } = definition
  const bytes = Buffer.from(packed.buffer)
  const record = new RecordView(bytes)
  const event = new EventView()
  const topic = Buffer.from(definition.topic)
  const decoderName = Buffer.from(decoder.name)
  const consumer = Buffer.from(limits.consumer)

  const ids = new Uint8Array(packed.records * 16)
  const sliceOf = new Uint16Array(packed.records)
  const offset = new Float64Array(packed.records)
  const family = new Uint16Array(packed.records)
  const entryStart = new Int32Array(packed.records)
  const entryEnd = new Int32Array(packed.records)
  const timestampMs = new Float64Array(packed.records)
  const slices: Slice[] = []
  const families: string[] = []
  const familyIndex = new Map<string, number>()
  const envelopes: Uint8Array[] = []
  const copies = new Map<number, CopyWriter>()
  const codes: Record<string, number> = {}
  let rejects: CopyWriter | null = null
  let envelopeBytes = 0
  let rows = 0
  const oldestMs = nowMs - limits.eventPastMsMax
  const newestMs = nowMs + limits.eventFutureMsMax
  let currentDay = Number.NaN
  let current: CopyWriter | null = null

  for (let index = 0; index < packed.slices.length; index++) {
    const range = packed.slices[index] as Packed['slices'][number]
    const before = rows
    let rejected = 0
    let skipped = 0
    for (let n = 0; n < range.records; n++) {
      record.next(range.firstOffset)
      let verdict =
        record.valueEnd - record.valueStart > limits.valueBytesMax
          ? reject('too_large', `It has ${record.valueEnd - record.valueStart} bytes.`)
          : decoder.decode(record, event)
      const eventMs = Math.floor(event.timeMicros / 1000)
      // A record that comes by again was judged when it was stored; the clock has moved since.
      if (verdict === null && !packed.again && !(eventMs >= oldestMs && eventMs <= newestMs)) {
        verdict = reject('time_out_of_window', `It is ${describeTime(eventMs)}.`)
      }
      if (verdict !== null) {
        if (verdict.kind === 'skip') skipped++
        else {
          rejected++
          codes[verdict.code] = (codes[verdict.code] ?? 0) + 1
          if (!packed.again) {
            rejects ??= new CopyWriter(4096)
            writeReject(rejects, record, verdict, range.partition, consumer, topic, decoderName)
          }
        }
        continue
      }

      writeEventId(ids, rows * 16, eventMs, event.source, event.id)
      sliceOf[rows] = index
      offset[rows] = record.offset
      timestampMs[rows] = record.timestampMs
      if (route !== undefined) {
        const name = route(event)
        let at = familyIndex.get(name)
        if (at === undefined) {
          at = families.push(name) - 1
          familyIndex.set(name, at)
        }
        family[rows] = at
        if (event.envelope === null) {
          entryStart[rows] = event.entryStart
          entryEnd[rows] = event.entryEnd
        } else {
          entryStart[rows] = -envelopeBytes - 1
          envelopeBytes += event.envelope.length
          entryEnd[rows] = envelopeBytes
          envelopes.push(event.envelope)
        }
      }
      if (!packed.again) {
        const day = Math.floor(eventMs / dayMs)
        if (day !== currentDay) {
          currentDay = day
          current = copies.get(day) ?? null
          if (current === null) {
            current = new CopyWriter(bytes.length + packed.records * 120)
            copies.set(day, current)
          }
        }
        writeRow(current as CopyWriter, event, record, ids, rows * 16, topic, range.partition)
      }
      rows++
    }
    slices.push({
      partition: range.partition,
      firstOffset: range.firstOffset,
      nextOffset: range.nextOffset,
      records: range.records,
      rows: rows - before,
      rejects: rejected,
      skips: skipped,
      lastTimestampMs: range.records === 0 ? 0 : record.timestampMs,
    })
  }

  const copiesOfDays: CopyOfDay[] = [...copies].map(([day, writer]) => ({
    day,
    rows: writer.rows,
    bytes: writer.finish(),
  }))
  return {
    again: packed.again,
    bytes: packed.bytes,
    records: packed.records,
    slices,
    rows: { count: rows, ids, slice: sliceOf, offset, family, entryStart, entryEnd, timestampMs },
    copies: copiesOfDays,
    rejects: { count: rejects?.rows ?? 0, bytes: rejects === null ? noBytes : rejects.finish(), codes },
    families,
    entryBytes: bytes,
    envelopes: envelopes.length === 0 ? noBytes : new Uint8Array(Buffer.concat(envelopes)),
  }
}

function describeTime(ms: number): string {
  return Number.isNaN(ms) || Math.abs(ms) > 8.64e15 ? String(ms) : new Date(ms).toISOString()
}

function writeRow(
  copy: CopyWriter,
  event: EventView,
  record: RecordView,
  ids: Uint8Array,
  idAt: number,
  topic: Buffer,
  partition: number,
): void {
  const { bytes, at, own, extensions } = event
  let size = 64 + topic.length + (event.dataEnd - event.dataStart) + (extensions?.length ?? 0)
  for (let column = SOURCE; column <= TENANT; column++) {
    size += (own[column]?.length ?? 0) + (at[column * 2 + 1] as number) - (at[column * 2] as number)
  }
  copy.row(13, size)
  copy.bytes(ids, idAt, idAt + 16)
  copy.timestamp(event.timeMicros)
  writeText(copy, event, SOURCE)
  writeText(copy, event, ID)
  writeText(copy, event, TYPE)
  writeText(copy, event, SUBJECT)
  writeText(copy, event, TENANT)
  if (event.dataStart < 0) copy.null()
  else copy.jsonb(bytes, event.dataStart, event.dataEnd)
  if (extensions === null) copy.null()
  else copy.jsonb(extensions, 0, extensions.length)
  copy.bytes(topic, 0, topic.length)
  copy.int32(partition)
  copy.int64(record.offset)
  copy.timestamp(record.timestampMs * 1000)
}

function writeText(copy: CopyWriter, event: EventView, column: number): void {
  const own = event.own[column]
  if (own !== null && own !== undefined) copy.bytes(own, 0, own.length)
  else {
    const start = event.at[column * 2] as number
    if (start === -1) copy.null()
    else copy.bytes(event.bytes, start, event.at[column * 2 + 1] as number)
  }
}

/** The raw record as it came, so that nothing about it is lost: headers as [name, base64 or null] pairs in their order. */
function writeReject(
  copy: CopyWriter,
  record: RecordView,
  verdict: Reject,
  partition: number,
  consumer: Buffer,
  topic: Buffer,
  decoder: Buffer,
): void {
  const { bytes } = record
  const pairs = [...record.headers()].map(({ name, start, end }) => [
    name.replaceAll('\0', '\ufffd').toWellFormed(),
    start < 0 ? null : bytes.toString('base64', start, end),
  ])
  const headers = Buffer.from(JSON.stringify(pairs))
  const reason = Buffer.from(verdict.reason.replaceAll('\0', '\ufffd').toWellFormed())
  const code = Buffer.from(verdict.code)
  const keyBytes = record.keyStart < 0 ? 0 : record.keyEnd - record.keyStart
  const valueBytes = record.valueStart < 0 ? 0 : record.valueEnd - record.valueStart
  const small = consumer.length + topic.length + decoder.length + code.length + reason.length
  copy.row(11, 32 + keyBytes + valueBytes + headers.length + 1 + small)
  copy.bytes(consumer, 0, consumer.length)
  copy.bytes(topic, 0, topic.length)
  copy.int32(partition)
  copy.int64(record.offset)
  copy.timestamp(record.timestampMs * 1000)
  if (record.keyStart < 0) copy.null()
  else copy.bytes(bytes, record.keyStart, record.keyEnd)
  if (record.valueStart < 0) copy.null()
  else copy.bytes(bytes, record.valueStart, record.valueEnd)
  copy.jsonb(headers, 0, headers.length)
  copy.bytes(code, 0, code.length)
  copy.bytes(reason, 0, reason.length)
  copy.bytes(decoder, 0, decoder.length)
}
