/**
 * CloudEvents 1.0 from Kafka, structured and binary mode, as the Kafka protocol binding has them. A record without the content-type header is read
 * as structured, since such producers are common. Nothing gets through that PostgreSQL would refuse.
 */
import { isUtf8 } from 'node:buffer'
import { type EventView, ID, SOURCE, SUBJECT, TENANT, TYPE } from '../core/event.ts'
import { JsonScanner, membersMax, NULL, STRING, STRING_ESCAPED } from '../core/json-scan.ts'
import type { RecordView } from '../core/record.ts'
import { parseTime } from '../core/time.ts'
import { type Reject, reject, type Verdict } from '../core/verdict.ts'
import type { Decoder } from '../define.ts'

const scanner = new JsonScanner()
/** Which members of the scan at hand are extension attributes. */
const others = new Int32Array(membersMax)
const columns = ['source', 'id', 'type', 'subject', 'tenantid']
const columnOf = [SOURCE, ID, TYPE, SUBJECT, TENANT]
const attributeName = /^[a-z0-9]+$/

function startsWith(bytes: Uint8Array, start: number, end: number, lower: string): boolean {
  if (end - start < lower.length) return false
  for (let i = 0; i < lower.length; i++) {
    const byte = bytes[start + i] as number
    if ((byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte) !== lower.charCodeAt(i)) return false
  }
  return true
}

function equals(bytes: Uint8Array, start: number, end: number, text: string): boolean {
  if (end - start !== text.length) return false
  for (let i = 0; i < text.length; i++) if (bytes[start + i] !== text.charCodeAt(i)) return false
  return true
}

export const cloudEvent: Decoder = {
  name: 'cloud-event/1',
  decode(record, event) {
    event.reset(record.bytes)
    if (record.header('content-type')) {
      if (startsWith(record.bytes, record.headerStart, record.headerEnd, 'application/cloudevents')) {
        return structured(record, event)
      }
      if (record.header('ce_specversion')) return binary(record, event)
      return structured(record, event)
    }
    return record.header('ce_specversion') ? binary(record, event) : structured(record, event)
  },
}

function structured(record: RecordView, event: EventView): Verdict {
  if (record.valueStart < 0) return reject('empty', 'The value is null.')
  const { bytes } = record
  const fault = scanner.object(bytes, record.valueStart, record.valueEnd)
  if (fault !== null) return reject(fault)
  const { members } = scanner
  if (members.nonAscii && !isUtf8(bytes.subarray(record.valueStart, record.valueEnd))) return reject('bad_utf8')

  let timeMicros = Number.NaN
  let version = false
  let otherCount = 0
  for (let i = 0; i < members.count; i++) {
    const keyStart = members.keyStart[i] as number
    const keyEnd = members.keyEnd[i] as number
    if (members.keyEscaped[i] === 1) return reject('attribute_name', 'It is written with escapes.')
    if (keyStart === keyEnd) return reject('attribute_name', 'It is empty.')
    for (let at = keyStart; at < keyEnd; at++) {
      const byte = bytes[at] as number
      if (!((byte >= 0x61 && byte <= 0x7a) || (byte >= 0x30 && byte <= 0x39))) {
        if (!equals(bytes, keyStart, keyEnd, 'data_base64')) return reject('attribute_name', nameAt(record, i))
      }
    }
    for (let j = 0; j < i; j++) {
      const length = keyEnd - keyStart
      const other = members.keyStart[j] as number
      if ((members.keyEnd[j] as number) - other !== length) continue
      let same = true
      for (let k = 0; k < length; k++) {
        if (bytes[other + k] !== bytes[keyStart + k]) {
          same = false
          break
        }
      }
      if (same) return reject('duplicate_attribute', nameAt(record, i))
    }
    const start = members.start[i] as number
    const stop = members.stop[i] as number
    const kind = members.kind[i] as number
    // null is the same as absent, for every attribute and for data.
    if (kind === NULL) continue
    const column = columnAt(bytes, keyStart, keyEnd)
    if (column >= 0) {
      if (kind === STRING) event.place(column, start, stop)
      else if (kind === STRING_ESCAPED) event.own[column] = unescaped(bytes, start, stop)
      else return reject('attribute_type', `'${columns[column]}' is not a string.`)
    } else if (equals(bytes, keyStart, keyEnd, 'data')) {
      event.dataStart = kind === STRING || kind === STRING_ESCAPED ? start - 1 : start
      event.dataEnd = kind === STRING || kind === STRING_ESCAPED ? stop + 1 : stop
    } else if (equals(bytes, keyStart, keyEnd, 'time')) {
      if (kind !== STRING) return reject('bad_time', "'time' is not a plain string.")
      timeMicros = parseTime(bytes, start, stop)
      if (Number.isNaN(timeMicros)) return reject('bad_time', `It reads '${excerpt(bytes, start, stop)}'.`)
    } else if (equals(bytes, keyStart, keyEnd, 'specversion')) {
      if (kind !== STRING || !equals(bytes, start, stop, '1.0')) return reject('specversion')
      version = true
    } else {
      if (kind > 5) return reject('attribute_type', `${nameAt(record, i)} is an object or an array.`)
      if (kind !== STRING && kind !== STRING_ESCAPED && isText(bytes, keyStart, keyEnd)) {
        return reject('attribute_type', `${nameAt(record, i)} is not a string.`)
      }
      others[otherCount++] = i
    }
  }
  if (!version) return reject('attribute_missing', "'specversion' is missing.")
  const missing = required(event)
  if (missing !== null) return missing
  event.timeMicros = Number.isNaN(timeMicros) ? record.timestampMs * 1000 : timeMicros
  event.extensions = otherCount === 0 ? null : extensionsOf(bytes, otherCount)
  event.entryStart = record.valueStart
  event.entryEnd = record.valueEnd
  return null
}

function columnAt(bytes: Uint8Array, start: number, end: number): number {
  for (let i = 0; i < columns.length; i++) {
    if (equals(bytes, start, end, columns[i] as string)) return columnOf[i] as number
  }
  return -1
}

/** Attributes of the specification's own that have no column. */
function isText(bytes: Uint8Array, start: number, end: number): boolean {
  return equals(bytes, start, end, 'datacontenttype') || equals(bytes, start, end, 'dataschema')
}

function required(event: EventView): Reject | null {
  for (const [column, name] of [
    [ID, 'id'],
    [SOURCE, 'source'],
    [TYPE, 'type'],
  ] as const) {
    const own = event.own[column]
    const empty = own ? own.length === 0 : event.at[column * 2] === event.at[column * 2 + 1]
    if (!event.has(column) || empty) return reject('attribute_missing', `'${name}' is missing or empty.`)
  }
  return null
}

function unescaped(bytes: Buffer, start: number, stop: number): Buffer {
  return Buffer.from(JSON.parse(bytes.toString('utf8', start - 1, stop + 1)) as string)
}

const nameAt = (record: RecordView, i: number) =>
  `'${excerpt(record.bytes, scanner.members.keyStart[i] as number, scanner.members.keyEnd[i] as number)}'`

function excerpt(bytes: Buffer, start: number, end: number): string {
  const text = bytes.toString('utf8', start, Math.min(end, start + 60))
  return end - start > 60 ? `${text}...` : text
}

/** The other attributes as one JSON object, put together from the producer's own bytes. */
function extensionsOf(bytes: Buffer, count: number): Buffer {
  const { members } = scanner
  let size = 2
  for (let n = 0; n < count; n++) {
    const i = others[n] as number
    size += (members.keyEnd[i] as number) - (members.keyStart[i] as number) + 6
    size += (members.stop[i] as number) - (members.start[i] as number)
  }
  const out = Buffer.allocUnsafe(size)
  let at = 0
  for (let n = 0; n < count; n++) {
    const i = others[n] as number
    out[at++] = n === 0 ? 0x7b : 0x2c
    out[at++] = 0x22
    at += bytes.copy(out, at, members.keyStart[i], members.keyEnd[i])
    out[at++] = 0x22
    out[at++] = 0x3a
    const text = members.kind[i] === STRING || members.kind[i] === STRING_ESCAPED
    if (text) out[at++] = 0x22
    at += bytes.copy(out, at, members.start[i], members.stop[i])
    if (text) out[at++] = 0x22
  }
  out[at++] = 0x7d
  return out.subarray(0, at)
}

/** Attributes are `ce_` headers, the value is the data. The entry for the stream is an envelope made here. */
function binary(record: RecordView, event: EventView): Verdict {
  const { bytes } = record
  const attributes = new Map<string, string>()
  for (const { name, start, end } of record.headers()) {
    const lower = name.toLowerCase()
    const attribute = lower.startsWith('ce_') ? lower.slice(3) : lower === 'content-type' ? 'datacontenttype' : null
    if (attribute === null || start < 0) continue
    // `data` is the value's: as a header it would be in the envelope twice.
    if (!attributeName.test(attribute) || attribute === 'data')
      return reject('attribute_name', `Header '${name.slice(0, 60)}'.`)
    const value = bytes.subarray(start, end)
    const before = attributes.get(attribute)
    if (before !== undefined) {
      // The official SDK for JavaScript sends the content type under both of its names.
      if (attribute === 'datacontenttype' && before === value.toString('utf8')) continue
      return reject('duplicate_attribute', `Header '${name.slice(0, 60)}'.`)
    }
    if (!isUtf8(value)) return reject('bad_utf8', `Header '${name.slice(0, 60)}'.`)
    if (value.includes(0)) return reject('nul_character', `Header '${name.slice(0, 60)}'.`)
    attributes.set(attribute, value.toString('utf8'))
    const column = columns.indexOf(attribute)
    if (column >= 0) event.place(columnOf[column] as number, start, end)
  }
  if (attributes.get('specversion') !== '1.0') return reject('specversion')
  const missing = required(event)
  if (missing !== null) return missing
  const time = attributes.get('time')
  event.timeMicros = record.timestampMs * 1000
  if (time !== undefined) {
    const timeBytes = Buffer.from(time)
    event.timeMicros = parseTime(timeBytes, 0, timeBytes.length)
    if (Number.isNaN(event.timeMicros)) return reject('bad_time', `It reads '${time.slice(0, 60)}'.`)
  }
  if (record.valueStart >= 0) {
    const fault = scanner.value(bytes, record.valueStart, record.valueEnd)
    if (fault === 'empty' || fault === 'not_json') return reject('data_not_json')
    if (fault !== null) return reject(fault)
    if (scanner.members.nonAscii && !isUtf8(bytes.subarray(record.valueStart, record.valueEnd)))
      return reject('bad_utf8')
    event.dataStart = record.valueStart
    event.dataEnd = record.valueEnd
  }
  const others: Record<string, string> = Object.create(null)
  for (const [name, value] of attributes) {
    if (name !== 'specversion' && name !== 'time' && !columns.includes(name)) others[name] = value
  }
  event.extensions = Object.keys(others).length === 0 ? null : Buffer.from(JSON.stringify(others))
  const head = Buffer.from(JSON.stringify(Object.fromEntries(attributes)))
  event.envelope =
    event.dataStart < 0
      ? head
      : Buffer.concat([
          head.subarray(0, -1),
          Buffer.from(',"data":'),
          bytes.subarray(event.dataStart, event.dataEnd),
          Buffer.from('}'),
        ])
  return null
}
