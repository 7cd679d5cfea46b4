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
  /** Members of the envelope, and of the extensions, as JSON. */
  let members = ''
  let others = ''
  let isPlainText = true
  let timeStart = -1
  let timeEnd = -1
  for (const { name, start, end } of record.headers()) {
    const { attribute, isLegal, column, isExtension } = meaningOf(name)
    if (attribute === null || start < 0) continue
    if (!isLegal) return reject('attribute_name', shown(name))
    const isPlainValue = isPlain(bytes, start, end)
    const before = attributes.get(attribute)
    if (before !== undefined) {
      // The official SDK for JavaScript sends the content type under both of its names.
      if (attribute === 'datacontenttype' && before === bytes.toString('utf8', start, end)) continue
      return reject('duplicate_attribute', shown(name))
    }
    if (attributes.size === membersMax) return reject('too_many_attributes')
    if (!isPlainValue) {
      const value = bytes.subarray(start, end)
      if (!isUtf8(value)) return reject('bad_utf8', shown(name))
      if (value.includes(0)) return reject('nul_character', shown(name))
    }
    if (attribute === 'dataschema') {
      const problem = schemaProblem(bytes, start, end)
      if (problem !== null) return problem
    }
    const text = isPlainValue ? bytes.toString('latin1', start, end) : bytes.toString('utf8', start, end)
    attributes.set(attribute, text)
    isPlainText &&= isPlainValue
    const member = `"${attribute}":${isPlainValue ? `"${text}"` : JSON.stringify(text)}`
    members = members === '' ? member : `${members},${member}`
    if (isExtension) others = others === '' ? member : `${others},${member}`
    if (column >= 0) event.place(column, start, end)
    if (attribute === 'time') {
      timeStart = start
      timeEnd = end
    }
  }
  const version = attributes.get('specversion')
  if (version === undefined) return reject('attribute_missing', "'specversion' is missing: there is no ce_specversion.")
  if (version !== '1.0') return reject('specversion', `It reads '${version.slice(0, 60)}'.`)
  const problem = attributeProblem(event)
  if (problem !== null) return problem
  event.timeMicros = record.timestampMs * 1000
  if (timeStart >= 0) {
    event.timeMicros = parseTime(bytes, timeStart, timeEnd)
    event.timed = true
    if (Number.isNaN(event.timeMicros)) {
      return reject('bad_time', `It reads '${(attributes.get('time') as string).slice(0, 60)}'.`)
    }
  }
  const contentType = attributes.get('datacontenttype')
  const unfit = record.valueStart < 0 ? null : readData(record, event, contentType)
  if (unfit !== null) return unfit
  event.extensions = others === '' ? null : Buffer.from(`{${others}}`)
  event.envelope = envelopeOf(members, isPlainText, event, contentType)
  return null
}

const shown = (name: string) => `Header '${name.slice(0, 60)}'.`

interface Meaning {
  /** Null: it says nothing about the event. */
  readonly attribute: string | null
  readonly isLegal: boolean
  readonly column: number
  readonly isExtension: boolean
}

/** Names recur, so what one means is worked out once. */
const meanings = new Map<string, Meaning>()
const meaningsMax = 1000

function meaningOf(name: string): Meaning {
  let known = meanings.get(name)
  if (known === undefined) {
    const lower = name.toLowerCase()
    const attribute = lower.startsWith('ce_') ? lower.slice(3) : lower === 'content-type' ? 'datacontenttype' : null
    const place = attribute === null ? -1 : columns.indexOf(attribute)
    known = {
      attribute,
      // `data` is the value's: as a header it would be in the envelope twice.
      isLegal: attribute !== null && attributeName.test(attribute) && attribute !== 'data',
      column: place < 0 ? -1 : (columnOf[place] as number),
      isExtension: place < 0 && attribute !== 'specversion' && attribute !== 'time',
    }
    if (meanings.size === meaningsMax) meanings.clear()
    meanings.set(name, known)
  }
  return known
}

/** Stands in JSON as it is: printable ASCII without quotation mark and backslash. */
function isPlain(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number
    if (byte < 0x20 || byte > 0x7e || byte === 0x22 || byte === 0x5c) return false
  }
  return true
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
function envelopeOf(members: string, isPlainText: boolean, event: EventView, contentType: string | undefined): Buffer {
  const { dataBytes, dataStart, dataEnd, bytes } = event
  if (dataBytes !== null) {
    const isText = contentType !== undefined && isTextType(contentType) && isUtf8(dataBytes) && !dataBytes.includes(0)
    const data = isText
      ? `"data":${JSON.stringify(dataBytes.toString('utf8'))}`
      : `"data_base64":"${dataBytes.toString('base64')}"`
    return Buffer.from(`{${members},${data}}`)
  }
  if (dataStart < 0) return Buffer.from(`{${members}}`)
  const head = `{${members},"data":`
  const headBytes = isPlainText ? head.length : Buffer.byteLength(head)
  const dataBytesCount = dataEnd - dataStart
  const envelope = Buffer.allocUnsafe(headBytes + dataBytesCount + 1)
  envelope.write(head, 0, isPlainText ? 'latin1' : 'utf8')
  bytes.copy(envelope, headBytes, dataStart, dataEnd)
  envelope[headBytes + dataBytesCount] = 0x7d
  return envelope
}
