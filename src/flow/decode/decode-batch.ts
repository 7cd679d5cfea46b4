/** The pure heart of decode/: one packed batch through a consumer's decoder. Runs in the workers, and inline in memory.ts. */
import { isUtf8 } from 'node:buffer'
import type { CopyOfDay, Decoded, Packed, Slice } from '../../core/batch.ts'
import { ByteWriter } from '../../core/bytes.ts'
import { CodecError, codecNames } from '../../core/codecs.ts'
import { CopyWriter } from '../../core/copy.ts'
import { dayOf } from '../../core/day.ts'
import { EventView, ID, SOURCE, SUBJECT, TENANT, TYPE } from '../../core/event.ts'
import { writeEventId } from '../../core/identity.ts'
import { RecordFormatError, RecordView, unpackRun } from '../../core/record.ts'
import { TallyWriter } from '../../core/tally.ts'
import { type Reject, reject, type Verdict } from '../../core/verdict.ts'
import type { ConsumerDefinition } from '../../define.ts'
import type { DecodeLimits } from './port.ts'
import { contextOf, TracedRecords, writeTraced } from './traced.ts'

const noBytes = new Uint8Array(0)

export function decodeBatch(
  definition: ConsumerDefinition,
  limits: DecodeLimits,
  packed: Packed,
  nowMs: number,
): Decoded {
  const { decoder, route, metrics } = definition
  const { again } = packed
  const buffer = Buffer.from(packed.buffer)
  const record = new RecordView()
  const event = new EventView()
  const origin: Origin = {
    consumer: Buffer.from(limits.consumer),
    topic: Buffer.from(definition.topic),
    decoder: Buffer.from(decoder.name),
  }
  const ids = new Uint8Array(packed.records * 16)
  const sliceOf = new Uint16Array(packed.records)
  const offset = new Float64Array(packed.records)
  const family = new Uint16Array(packed.records)
  const entryStart = new Int32Array(packed.records)
  const entryEnd = new Int32Array(packed.records)
  const timestampMs = new Float64Array(packed.records)
  const eventTimeMs = new Float64Array(packed.records)
  // What comes by again was counted when it was stored.
  const tally = metrics === undefined || again ? null : new TallyWriter(metrics, packed.records)
  const slices: Slice[] = []
  const families: string[] = []
  const familyIndex = new Map<string, number>()
  const entries = new ByteWriter(route === undefined ? 0 : packed.bytes)
  const copies = new Map<number, CopyWriter>()
  const codes: Record<string, number> = {}
  let rejects: CopyWriter | null = null
  const traced = limits.tracedMax === 0 ? null : new TracedRecords(limits.tracedMax)
  let unlabelled = 0
  let records = 0
  let rows = 0
  const oldestMs = nowMs - limits.eventPastMsMax
  const newestMs = nowMs + limits.eventFutureMsMax
  const condemned = new Map(packed.condemned.map((one) => [`${one.partition}/${one.offset}`, one.reason]))
  let currentDay = Number.NaN
  let current: CopyWriter | null = null

  const rejected = (partition: number, verdict: Reject, traces: Traces, write: (copy: CopyWriter) => void) => {
    codes[verdict.code] = (codes[verdict.code] ?? 0) + 1
    if (again) return
    rejects ??= new CopyWriter(4096)
    writeReject(rejects, origin, partition, verdict, traces, write)
  }

  for (let index = 0; index < packed.slices.length; index++) {
    const { partition, firstOffset, nextOffset, runs } = packed.slices[index] as Packed['slices'][number]
    const rowsBefore = rows
    const recordsBefore = records
    let rejectCount = 0
    let redriven = 0
    let skips = 0
    for (const run of runs) {
      /** The first offset of the run not yet judged: where a run turns out to be unreadable, what was read before stands. */
      let nextInRun = run.baseOffset
      try {
        const bytes = unpackRun(run.codec, buffer.subarray(run.start, run.end))
        record.open(bytes, run)
        for (let left = run.count; left > 0; left--) {
          record.next()
          if (record.offset < nextInRun || record.offset > run.lastOffset) {
            throw new RecordFormatError('its offsets do not ascend')
          }
          nextInRun = record.offset
          // A broker hands out whole batches, and a mark may lie within one.
          if (record.offset < firstOffset || record.offset >= nextOffset) continue
          let verdict: Verdict
          if (record.valueEnd - record.valueStart > limits.valueBytesMax) {
            event.reset(bytes)
            verdict = reject('too_large', `It has ${record.valueEnd - record.valueStart} bytes.`)
          } else verdict = decoder.decode(record, event)
          const eventMs = Math.floor(event.timeMicros / 1000)
          // A record that comes by again was judged when it was stored; the clock has moved since.
          if (verdict === null && !again && !(eventMs >= oldestMs && eventMs <= newestMs)) {
            verdict = reject('time_out_of_window', `It is ${describeTime(eventMs)}.`)
          }
          if (condemned.size > 0 && verdict === null) {
            const reason = condemned.get(`${partition}/${record.offset}`)
            if (reason !== undefined) verdict = reject('refused', reason)
          }
          // Headers may turn out unreadable yet; the row they belong to is begun only when they have been read.
          const headers = verdict?.kind === 'reject' ? headersOf(record) : null
          nextInRun++
          records++
          const context = traced === null ? null : contextOf(record, event)
          if (context !== null) {
            const row = verdict === null ? rows : -1
            const code = verdict?.kind === 'reject' ? verdict.code : null
            traced?.add({ ...context, slice: index, offset: record.offset, row, reject: code })
          }
          if (verdict !== null) {
            if (verdict.kind === 'skip') skips++
            else {
              rejectCount++
              const traces = tracesOf(record, event)
              if (traces.attempts > 0) redriven++
              rejected(partition, verdict, traces, (copy) => writeRejected(copy, record, headers as Buffer))
            }
            continue
          }

          if (event.unlabelled) unlabelled++
          const { source } = event
          writeEventId(ids, rows * 16, eventMs, source, event.id)
          tally?.row(rows, event.type, source, Math.max(0, record.valueEnd - record.valueStart))
          sliceOf[rows] = index
          offset[rows] = record.offset
          timestampMs[rows] = record.timestampMs
          eventTimeMs[rows] = eventMs
          if (route !== undefined) {
            const name = route(event)
            let at = familyIndex.get(name)
            if (at === undefined) {
              at = families.push(name) - 1
              familyIndex.set(name, at)
            }
            family[rows] = at
            entryStart[rows] = entries.length
            const own = event.envelope
            const start = own === null ? event.entryStart : 0
            const end = own === null ? event.entryEnd : own.length
            if (context === null) entries.write(own ?? bytes, start, end)
            else writeTraced(entries, own ?? bytes, start, end, context)
            entryEnd[rows] = entries.length
          }
          if (!again) {
            const day = dayOf(eventMs)
            if (day !== currentDay) {
              currentDay = day
              current = copies.get(day) ?? null
              if (current === null) {
                // One day is the rule; of several, each takes what it needs.
                current = new CopyWriter(copies.size === 0 ? packed.bytes + packed.records * 120 : 0)
                copies.set(day, current)
              }
            }
            writeRow(current as CopyWriter, event, record, ids, rows * 16, origin.topic, partition)
          }
          rows++
        }
      } catch (error) {
        if (!(error instanceof CodecError) && !(error instanceof RecordFormatError)) throw error
        // The rest of the run is lost to us but not to anybody else: each offset is a reject, the first one holds the batch's bytes.
        const from = Math.max(nextInRun, firstOffset)
        const to = Math.min(run.lastOffset + 1, nextOffset)
        const packedBytes = buffer.subarray(run.start, run.end)
        for (let at = from; at < to; at++) {
          records++
          rejectCount++
          const where = at === from ? '' : ` Its bytes are with offset ${from}.`
          const verdict = reject(
            'unreadable_batch',
            `${error.message} (${codecNames[run.codec] ?? run.codec}).${where}`,
          )
          rejected(partition, verdict, noTraces, (copy) =>
            writeUnread(copy, at, run.maxTimestampMs, at === from ? packedBytes : null),
          )
        }
      }
    }
    slices.push({
      partition,
      firstOffset,
      nextOffset,
      records: records - recordsBefore,
      rows: rows - rowsBefore,
      rejects: rejectCount,
      ...(redriven > 0 && { redriven }),
      skips,
    })
  }

  const copiesOfDays: CopyOfDay[] = [...copies].map(([day, writer]) => ({
    day,
    rows: writer.rows,
    bytes: writer.finish(),
  }))
  const done = rejects as CopyWriter | null
  return {
    again,
    bytes: packed.bytes,
    records,
    slices,
    rows: { count: rows, ids, slice: sliceOf, offset, family, entryStart, entryEnd, timestampMs, eventMs: eventTimeMs },
    copies: copiesOfDays,
    rejects: { count: done?.rows ?? 0, bytes: done === null ? noBytes : done.finish(), codes },
    unlabelled,
    tally: tally?.finish() ?? null,
    families,
    entryBytes: entries.finish(),
    traced: traced?.found ?? [],
  }
}

interface Origin {
  readonly consumer: Buffer
  readonly topic: Buffer
  readonly decoder: Buffer
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
  let size =
    64 + topic.length + (event.dataEnd - event.dataStart) + (extensions?.length ?? 0) + (event.dataBytes?.length ?? 0)
  for (let column = SOURCE; column <= TENANT; column++) {
    size += (own[column]?.length ?? 0) + (at[column * 2 + 1] as number) - (at[column * 2] as number)
  }
  copy.row(14, size)
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
  copy.timestamp(storable(record.timestampMs) * 1000)
  if (event.dataBytes === null) copy.null()
  else copy.bytes(event.dataBytes, 0, event.dataBytes.length)
}

/** A producer may write any 64 bits as a record's time; a time beyond PostgreSQL's would abort the whole COPY. */
const storable = (timestampMs: number) => Math.min(Math.max(timestampMs, year1Ms), year9999Ms)
const year1Ms = -62_135_596_800_000
const year9999Ms = 253_402_300_799_999

function writeText(copy: CopyWriter, event: EventView, column: number): void {
  const own = event.own[column]
  if (own !== null && own !== undefined) copy.bytes(own, 0, own.length)
  else {
    const start = event.at[column * 2] as number
    if (start === -1) copy.null()
    else copy.bytes(event.bytes, start, event.at[column * 2 + 1] as number)
  }
}

/** The columns that every reject has; `record` writes offset, time, key, value and headers, which come between. */
function writeReject(
  copy: CopyWriter,
  { consumer, topic, decoder }: Origin,
  partition: number,
  verdict: Reject,
  { type, tenant, attempts, redriveOf }: Traces,
  record: (copy: CopyWriter) => void,
): void {
  copy.row(15, 128)
  copy.text(consumer)
  copy.text(topic)
  copy.int32(partition)
  record(copy)
  copy.text(Buffer.from(verdict.code))
  copy.text(Buffer.from(verdict.reason.replaceAll('\0', '\ufffd').toWellFormed()))
  copy.text(decoder)
  copy.blob(type)
  copy.blob(tenant)
  copy.int32(attempts)
  if (redriveOf === null) copy.null()
  else copy.int64(redriveOf)
}

/** What a reject tells besides its record: whose it was, as far as the decoder got, and which attempt. */
interface Traces {
  readonly type: Buffer | null
  readonly tenant: Buffer | null
  readonly attempts: number
  readonly redriveOf: number | null
}

const noTraces: Traces = { type: null, tenant: null, attempts: 0, redriveOf: null }

function tracesOf(record: RecordView, event: EventView): Traces {
  return {
    type: cleanText(event, TYPE),
    tenant: cleanText(event, TENANT),
    // At most what the columns hold: integer and bigint.
    attempts: decimalHeader(record, 'millrace-attempts', 9) ?? 0,
    redriveOf: decimalHeader(record, 'millrace-redrive-of', 15),
  }
}

/** An attribute of a bad record may be anything; null unless PostgreSQL would take it and a person would read it. */
function cleanText(event: EventView, attribute: number): Buffer | null {
  const text = event.raw(attribute)
  return text === null || text.length === 0 || text.length > textBytesMax || text.includes(0) || !isUtf8(text)
    ? null
    : text
}

const textBytesMax = 1024

/** Written by `rejects redrive`; a record that a producer sent has neither. */
function decimalHeader(record: RecordView, name: string, digitsMax: number): number | null {
  if (!record.header(name)) return null
  const text = record.bytes.toString('latin1', record.headerStart, record.headerEnd)
  return /^\d+$/.test(text) && text.length <= digitsMax ? Number(text) : null
}

/** As [name, base64 or null] pairs in the order of the record. */
function headersOf(record: RecordView): Buffer {
  const pairs = record
    .headers()
    .map(({ name, start, end }) => [
      name.replaceAll('\0', '\ufffd').toWellFormed(),
      start < 0 ? null : record.bytes.toString('base64', start, end),
    ])
  return Buffer.from(JSON.stringify(pairs))
}

/** The raw record as it came, so that nothing about it is lost. */
function writeRejected(copy: CopyWriter, record: RecordView, headers: Buffer): void {
  const { bytes } = record
  copy.int64(record.offset)
  copy.timestamp(storable(record.timestampMs) * 1000)
  copy.blob(record.keyStart < 0 ? null : bytes.subarray(record.keyStart, record.keyEnd))
  copy.blob(record.valueStart < 0 ? null : bytes.subarray(record.valueStart, record.valueEnd))
  copy.json(headers)
}

function writeUnread(copy: CopyWriter, offset: number, timestampMs: number, bytes: Buffer | null): void {
  copy.int64(offset)
  copy.timestamp(storable(timestampMs) * 1000)
  copy.null()
  copy.blob(bytes)
  copy.json(Buffer.from('[]'))
}
