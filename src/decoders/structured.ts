/**
 * Structured mode: the value is the event as one JSON object (the JSON event format). One pass finds the members; what goes to PostgreSQL and Redis
 * are the producer's own bytes wherever that is possible.
 */
import { isUtf8 } from 'node:buffer'
import { type EventView, TENANT, TYPE } from '../core/event.ts'
import { JsonScanner, membersMax, NULL, STRING, STRING_ESCAPED } from '../core/json-scan.ts'
import { Known } from '../core/known.ts'
import type { RecordView } from '../core/record.ts'
import { parseTime } from '../core/time.ts'
import { type Reject, reject, type Verdict } from '../core/verdict.ts'
import {
  attributeName,
  attributeProblem,
  columns,
  DATA,
  DATA_BASE64,
  EXTENSION,
  equals,
  excerpt,
  faultAt,
  roleOf,
  SCHEMA,
  schemaProblem,
  TIME,
  VERSION,
} from './attributes.ts'
import { decodeBase64 } from './base64.ts'

const scanner = new JsonScanner()
const NO_NAME = -1
/** Of names as they stand there. */
const rolesKnown = new Known((name) => (attributeName.test(name) || name === 'data_base64' ? roleOf(name) : NO_NAME))
/** Which members of the scan at hand are extension attributes. */
const others = new Int32Array(membersMax)

export function decodeStructured(record: RecordView, event: EventView): Verdict {
  const verdict = read(record, event)
  // Of a bad record, whose it was is worth knowing: from the members before the fault.
  if (verdict !== null) locate(record, event)
  return verdict
}

function read(record: RecordView, event: EventView): Reject | null {
  const { bytes } = record
  const fault = scanner.object(bytes, record.valueStart, record.valueEnd)
  const { members } = scanner
  if (fault !== null) return reject(fault, faultAt(fault, scanner, record))
  if (members.nonAscii && !isUtf8(bytes.subarray(record.valueStart, record.valueEnd))) return reject('bad_utf8')

  let version = false
  /** Of the attributes that have a role, a bit each. */
  let seen = 0
  let otherCount = 0
  let base64 = -1
  for (let i = 0; i < members.count; i++) {
    const keyStart = members.keyStart[i] as number
    const keyEnd = members.keyEnd[i] as number
    if (members.keyEscaped[i] === 1) return reject('attribute_name', 'It is written with escapes.')
    if (keyStart === keyEnd) return reject('attribute_name', 'It is empty.')
    const role = rolesKnown.of(bytes, keyStart, keyEnd)
    if (role === NO_NAME) return reject('attribute_name', nameAt(record, i))
    const isTwice = role === EXTENSION ? isRepeated(bytes, i) : (seen & (1 << role)) !== 0
    if (isTwice) return reject('duplicate_attribute', nameAt(record, i))
    seen |= 1 << role
    const start = members.start[i] as number
    const stop = members.stop[i] as number
    const kind = members.kind[i] as number
    const isText = kind === STRING || kind === STRING_ESCAPED
    if (role === DATA) {
      event.dataStart = isText ? start - 1 : start
      event.dataEnd = isText ? stop + 1 : stop
      continue
    }
    // null is the same as absent, for everything but data.
    if (kind === NULL) continue
    if (role < TIME) {
      if (kind === STRING) event.place(role, start, stop)
      else if (kind === STRING_ESCAPED) event.own[role] = unescaped(bytes, start, stop)
      else return reject('attribute_type', `'${columns[role]}' is not a string.`)
    } else if (role === TIME) {
      if (kind !== STRING) return reject('bad_time', "'time' is not a plain string.")
      event.timeMicros = parseTime(bytes, start, stop)
      event.timed = true
      if (Number.isNaN(event.timeMicros)) return reject('bad_time', `It reads '${excerpt(bytes, start, stop)}'.`)
    } else if (role === VERSION) {
      if (kind !== STRING || !equals(bytes, start, stop, '1.0')) return reject('specversion')
      version = true
    } else if (role === DATA_BASE64) {
      if (!isText) return reject('attribute_type', "'data_base64' is not a string.")
      base64 = i
    } else {
      if (kind > NULL) return reject('attribute_type', `${nameAt(record, i)} is an object or an array.`)
      if (!isText && role !== EXTENSION) return reject('attribute_type', `${nameAt(record, i)} is not a string.`)
      if (role === SCHEMA) {
        const own = kind === STRING ? bytes : unescaped(bytes, start, stop)
        const problem = kind === STRING ? schemaProblem(own, start, stop) : schemaProblem(own, 0, own.length)
        if (problem !== null) return problem
      }
      others[otherCount++] = i
    }
  }
  if (!version) return reject('attribute_missing', "'specversion' is missing.")
  const problem = attributeProblem(event) ?? (base64 < 0 ? null : readBase64(bytes, base64, event))
  if (problem !== null) return problem
  if (!event.timed) event.timeMicros = record.timestampMs * 1000
  event.extensions = otherCount === 0 ? null : extensionsOf(bytes, otherCount)
  event.entryStart = record.valueStart
  event.entryEnd = record.valueEnd
  return null
}

function isRepeated(bytes: Buffer, i: number): boolean {
  const { members } = scanner
  const keyStart = members.keyStart[i] as number
  const length = (members.keyEnd[i] as number) - keyStart
  for (let j = 0; j < i; j++) {
    const other = members.keyStart[j] as number
    if ((members.keyEnd[j] as number) - other !== length) continue
    let same = true
    for (let k = 0; k < length; k++) {
      if (bytes[other + k] !== bytes[keyStart + k]) {
        same = false
        break
      }
    }
    if (same) return true
  }
  return false
}

/** Some serializers write `"data": null` beside the bytes: that is no second data. */
function readBase64(bytes: Buffer, i: number, event: EventView): Reject | null {
  const { members } = scanner
  if (event.dataStart >= 0) {
    if (!equals(bytes, event.dataStart, event.dataEnd, 'null')) return reject('data_twice')
    event.dataStart = -1
    event.dataEnd = -1
  }
  const start = members.start[i] as number
  const stop = members.stop[i] as number
  if (members.kind[i] === STRING) event.dataBytes = decodeBase64(bytes, start, stop)
  else {
    // PHP and others write every slash of base64 as \/.
    const own = unescaped(bytes, start, stop)
    event.dataBytes = decodeBase64(own, 0, own.length)
  }
  return event.dataBytes === null ? reject('bad_base64') : null
}

function locate(record: RecordView, event: EventView): void {
  const { members } = scanner
  for (let i = 0; i < members.count; i++) {
    const column = rolesKnown.of(record.bytes, members.keyStart[i] as number, members.keyEnd[i] as number)
    if ((column !== TYPE && column !== TENANT) || event.has(column)) continue
    const start = members.start[i] as number
    const stop = members.stop[i] as number
    if (members.kind[i] === STRING) event.place(column, start, stop)
    else if (members.kind[i] === STRING_ESCAPED) event.own[column] = unescaped(record.bytes, start, stop)
  }
}

function unescaped(bytes: Buffer, start: number, stop: number): Buffer {
  return Buffer.from(JSON.parse(bytes.toString('utf8', start - 1, stop + 1)) as string)
}

const nameAt = (record: RecordView, i: number) =>
  `'${excerpt(record.bytes, scanner.members.keyStart[i] as number, scanner.members.keyEnd[i] as number)}'`

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
