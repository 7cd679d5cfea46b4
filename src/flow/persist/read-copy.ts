/**
 * PostgreSQL's binary COPY format read back: rows of fields, each the bytes of one value or null; and the rows of our two tables from them, with what
 * PostgreSQL would refuse refused. For memory.ts, and for tests that look into a batch.
 */
import { isUtf8 } from 'node:buffer'
import { epochMicros } from '../../core/copy.ts'
import { FatalError } from '../../core/errors.ts'
import { formatUuid } from '../../core/identity.ts'

const signatureBytes = 11

/** [start, end) of every row, its column count included. */
export function copyRowBounds(bytes: Uint8Array): (readonly [start: number, end: number])[] {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const bounds: (readonly [number, number])[] = []
  for (let at = headBytes(view); ; ) {
    const start = at
    const columns = view.readInt16BE(at)
    at += 2
    if (columns === -1) return bounds
    for (let column = 0; column < columns; column++) at += 4 + Math.max(view.readInt32BE(at), 0)
    bounds.push([start, at])
  }
}

/** Signature, flags, and an extension of the length that follows them. */
const headBytes = (view: Buffer) => signatureBytes + 8 + view.readInt32BE(signatureBytes + 4)

export function readCopy(bytes: Uint8Array): (Buffer | null)[][] {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const rows: (Buffer | null)[][] = []
  let at = headBytes(view)
  for (;;) {
    const columns = view.readInt16BE(at)
    at += 2
    if (columns === -1) break
    const row: (Buffer | null)[] = []
    for (let column = 0; column < columns; column++) {
      const length = view.readInt32BE(at)
      at += 4
      if (length === -1) row.push(null)
      else {
        if (at + length > view.length) throw new RangeError(`a value at ${at} reaches beyond the end of the stream`)
        row.push(view.subarray(at, at + length))
        at += length
      }
    }
    rows.push(row)
  }
  if (at !== view.length) throw new RangeError(`${view.length - at} bytes follow the end of the stream`)
  return rows
}

/** int8, and timestamptz as microseconds since 2000. */
export function readInt64(bytes: Buffer): number {
  return bytes.readInt32BE(0) * 0x1_0000_0000 + bytes.readUInt32BE(4)
}

/** Microseconds since 1970. */
export function readTimestamp(bytes: Buffer): number {
  return readInt64(bytes) + epochMicros
}

/** The JSON text behind jsonb's version byte. */
export function readJsonb(bytes: Buffer): string {
  return bytes.toString('utf8', 1)
}

export interface CopiedRow {
  readonly id: string
  readonly eventTimeMicros: number
  readonly source: string
  readonly eventId: string
  readonly type: string
  readonly subject: string | null
  readonly tenantId: string | null
  /** JSON texts as they came. */
  readonly data: string | null
  readonly extensions: string | null
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly kafkaTimeMicros: number
  readonly dataBytes: Buffer | null
}

export interface CopiedReject {
  readonly consumer: string
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly kafkaTimeMicros: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: string
  readonly code: string
  readonly reason: string
  readonly decoder: string
  readonly eventType: string | null
  readonly tenantId: string | null
  readonly attempts: number
  readonly redriveOf: number | null
}

const refused = (what: string) =>
  new FatalError('POSTGRES_FAILED', `PostgreSQL would answer: ${what}.`, 'The decoder must let none of this through.')

/** A value of a column that may not be null. */
function given(field: Buffer | null | undefined): Buffer {
  if (field === null || field === undefined) throw refused('null value in a column that is NOT NULL (23502)')
  return field
}

function text(field: Buffer): string {
  if (!isUtf8(field) || field.includes(0)) throw refused('invalid byte sequence for encoding "UTF8" (22021)')
  return field.toString('utf8')
}

const maybe = (field: Buffer | null | undefined) => (field === null || field === undefined ? null : text(field))

function jsonb(field: Buffer | null | undefined): string | null {
  if (field === null || field === undefined) return null
  if (field[0] !== 1) throw refused(`unsupported jsonb version number ${field[0]}`)
  text(field)
  const json = readJsonb(field)
  try {
    const clean = (value: unknown) => typeof value !== 'string' || (value.isWellFormed() && !value.includes('\0'))
    JSON.parse(json, (key, value) => {
      if (!clean(key) || !clean(value)) throw new SyntaxError('unsupported Unicode escape sequence')
      return value
    })
  } catch (error) {
    throw refused(`invalid input for type json: ${(error as Error).message} (22P02)`)
  }
  return json
}

const dayMicros = 86_400_000_000

export function readRow(fields: readonly (Buffer | null)[], day: number): CopiedRow {
  if (fields.length !== 14) throw refused(`row field count is ${fields.length}, expected 14 (22P04)`)
  const [
    id,
    time,
    source,
    eventId,
    type,
    subject,
    tenant,
    data,
    extensions,
    topic,
    partition,
    offset,
    kafkaTime,
    bytes,
  ] = fields
  const row = {
    id: formatUuid(given(id)),
    eventTimeMicros: readTimestamp(given(time)),
    source: text(given(source)),
    eventId: text(given(eventId)),
    type: text(given(type)),
    subject: maybe(subject),
    tenantId: maybe(tenant),
    data: jsonb(data),
    extensions: jsonb(extensions),
    topic: text(given(topic)),
    partition: given(partition).readInt32BE(),
    offset: readInt64(given(offset)),
    kafkaTimeMicros: readTimestamp(given(kafkaTime)),
    dataBytes: bytes ?? null,
  }
  const idMs = Number.parseInt(row.id.slice(0, 8) + row.id.slice(9, 13), 16)
  if (Math.floor((idMs * 1000) / dayMicros) !== day || Math.floor(row.eventTimeMicros / dayMicros) !== day) {
    throw refused('new row violates the partition constraint (23514)')
  }
  return row
}

/** Of a row that cannot be read: which record it is from. */
export function placeOfRow(fields: readonly (Buffer | null)[]): { partition: number; offset: number } {
  return { partition: given(fields[10]).readInt32BE(), offset: readInt64(given(fields[11])) }
}

export function readReject(fields: readonly (Buffer | null)[]): CopiedReject {
  if (fields.length !== 15) throw refused(`row field count is ${fields.length}, expected 15 (22P04)`)
  const [consumer, topic, partition, offset, kafkaTime, key, value, headers, code, reason, decoder, ...later] = fields
  const [eventType, tenantId, attempts, redriveOf] = later
  return {
    consumer: text(given(consumer)),
    topic: text(given(topic)),
    partition: given(partition).readInt32BE(),
    offset: readInt64(given(offset)),
    kafkaTimeMicros: readTimestamp(given(kafkaTime)),
    key: key ?? null,
    value: value ?? null,
    headers: jsonb(given(headers)) as string,
    code: text(given(code)),
    reason: text(given(reason)),
    decoder: text(given(decoder)),
    eventType: maybe(eventType),
    tenantId: maybe(tenantId),
    attempts: given(attempts).readInt32BE(),
    redriveOf: redriveOf ? readInt64(redriveOf) : null,
  }
}
