/**
 * Raw records on their way to a decoder: many records of several partitions packed into one exact-size buffer that can be transferred to a
 * worker. (A pooled Buffer cannot be transferred, and posting a 10-byte view of a 1 MiB fetch response clones all of it.)
 *
 * Layout per record, little-endian:
 *   f64 offset - slice.firstOffset | f64 timestamp ms | i32 key bytes (-1 null) | i32 value bytes (-1 null) | u32 headers bytes
 *   key | value | headers: per header  u32 name bytes, name, i32 value bytes (-1 null), value
 */

/** As a Kafka client hands it over; offsets and timestamps still in the client's decimal strings. */
export interface RawRecord {
  readonly offset: string
  readonly timestamp: string
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers?: Readonly<Record<string, HeaderValue>> | undefined
}
/** kafkajs gives a repeated header as an array; a header may be without a value wherever it stands. */
export type HeaderValue = Buffer | string | null | undefined | readonly (Buffer | string | null | undefined)[]

const fixedBytes = 28

/** A rough size that costs nothing to compute, for the bytes-in-flight bound. */
export function recordBytes(record: RawRecord): number {
  let bytes = fixedBytes + (record.key?.length ?? 0) + (record.value?.length ?? 0) + 64
  // In binary mode most of an event is headers. A name's length counts double, for it may be written in any script.
  for (const name in record.headers) {
    const value = record.headers[name]
    if (isRepeated(value)) for (const one of value) bytes += 16 + 2 * name.length + (one?.length ?? 0)
    else bytes += 16 + 2 * name.length + (value?.length ?? 0)
  }
  return bytes
}

type OneValue = Exclude<HeaderValue, readonly unknown[]>
const isRepeated = (value: HeaderValue): value is readonly OneValue[] => Array.isArray(value)
const valueBytes = (value: OneValue) => (value === undefined || value === null ? 0 : Buffer.byteLength(value))

function headersBytes(headers: RawRecord['headers']): number {
  let bytes = 0
  for (const name in headers) {
    const value = headers[name]
    const fixed = 8 + Buffer.byteLength(name)
    if (isRepeated(value)) for (const one of value) bytes += fixed + valueBytes(one)
    else bytes += fixed + valueBytes(value)
  }
  return bytes
}

/** What pack() will write for these records, to the byte. */
export function packedBytes(records: readonly RawRecord[]): number {
  let bytes = 0
  for (const record of records) {
    bytes += fixedBytes + (record.key?.length ?? 0) + (record.value?.length ?? 0) + headersBytes(record.headers)
  }
  return bytes
}

function packHeader(into: Buffer, start: number, name: string, value: OneValue): number {
  const nameBytes = into.write(name, start + 4)
  into.writeUInt32LE(nameBytes, start)
  let at = start + 4 + nameBytes
  if (value === undefined || value === null) {
    into.writeInt32LE(-1, at)
    return at + 4
  }
  const written = typeof value === 'string' ? into.write(value, at + 4) : value.copy(into, at + 4)
  into.writeInt32LE(written, at)
  at += 4 + written
  return at
}

/** Packs the records at `at`; returns the position after them. */
export function pack(into: Buffer, start: number, firstOffset: number, records: readonly RawRecord[]): number {
  let at = start
  for (const record of records) {
    const { key, value, headers } = record
    into.writeDoubleLE(Number(record.offset) - firstOffset, at)
    into.writeDoubleLE(Number(record.timestamp), at + 8)
    into.writeInt32LE(key === null ? -1 : key.length, at + 16)
    into.writeInt32LE(value === null ? -1 : value.length, at + 20)
    const sizeAt = at + 24
    at += fixedBytes
    if (key !== null) at += key.copy(into, at)
    if (value !== null) at += value.copy(into, at)
    const headersStart = at
    for (const name in headers) {
      const one = headers[name]
      if (isRepeated(one)) for (const each of one) at = packHeader(into, at, name, each)
      else at = packHeader(into, at, name, one)
    }
    into.writeUInt32LE(at - headersStart, sizeAt)
  }
  return at
}

/** One packed record at a time, by position; moved along with next(). */
export class RecordView {
  readonly bytes: Buffer
  offset = 0
  timestampMs = 0
  /** Start positions are -1 where the part is null. */
  keyStart = -1
  keyEnd = -1
  valueStart = -1
  valueEnd = -1
  headersStart = 0
  headersEnd = 0
  /** Where the header found last lies. */
  headerStart = -1
  headerEnd = -1
  #at = 0

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  next(firstOffset: number): void {
    const bytes = this.bytes
    const at = this.#at
    this.offset = firstOffset + bytes.readDoubleLE(at)
    this.timestampMs = bytes.readDoubleLE(at + 8)
    const keyBytes = bytes.readInt32LE(at + 16)
    const valueBytes = bytes.readInt32LE(at + 20)
    const headers = bytes.readUInt32LE(at + 24)
    const keyAt = at + fixedBytes
    const valueAt = keyAt + Math.max(keyBytes, 0)
    this.keyStart = keyBytes < 0 ? -1 : keyAt
    this.keyEnd = valueAt
    this.headersStart = valueAt + Math.max(valueBytes, 0)
    this.valueStart = valueBytes < 0 ? -1 : valueAt
    this.valueEnd = this.headersStart
    this.headersEnd = this.headersStart + headers
    this.#at = this.headersEnd
  }

  /** Finds the first header of that name (ASCII, compared without case); false when there is none or its value is null. */
  header(name: string): boolean {
    const bytes = this.bytes
    for (let at = this.headersStart; at < this.headersEnd; ) {
      const nameBytes = bytes.readUInt32LE(at)
      const valueBytes = bytes.readInt32LE(at + 4 + nameBytes)
      const valueAt = at + 8 + nameBytes
      if (nameBytes === name.length && valueBytes >= 0 && this.#nameIs(at + 4, name)) {
        this.headerStart = valueAt
        this.headerEnd = valueAt + valueBytes
        return true
      }
      at = valueAt + Math.max(valueBytes, 0)
    }
    return false
  }

  #nameIs(at: number, name: string): boolean {
    for (let i = 0; i < name.length; i++) {
      const byte = this.bytes[at + i] as number
      if ((byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte) !== name.charCodeAt(i)) return false
    }
    return true
  }

  /** All headers in order; for the slow paths (binary mode, rejects). */
  *headers(): Generator<{ name: string; start: number; end: number }> {
    const bytes = this.bytes
    for (let at = this.headersStart; at < this.headersEnd; ) {
      const nameBytes = bytes.readUInt32LE(at)
      const valueBytes = bytes.readInt32LE(at + 4 + nameBytes)
      const start = at + 8 + nameBytes
      const name = bytes.toString('utf8', at + 4, at + 4 + nameBytes)
      yield { name, start: valueBytes < 0 ? -1 : start, end: start + Math.max(valueBytes, 0) }
      at = start + Math.max(valueBytes, 0)
    }
  }
}
