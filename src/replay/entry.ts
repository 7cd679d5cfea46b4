/**
 * An event as a replay hands it on: structured JSON, with the extension `replayid` right at the front, and a time in any case. Made of bytes: what
 * the producer's data says stays as it is, down to the last digit of a number.
 */
import { isUtf8 } from 'node:buffer'
import { JsonScanner, STRING, STRING_ESCAPED } from '../core/json-scan.ts'
import { isTextType } from '../decoders/media-type.ts'
import type { Key } from './key.ts'

export interface ReplayEvent extends Key {
  /** Structured JSON. */
  readonly entry: Buffer
  /** The key of its row, where somebody needs it. */
  readonly id?: string
}

/** A row of the table, its values as they lie in some buffer that will be written over. */
export interface RowParts {
  readonly micros: number
  readonly source: Buffer
  readonly id: Buffer
  readonly type: Buffer
  readonly subject: Buffer | null
  readonly tenant: Buffer | null
  /** JSON text. */
  readonly data: Buffer | null
  readonly dataBytes: Buffer | null
  /** A JSON object. */
  readonly extensions: Buffer | null
}

const slabBytes = 256 * 1024

/** Writes entries one behind the other into memory that is shared by many of them: an allocation for each would cost more than the copying. */
export class EntryWriter {
  #slab = Buffer.allocUnsafeSlow(slabBytes)
  #start = 0
  #at = 0
  readonly #head: string
  readonly #time = new TimeText()

  constructor(replayId: string) {
    this.#head = `{"specversion":"1.0","replayid":"${replayId}","id":`
  }

  row(parts: RowParts): Buffer {
    const { source, id, type, subject, tenant, data, dataBytes, extensions } = parts
    this.#begin(
      256 +
        source.length +
        id.length +
        type.length +
        (subject?.length ?? 0) +
        (tenant?.length ?? 0) +
        (data?.length ?? 0) +
        (extensions?.length ?? 0),
    )
    this.#ascii(this.#head)
    this.#string(id)
    this.#ascii(',"source":')
    this.#string(source)
    this.#ascii(',"type":')
    this.#string(type)
    if (subject !== null) {
      this.#ascii(',"subject":')
      this.#string(subject)
    }
    this.#ascii(`,"time":"${this.#time.of(parts.micros)}"`)
    if (tenant !== null) {
      this.#ascii(',"tenantid":')
      this.#string(tenant)
    }
    const others = extensions === null ? null : withoutReplayId(extensions)
    if (others !== null && others.length > 2) {
      this.#ascii(',')
      this.#bytes(others.subarray(1, others.length - 1))
    }
    if (data !== null) {
      this.#ascii(',"data":')
      this.#bytes(data)
    } else if (dataBytes !== null) this.#utf8(`,${bytesMember(dataBytes, extensions)}`)
    this.#ascii('}')
    return this.#slab.subarray(this.#start, this.#at)
  }

  #begin(bytes: number): void {
    if (this.#at + bytes > this.#slab.length) this.#more(bytes)
    this.#start = this.#at
  }

  /** Another slab; what there is of the entry moves over. Those before it stay where they are for as long as somebody has them. */
  #more(bytes: number): void {
    const begun = this.#slab.subarray(this.#start, this.#at)
    this.#slab = Buffer.allocUnsafeSlow(Math.max(slabBytes, (begun.length + bytes) * 2))
    begun.copy(this.#slab)
    this.#start = 0
    this.#at = begun.length
  }

  #ascii(text: string): void {
    if (this.#at + text.length > this.#slab.length) this.#more(text.length)
    this.#at += this.#slab.write(text, this.#at, 'latin1')
  }

  #utf8(text: string): void {
    this.#bytes(Buffer.from(text))
  }

  #bytes(bytes: Buffer): void {
    if (this.#at + bytes.length > this.#slab.length) this.#more(bytes.length)
    bytes.copy(this.#slab, this.#at)
    this.#at += bytes.length
  }

  #string(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; at++) {
      const byte = bytes[at] as number
      if (byte >= 0x20 && byte !== 0x22 && byte !== 0x5c) continue
      this.#utf8(JSON.stringify(bytes.toString('utf8')))
      return
    }
    if (this.#at + bytes.length + 2 > this.#slab.length) this.#more(bytes.length + 2)
    this.#slab[this.#at++] = 0x22
    bytes.copy(this.#slab, this.#at)
    this.#at += bytes.length
    this.#slab[this.#at++] = 0x22
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

const replayIdMember = Buffer.from('"replayid"')
const scanner = new JsonScanner()

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
  #second = Number.NaN
  #text = ''

  of(micros: number): string {
    const second = Math.floor(micros / 1_000_000)
    if (second !== this.#second) {
      this.#second = second
      this.#text = new Date(second * 1000).toISOString().slice(0, -4)
    }
    const rest = micros - second * 1_000_000
    const ms = Math.floor(rest / 1000)
    const three = ms < 10 ? `00${ms}` : ms < 100 ? `0${ms}` : String(ms)
    return rest === ms * 1000 ? `${this.#text}${three}Z` : `${this.#text}${String(rest).padStart(6, '0')}Z`
  }
}

export function bytesOf(events: readonly ReplayEvent[]): number {
  let sum = 0
  for (const { entry } of events) sum += entry.length
  return sum
}
