/**
 * Binary mode: attributes are `ce_` headers, the value is the data, as it is. The entry for the stream is an envelope made here.
 *
 * Header values are UTF-8 and nothing else: the Kafka binding knows no percent-encoding (HTTP's does), so %20 stays %20. Names are compared without
 * regard to case. Several headers of one name are an error, unless they say the same content type.
 */
import { isUtf8 } from 'node:buffer'
import { ByteWriter } from '../core/bytes.ts'
import { type EventView, TENANT, TYPE } from '../core/event.ts'
import { JsonScanner, membersMax } from '../core/json-scan.ts'
import { Known } from '../core/known.ts'
import type { RecordView } from '../core/record.ts'
import { parseTime } from '../core/time.ts'
import { type Reject, reject, type Verdict } from '../core/verdict.ts'
import {
  attributeName,
  attributeProblem,
  CONTENT_TYPE,
  DATA,
  EXTENSION,
  equals,
  faultAt,
  roleOf,
  SCHEMA,
  schemaProblem,
  TIME,
  VERSION,
} from './attributes.ts'
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

/** What the name of a header says. */
interface Meaning {
  /** Null: nothing about the event. */
  readonly attribute: string | null
  readonly isLegal: boolean
  readonly role: number
  /** Its member of the envelope as far as the value's opening quotation mark. */
  readonly opening: Uint8Array
}

const meanings = new Known((name): Meaning => {
  const lower = name.toLowerCase()
  const attribute = lower.startsWith('ce_') ? lower.slice(3) : lower === 'content-type' ? 'datacontenttype' : null
  const role = attribute === null ? EXTENSION : roleOf(attribute)
  return {
    attribute,
    role,
    // `data` is the value's: as a header it would be in the envelope twice.
    isLegal: attribute !== null && attributeName.test(attribute) && role !== DATA,
    opening: Buffer.from(`"${attribute}":"`),
  }
})

/** Of the record at hand: start and end of the attributes that have a role, the names of those that have none, and these as members of JSON. */
const startOf = new Int32Array(EXTENSION)
const endOf = new Int32Array(EXTENSION)
const extensions: string[] = []
const others = new ByteWriter(0)

function read(record: RecordView, event: EventView): Reject | null {
  const { bytes } = record
  const { envelope } = event
  startOf.fill(-1)
  extensions.length = 0
  others.length = 0
  let count = 0
  for (let left = record.rewind(); left > 0; left--) {
    record.nextHeader()
    const { headerStart: start, headerEnd: end, nameStart, nameEnd } = record
    const { attribute, isLegal, role, opening } = meanings.of(bytes, nameStart, nameEnd)
    if (attribute === null || start < 0) continue
    if (!isLegal) return reject('attribute_name', shown(record))
    if (role === EXTENSION ? extensions.includes(attribute) : startOf[role] !== -1) {
      // The official SDK for JavaScript sends the content type under both of its names.
      if (role === CONTENT_TYPE && textIn(bytes, CONTENT_TYPE) === bytes.toString('utf8', start, end)) continue
      return reject('duplicate_attribute', shown(record))
    }
    if (count++ === membersMax) return reject('too_many_attributes')
    const from = envelope.length
    envelope.byte(from === 0 ? 0x7b : 0x2c)
    envelope.write(opening, 0, opening.length)
    if (!envelope.plain(bytes, start, end)) {
      const value = bytes.subarray(start, end)
      if (!isUtf8(value)) return reject('bad_utf8', shown(record))
      if (value.includes(0)) return reject('nul_character', shown(record))
      const text = Buffer.from(JSON.stringify(value.toString('utf8')))
      envelope.write(text, 1, text.length - 1)
    }
    envelope.byte(0x22)
    if (role === EXTENSION) extensions.push(attribute)
    else {
      startOf[role] = start
      endOf[role] = end
      if (role < TIME) event.place(role, start, end)
      if (role === SCHEMA) {
        const problem = schemaProblem(bytes, start, end)
        if (problem !== null) return problem
      }
    }
    if (role > VERSION) others.append(envelope, from)
  }
  const versionAt = startOf[VERSION] as number
  if (versionAt < 0) return reject('attribute_missing', "'specversion' is missing: there is no ce_specversion.")
  if (!equals(bytes, versionAt, endOf[VERSION] as number, '1.0')) {
    return reject('specversion', `It reads '${textIn(bytes, VERSION).slice(0, 60)}'.`)
  }
  const problem = attributeProblem(event)
  if (problem !== null) return problem
  event.timeMicros = record.timestampMs * 1000
  if (startOf[TIME] !== -1) {
    event.timeMicros = parseTime(bytes, startOf[TIME] as number, endOf[TIME] as number)
    event.timed = true
    if (Number.isNaN(event.timeMicros)) return reject('bad_time', `It reads '${textIn(bytes, TIME).slice(0, 60)}'.`)
  }
  const unfit = record.valueStart < 0 ? null : readData(record, event)
  if (unfit !== null) return unfit
  if (others.length > 0) {
    others.byte(0x7d)
    event.extensions = others.take(0)
    event.extensions[0] = 0x7b
  }
  writeData(event)
  return null
}

const shown = ({ bytes, nameStart, nameEnd }: RecordView) =>
  `Header '${bytes.toString('utf8', nameStart, nameEnd).slice(0, 60)}'.`
const textIn = (bytes: Buffer, role: number) => bytes.toString('utf8', startOf[role], endOf[role])

const contentTypes = new Known((type) => ({ isJson: isJsonType(type), isText: isTextType(type) }))
/** Null where the event has none. */
const contentTypeIn = (bytes: Buffer) => {
  const start = startOf[CONTENT_TYPE] as number
  return start < 0 ? null : contentTypes.of(bytes, start, endOf[CONTENT_TYPE] as number)
}

/** JSON goes to `data`; anything else is bytes. Without a content type it is JSON if it can be, since that is what such producers send. */
function readData(record: RecordView, event: EventView): Reject | null {
  const { bytes, valueStart, valueEnd } = record
  const declared = contentTypeIn(bytes)?.isJson
  if (declared !== false) {
    const fault = scanner.value(bytes, valueStart, valueEnd)
    const isUtf8Too = fault === null && (!scanner.members.nonAscii || isUtf8(bytes.subarray(valueStart, valueEnd)))
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
  event.dataBytes = bytes.subarray(valueStart, valueEnd)
  return null
}

/** The envelope up to its data; what is no JSON is a string there if it is text, and base64 if not. */
function writeData({ bytes, dataBytes, dataStart, envelope }: EventView): void {
  if (dataBytes === null) {
    if (dataStart >= 0) envelope.write(dataFollows, 0, dataFollows.length)
    return
  }
  const isText = contentTypeIn(bytes)?.isText === true && isUtf8(dataBytes) && !dataBytes.includes(0)
  const data = Buffer.from(
    isText
      ? `,"data":${JSON.stringify(dataBytes.toString('utf8'))}`
      : `,"data_base64":"${dataBytes.toString('base64')}"`,
  )
  envelope.write(data, 0, data.length)
}

const dataFollows = Buffer.from(',"data":')
