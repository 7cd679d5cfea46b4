/**
 * Binary mode: attributes are `ce_` headers, the value is the data, as it is. The entry for the stream is an envelope made here.
 *
 * Header values are UTF-8 and nothing else: the Kafka binding knows no percent-encoding (HTTP's does), so %20 stays %20. Names are compared without
 * regard to case. Several headers of one name are an error, unless they say the same content type.
 */
import { isUtf8 } from 'node:buffer'
import { type EventView, TENANT, TYPE } from '../core/event.ts'
import { JsonScanner, membersMax } from '../core/json-scan.ts'
import type { RecordView } from '../core/record.ts'
import { parseTime } from '../core/time.ts'
import { type Reject, reject, type Verdict } from '../core/verdict.ts'
import { attributeName, attributeProblem, columnOf, columns, faultAt, schemaProblem } from './attributes.ts'
import { isJsonType, isTextType } from './media-type.ts'

const scanner = new JsonScanner()

export function decodeBinary(record: RecordView, event: EventView): Verdict {
  const verdict = read(record, event)
  if (verdict !== null) locateInHeaders(record, event)
  return verdict
}

/** Whose a bad record was, as far as its headers tell. */
export function locateInHeaders(record: RecordView, event: EventView): void {
  for (const { name, start, end } of record.headers()) {
    if (start < 0) continue
    const lower = name.toLowerCase()
    const column = lower === 'ce_type' ? TYPE : lower === 'ce_tenantid' ? TENANT : -1
    if (column >= 0 && !event.has(column)) event.place(column, start, end)
  }
}

function read(record: RecordView, event: EventView): Reject | null {
  const { bytes } = record
  const attributes = new Map<string, string>()
  for (const { name, start, end } of record.headers()) {
    const lower = name.toLowerCase()
    const attribute = lower.startsWith('ce_') ? lower.slice(3) : lower === 'content-type' ? 'datacontenttype' : null
    if (attribute === null || start < 0) continue
    const shown = `Header '${name.slice(0, 60)}'.`
    // `data` is the value's: as a header it would be in the envelope twice.
    if (!attributeName.test(attribute) || attribute === 'data') return reject('attribute_name', shown)
    const value = bytes.subarray(start, end)
    const before = attributes.get(attribute)
    if (before !== undefined) {
      // The official SDK for JavaScript sends the content type under both of its names.
      if (attribute === 'datacontenttype' && before === value.toString('utf8')) continue
      return reject('duplicate_attribute', shown)
    }
    if (attributes.size === membersMax) return reject('too_many_attributes')
    if (!isUtf8(value)) return reject('bad_utf8', shown)
    if (value.includes(0)) return reject('nul_character', shown)
    if (attribute === 'dataschema') {
      const problem = schemaProblem(bytes, start, end)
      if (problem !== null) return problem
    }
    attributes.set(attribute, value.toString('utf8'))
    const column = columns.indexOf(attribute)
    if (column >= 0) event.place(columnOf[column] as number, start, end)
  }
  const version = attributes.get('specversion')
  if (version === undefined) return reject('attribute_missing', "'specversion' is missing: there is no ce_specversion.")
  if (version !== '1.0') return reject('specversion', `It reads '${version.slice(0, 60)}'.`)
  const problem = attributeProblem(event)
  if (problem !== null) return problem
  const time = attributes.get('time')
  event.timeMicros = record.timestampMs * 1000
  if (time !== undefined) {
    const timeBytes = Buffer.from(time)
    event.timeMicros = parseTime(timeBytes, 0, timeBytes.length)
    event.timed = true
    if (Number.isNaN(event.timeMicros)) return reject('bad_time', `It reads '${time.slice(0, 60)}'.`)
  }
  const contentType = attributes.get('datacontenttype')
  const unfit = record.valueStart < 0 ? null : readData(record, event, contentType)
  if (unfit !== null) return unfit

  const others: Record<string, string> = Object.create(null)
  for (const [name, value] of attributes) {
    if (name !== 'specversion' && name !== 'time' && !columns.includes(name)) others[name] = value
  }
  event.extensions = Object.keys(others).length === 0 ? null : Buffer.from(JSON.stringify(others))
  event.envelope = envelopeOf(Object.fromEntries(attributes), event, contentType)
  return null
}

/** JSON goes to `data`; anything else is bytes. Without a content type it is JSON if it can be, since that is what such producers send. */
function readData(record: RecordView, event: EventView, contentType: string | undefined): Reject | null {
  const { bytes, valueStart, valueEnd } = record
  const value = bytes.subarray(valueStart, valueEnd)
  const declared = contentType !== undefined && isJsonType(contentType)
  if (declared || contentType === undefined) {
    const fault = scanner.value(bytes, valueStart, valueEnd)
    const isUtf8Too = fault === null && (!scanner.members.nonAscii || isUtf8(value))
    if (isUtf8Too) {
      event.dataStart = valueStart
      event.dataEnd = valueEnd
      return null
    }
    if (declared) {
      if (fault === null) return reject('bad_utf8')
      const code = fault === 'empty' || fault === 'not_json' ? 'data_not_json' : fault
      return reject(code, faultAt(fault, scanner, record))
    }
  }
  event.dataBytes = value
  return null
}

/** The event in the JSON format. Text is a string there, all other bytes are base64. */
function envelopeOf(attributes: object, event: EventView, contentType: string | undefined): Buffer {
  const { dataBytes, dataStart, dataEnd, bytes } = event
  if (dataBytes !== null) {
    const isText = contentType !== undefined && isTextType(contentType) && isUtf8(dataBytes) && !dataBytes.includes(0)
    const data = isText ? { data: dataBytes.toString('utf8') } : { data_base64: dataBytes.toString('base64') }
    return Buffer.from(JSON.stringify({ ...attributes, ...data }))
  }
  const head = Buffer.from(JSON.stringify(attributes))
  if (dataStart < 0) return head
  return Buffer.concat([
    head.subarray(0, -1),
    Buffer.from(',"data":'),
    bytes.subarray(dataStart, dataEnd),
    Buffer.from('}'),
  ])
}
