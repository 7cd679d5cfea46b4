/**
 * An event as a replay hands it on: structured JSON, with the extension `replayid` right at the front, and a time in any case. Made of bytes: what
 * the producer's data says stays as it is, down to the last digit of a number.
 */
import { isUtf8 } from 'node:buffer'
import { copyBytes } from '../core/bytes.ts'
import { attributeCount, ID, SOURCE, SUBJECT, TENANT, TYPE } from '../core/event.ts'
import { JsonScanner, STRING, STRING_ESCAPED } from '../core/json-scan.ts'
import { isTextType } from '../decoders/media-type.ts'
import type { Key } from './key.ts'

export interface ReplayEvent extends Key {
  /** Structured JSON. */
  readonly entry: Buffer
  /** The key of its row, where somebody needs it. */
  readonly id?: string
}

/** One whose entry lies in memory that is shared by many: who only copies it (bytesOf, copyEntry) spares the Buffer. */
export class PlacedEvent implements ReplayEvent {
  micros: number
  readonly partition: number
  readonly offset: number
  readonly slab: Buffer
  readonly start: number
  readonly end: number
  readonly id: string

  constructor(micros: number, partition: number, offset: number, slab: Buffer, start: number, end: number, id = '') {
    this.micros = micros
    this.partition = partition
    this.offset = offset
    this.slab = slab
    this.start = start
    this.end = end
    this.id = id
  }

  get entry(): Buffer {
    return this.slab.subarray(this.start, this.end)
  }
}

export const bytesOfOne = (event: ReplayEvent): number =>
  event instanceof PlacedEvent ? event.end - event.start : event.entry.length

export function bytesOf(events: readonly ReplayEvent[]): number {
  let sum = 0
  for (const event of events) sum += bytesOfOne(event)
  return sum
}

/** Answers where it ends. */
export function copyEntry(event: ReplayEvent, into: Buffer, at: number): number {
  if (!(event instanceof PlacedEvent)) return at + event.entry.copy(into, at)
  copyBytes(event.slab, event.start, event.end, into, at)
  return at + event.end - event.start
}

/** Columns of a row, by place: the attributes as core/event.ts has them, which are text; JSON text, bytes, a JSON object. */
export const DATA = attributeCount
export const DATA_BYTES = DATA + 1
export const EXTENSIONS = DATA + 2
const columnCount = DATA + 3

/** Where the columns lie in some buffer that will be written over; a start of -1: null. */
export interface RowPlaces {
  micros: number
  readonly starts: Int32Array
  readonly ends: Int32Array
}
export const rowPlaces = (): RowPlaces => ({
  micros: 0,
  starts: new Int32Array(columnCount).fill(-1),
  ends: new Int32Array(columnCount),
})

const slabBytes = 256 * 1024
/** More than all names, quotation marks and the time. */
const namesBytes = 256

/** Names of members, ready to be copied. */
const before = [
  [SOURCE, ',"source":'],
  [TYPE, ',"type":'],
  [SUBJECT, ',"subject":'],
] as const
const named = before.map(([column, name]) => ({ column, name: Buffer.from(name) }))
const timeName = Buffer.from(',"time":"')
const tenantName = Buffer.from(',"tenantid":')
const dataName = Buffer.from(',"data":')

/** Writes entries one behind the other into memory that is shared by many of them: an allocation for each would cost more than the copying. */
export class EntryWriter {
  #slab = Buffer.allocUnsafeSlow(slabBytes)
  #start = 0
  #at = 0
  readonly #head: Buffer
  readonly #time = new TimeText()

  constructor(replayId: string) {
    this.#head = Buffer.from(`{"specversion":"1.0","replayid":"${replayId}","id":`)
  }

  row(from: Buffer, places: RowPlaces, partition: number, offset: number): ReplayEvent {
    const { starts, ends, micros } = places
    let bytes = namesBytes + this.#head.length
    for (let column = 0; column < columnCount; column++)
      if (column !== DATA_BYTES && (starts[column] as number) >= 0)
        bytes += (ends[column] as number) - (starts[column] as number)
    if (this.#at + bytes > this.#slab.length) {
      this.#slab = Buffer.allocUnsafeSlow(Math.max(slabBytes, bytes))
      this.#at = 0
    }
    this.#start = this.#at
    this.#copy(this.#head, 0, this.#head.length)
    this.#string(from, starts[ID] as number, ends[ID] as number)
    for (const { column, name } of named) {
      const start = starts[column] as number
      if (start < 0) continue
      this.#copy(name, 0, name.length)
      this.#string(from, start, ends[column] as number)
    }
    this.#copy(timeName, 0, timeName.length)
    this.#time.set(micros)
    this.#copy(this.#time.bytes, 0, this.#time.end)
    if ((starts[TENANT] as number) >= 0) {
      this.#copy(tenantName, 0, tenantName.length)
      this.#string(from, starts[TENANT] as number, ends[TENANT] as number)
    }
    if ((starts[EXTENSIONS] as number) >= 0)
      this.#members(from, starts[EXTENSIONS] as number, ends[EXTENSIONS] as number)
    if ((starts[DATA] as number) >= 0) {
      this.#copy(dataName, 0, dataName.length)
      this.#copy(from, starts[DATA] as number, ends[DATA] as number)
    } else if ((starts[DATA_BYTES] as number) >= 0) {
      const value = (column: number) => from.subarray(starts[column], ends[column])
      const extensions = (starts[EXTENSIONS] as number) < 0 ? null : value(EXTENSIONS)
      this.#text(`,${bytesMember(value(DATA_BYTES), extensions)}`)
    }
    this.#byte(0x7d)
    return new PlacedEvent(micros, partition, offset, this.#slab, this.#start, this.#at)
  }

  /** The members of an object, behind a comma. */
  #members(from: Buffer, start: number, end: number): void {
    if (holdsReplayId(from, start, end)) {
      const others = withoutReplayId(from.subarray(start, end))
      if (others.length > 2) this.#text(`,${others.toString('utf8', 1, others.length - 1)}`)
    } else if (end - start > 2) {
      this.#byte(0x2c)
      this.#copy(from, start + 1, end - 1)
    }
  }

  /** Another slab; what there is of the entry moves over. Those before it stay where they are for as long as somebody has them. */
  #room(bytes: number): void {
    if (this.#at + bytes <= this.#slab.length) return
    const begun = this.#slab.subarray(this.#start, this.#at)
    this.#slab = Buffer.allocUnsafeSlow(Math.max(slabBytes, begun.length + bytes + namesBytes))
    begun.copy(this.#slab)
    this.#start = 0
    this.#at = begun.length
  }

  #byte(value: number): void {
    if (this.#at === this.#slab.length) this.#room(1)
    this.#slab[this.#at++] = value
  }

  #copy(from: Uint8Array, start: number, end: number): void {
    if (this.#at + end - start > this.#slab.length) this.#room(end - start)
    copyBytes(from, start, end, this.#slab, this.#at)
    this.#at += end - start
  }

  /** What needs a string of its own, and is of any length. */
  #text(text: string): void {
    const bytes = Buffer.from(text)
    this.#copy(bytes, 0, bytes.length)
  }

  #string(from: Buffer, start: number, end: number): void {
    if (this.#at + end - start + 2 > this.#slab.length) this.#room(end - start + 2)
    const into = this.#slab
    let at = this.#at
    into[at++] = 0x22
    for (let i = start; i < end; i++) {
      const byte = from[i] as number
      if (byte < 0x20 || byte === 0x22 || byte === 0x5c) {
        this.#text(JSON.stringify(from.toString('utf8', start, end)))
        return
      }
      into[at++] = byte
    }
    into[at++] = 0x22
    this.#at = at
  }
}

/** As in the entry of a stream: text is a string, all other bytes are base64. */
function bytesMember(bytes: Buffer, extensions: Buffer | null): string {
  const contentType =
    extensions === null
      ? undefined
      : (JSON.parse(extensions.toString('utf8')) as Record<string, unknown>).datacontenttype
  const isText = typeof contentType === 'string' && isTextType(contentType) && isUtf8(bytes) && !bytes.includes(0)
  return isText ? `"data":${JSON.stringify(bytes.toString('utf8'))}` : `"data_base64":"${bytes.toString('base64')}"`
}

export const replayIdMember = Buffer.from('"replayid"')
const scanner = new JsonScanner()

/** A native search would need a view of the part. */
function holdsReplayId(from: Buffer, start: number, end: number): boolean {
  const last = end - replayIdMember.length
  for (let at = start; at <= last; at++) {
    if (from[at] !== 0x22 || from[at + 1] !== 0x72) continue
    let same = 2
    while (same < replayIdMember.length && from[at + same] === replayIdMember[same]) same++
    if (same === replayIdMember.length) return true
  }
  return false
}

/** What was replayed before, and came in again, bears the mark of another replay. */
export function withoutReplayId(json: Buffer): Buffer {
  if (!json.includes(replayIdMember) || scanner.object(json, 0, json.length) !== null) return json
  const { count, keyStart, keyEnd, start, stop, kind } = scanner.members
  const kept: Buffer[] = []
  for (let i = 0; i < count; i++) {
    const from = (keyStart[i] as number) - 1
    if (json.toString('latin1', from + 1, keyEnd[i]) === 'replayid') continue
    const quote = kind[i] === STRING || kind[i] === STRING_ESCAPED ? 1 : 0
    if (kept.length > 0) kept.push(Buffer.from(','))
    kept.push(json.subarray(from, (keyEnd[i] as number) + 1), Buffer.from(':'))
    kept.push(json.subarray((start[i] as number) - quote, (stop[i] as number) + quote))
  }
  return Buffer.concat([Buffer.from('{'), ...kept, Buffer.from('}')])
}

/** An entry as a decoder has made it, marked; `micros` for an event that has no time of its own. */
export function markedEntry(entry: Buffer, replayId: string, micros: number | null): Buffer {
  const plain = withoutReplayId(entry)
  const open = plain.indexOf(0x7b)
  const time = micros === null ? '' : `"time":"${timeText(micros)}",`
  const mark = Buffer.from(`{"replayid":"${replayId}",${time}`, 'latin1')
  return Buffer.concat([mark, plain.subarray(open + 1)])
}

/** RFC 3339, in milliseconds where that says it all. */
export function timeText(micros: number): string {
  const ms = Math.floor(micros / 1000)
  const rest = micros - ms * 1000
  const text = new Date(ms).toISOString()
  return rest === 0 ? text : `${text.slice(0, -1)}${String(rest).padStart(3, '0')}Z`
}

/** Events come in the order of their times: most share the second with the one before. */
class TimeText {
  /** The time and a quotation mark. */
  readonly bytes = Buffer.alloc(48)
  end = 0
  #second = Number.NaN
  #head = 0

  set(micros: number): void {
    const second = Math.floor(micros / 1_000_000)
    if (second !== this.#second) {
      this.#second = second
      this.#head = this.bytes.write(new Date(second * 1000).toISOString().slice(0, -4), 'latin1')
    }
    const rest = micros - second * 1_000_000
    const isWhole = rest % 1000 === 0
    let left = isWhole ? rest / 1000 : rest
    let at = this.#head + (isWhole ? 3 : 6)
    this.bytes[at] = 0x5a
    this.bytes[at + 1] = 0x22
    this.end = at + 2
    while (at > this.#head) {
      this.bytes[--at] = 0x30 + (left % 10)
      left = Math.floor(left / 10)
    }
  }
}
