/** One record as a row of the COPY into `rejects`: as it came, so that nothing about it is lost, and what is known of it besides. */
import { isUtf8 } from 'node:buffer'
import type { CopyWriter } from '../../core/copy.ts'
import { type EventView, TENANT, TYPE } from '../../core/event.ts'
import type { RecordView } from '../../core/record.ts'
import type { Reject } from '../../core/verdict.ts'
import { storable } from './write-row.ts'

export interface Origin {
  readonly consumer: Buffer
  readonly topic: Buffer
  readonly decoder: Buffer
}

/** The columns that every reject has; `record` writes offset, time, key, value and headers, which come between. */
export function writeReject(
  copy: CopyWriter,
  { consumer, topic, decoder }: Origin,
  partition: number,
  verdict: Reject,
  { type, tenant, attempts, redriveOf }: Clues,
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
export interface Clues {
  readonly type: Buffer | null
  readonly tenant: Buffer | null
  readonly attempts: number
  readonly redriveOf: number | null
}

export const noClues: Clues = { type: null, tenant: null, attempts: 0, redriveOf: null }

export function cluesOf(record: RecordView, event: EventView): Clues {
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
export function headersOf(record: RecordView): Buffer {
  const pairs = record
    .headers()
    .map(({ name, start, end }) => [
      name.replaceAll('\0', '\ufffd').toWellFormed(),
      start < 0 ? null : record.bytes.toString('base64', start, end),
    ])
  return Buffer.from(JSON.stringify(pairs))
}

/** The raw record as it came, so that nothing about it is lost. */
export function writeRejected(copy: CopyWriter, record: RecordView, headers: Buffer): void {
  const { bytes } = record
  copy.int64(record.offset)
  copy.timestamp(storable(record.timestampMs) * 1000)
  copy.blob(record.keyStart < 0 ? null : bytes.subarray(record.keyStart, record.keyEnd))
  copy.blob(record.valueStart < 0 ? null : bytes.subarray(record.valueStart, record.valueEnd))
  copy.json(headers)
}

export function writeUnread(copy: CopyWriter, offset: number, timestampMs: number, bytes: Buffer | null): void {
  copy.int64(offset)
  copy.timestamp(storable(timestampMs) * 1000)
  copy.null()
  copy.blob(bytes)
  copy.json(Buffer.from('[]'))
}
