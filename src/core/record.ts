/**
 * Raw records on their way to a decoder. They stay as they lie in Kafka's log, compressed runs of them (the records of one record batch), until
 * decode/ walks through the bytes: no object per record ever exists, and the main thread only moves buffers.
 *
 * A record in the log (KIP-98, message format 2), all integers zigzag varints:
 *   length | attributes (1 byte) | timestamp delta | offset delta | key bytes (-1 null), key | value bytes (-1 null), value
 *   | number of headers | per header: name bytes, name | value bytes (-1 null), value
 */
import { codecNames, unpack, unpackedBytesMaxDefault } from './codecs.ts'

/** The records of one record batch. */
export interface RecordRun {
  readonly bytes: Uint8Array
  /** Index into codecNames. */
  readonly codec: number
  readonly baseOffset: number
  readonly lastOffset: number
  readonly count: number
  readonly baseTimestampMs: number
  readonly maxTimestampMs: number
  /** The broker's clock counts (LogAppendTime): every record bears the highest timestamp. */
  readonly appendTime: boolean
}

/** What a run will take in memory, about: for the bytes-in-flight bound. JSON packs 3 to 6 times at most with the usual codecs. */
export function runBytes(run: RecordRun): number {
  return run.bytes.length * (run.codec === 0 ? 1 : 3) + run.count * 32
}

/** The records' own bytes; throws CodecError where they cannot be had. */
export function unpackRun(codec: number, bytes: Buffer): Buffer {
  const name = codecNames[codec]
  if (name === undefined || name === 'none') return bytes
  return unpack(name, bytes, unpackedBytesMaxDefault)
}

/** The bytes are not what the format says: corrupt, or written by something else. */
export class RecordFormatError extends Error {}

/** One record at a time, by position in the run's bytes; moved along with next(). */
export class RecordView {
  bytes: Buffer = Buffer.alloc(0)
  offset = 0
  timestampMs = 0
  /** Start positions are -1 where the part is null. */
  keyStart = -1
  keyEnd = -1
  valueStart = -1
  valueEnd = -1
  /** Where the header found last lies: its value, and its name if it was come by in order. */
  headerStart = -1
  headerEnd = -1
  nameStart = -1
  nameEnd = -1
  /** How many headers the record has; known once one was asked for. */
  headerCount = 0
  #headersStart = 0
  #headersEnd = 0
  #at = 0
  #baseOffset = 0
  #baseTimestampMs = 0
  #fixedTimestamp = false

  /** `bytes` are unpacked. */
  open(bytes: Buffer, run: Omit<RecordRun, 'bytes'>): void {
    this.bytes = bytes
    this.#headersEnd = 0
    this.#baseOffset = run.baseOffset
    this.#fixedTimestamp = run.appendTime
    this.#baseTimestampMs = run.appendTime ? run.maxTimestampMs : run.baseTimestampMs
  }

  /** Begins where the record before ended, whatever has been asked of that one. */
  next(): void {
    this.#at = this.#headersEnd
    const length = this.#varint()
    const end = this.#at + length
    if (length < 0 || end > this.bytes.length) throw new RecordFormatError('a record is longer than its batch')
    this.#at++
    const timestampDelta = this.#varint()
    this.timestampMs = this.#fixedTimestamp ? this.#baseTimestampMs : this.#baseTimestampMs + timestampDelta
    this.offset = this.#baseOffset + this.#varint()
    const keyBytes = this.#varint()
    this.keyStart = keyBytes < 0 ? -1 : this.#at
    this.#at += Math.max(keyBytes, 0)
    this.keyEnd = this.#at
    const valueBytes = this.#varint()
    this.valueStart = valueBytes < 0 ? -1 : this.#at
    this.#at += Math.max(valueBytes, 0)
    this.valueEnd = this.#at
    this.#headersStart = this.#at
    this.#headersEnd = end
    if (this.#at > end) throw new RecordFormatError('a key or value reaches beyond its record')
  }

  /** A zigzag varint of up to 64 bits, exact up to 2^53: the sign is set aside before the rest is summed. */
  #varint(): number {
    const { bytes } = this
    let at = this.#at
    const first = bytes[at++] as number
    let value = (first & 0x7f) >>> 1
    if (first >= 0x80) {
      let scale = 64
      let byte: number
      do {
        byte = bytes[at++] as number
        if (byte === undefined || scale > 2 ** 62) throw new RecordFormatError('a number is cut off')
        value += (byte & 0x7f) * scale
        scale *= 128
      } while (byte >= 0x80)
    } else if (first === undefined) throw new RecordFormatError('a number is cut off')
    this.#at = at
    return (first & 1) === 0 ? value : -value - 1
  }

  /** Finds the first header of that name (lower-case ASCII, compared without case); false when there is none or its value is null. */
  header(name: string): boolean {
    return this.#find(name, true)
  }

  /** The same for the beginning of a name. */
  headerStarting(prefix: string): boolean {
    return this.#find(prefix, false)
  }

  #find(name: string, whole: boolean): boolean {
    for (let left = this.rewind(); left > 0; left--) {
      this.nextHeader()
      const nameBytes = this.nameEnd - this.nameStart
      const fits = whole ? nameBytes === name.length : nameBytes >= name.length
      if (fits && this.headerStart >= 0 && this.#nameIs(this.nameStart, name)) return true
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

  /** Goes back before the first header; answers how many there are. */
  rewind(): number {
    this.#at = this.#headersStart
    this.headerCount = this.#varint()
    return this.headerCount
  }

  /** Moves on to the next header, after rewind(): nothing else may be asked of the record in between. `headerStart` is -1 where the value is null. */
  nextHeader(): void {
    const nameBytes = this.#varint()
    this.nameStart = this.#at
    this.#at += nameBytes
    this.nameEnd = this.#at
    const valueBytes = this.#varint()
    this.headerStart = valueBytes < 0 ? -1 : this.#at
    this.#at += Math.max(valueBytes, 0)
    this.headerEnd = this.#at
    if (nameBytes < 0 || this.#at > this.#headersEnd) throw new RecordFormatError('a header reaches beyond its record')
  }

  /** All headers in order; for the slow paths. `start` is -1 where the value is null. */
  headers(): { name: string; start: number; end: number }[] {
    const all: { name: string; start: number; end: number }[] = []
    for (let left = this.rewind(); left > 0; left--) {
      this.nextHeader()
      const name = this.bytes.toString('utf8', this.nameStart, this.nameEnd)
      all.push({ name, start: this.headerStart, end: this.headerEnd })
    }
    return all
  }
}

/** A record as most clients hand it over, for whoever has no run at hand: other clients, memory, tests. */
export interface RawRecord {
  readonly offset: string
  readonly timestamp: string
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers?: Readonly<Record<string, HeaderValue>> | undefined
}
/** A repeated header is an array; a header may be without a value wherever it stands. */
export type HeaderValue = OneValue | readonly OneValue[]
type OneValue = Buffer | string | null | undefined

const isRepeated = (value: HeaderValue): value is readonly OneValue[] => Array.isArray(value)

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value >= 0 ? BigInt(value) * 2n : -BigInt(value) * 2n - 1n
  while (rest >= 128n) {
    bytes.push(Number(rest & 127n) | 0x80)
    rest >>= 7n
  }
  bytes.push(Number(rest))
  return Buffer.from(bytes)
}

const field = (value: OneValue): Buffer[] => {
  if (value === null || value === undefined) return [varint(-1)]
  const bytes = Buffer.from(value as Buffer)
  return [varint(bytes.length), bytes]
}

/** Lays records out as the log would, uncompressed. They must ascend. */
export function runOf(records: readonly RawRecord[]): RecordRun {
  const first = records[0]
  const last = records.at(-1)
  if (first === undefined || last === undefined) throw new RangeError('a run has at least one record')
  const baseOffset = Number(first.offset)
  const baseTimestampMs = Number(first.timestamp)
  const parts: Buffer[] = []
  for (const { offset, timestamp, key, value, headers = {} } of records) {
    const pairs = Object.keys(headers).flatMap((name) => {
      const given = headers[name]
      return (isRepeated(given) ? given : [given]).map((one) => Buffer.concat([...field(name), ...field(one)]))
    })
    const body = Buffer.concat([
      Buffer.from([0]),
      varint(Number(timestamp) - baseTimestampMs),
      varint(Number(offset) - baseOffset),
      ...field(key),
      ...field(value),
      varint(pairs.length),
      ...pairs,
    ])
    parts.push(varint(body.length), body)
  }
  return {
    bytes: Buffer.concat(parts),
    codec: 0,
    baseOffset,
    lastOffset: Number(last.offset),
    count: records.length,
    baseTimestampMs,
    maxTimestampMs: Math.max(...records.map(({ timestamp }) => Number(timestamp))),
    appendTime: false,
  }
}
