/** What CloudEvents attributes must be in either mode, and which of them have a column. */
import { type EventView, ID, SOURCE, TYPE } from '../core/event.ts'
import type { JsonScanner, ScanFault } from '../core/json-scan.ts'
import type { RecordView } from '../core/record.ts'
import { type Reject, reject } from '../core/verdict.ts'
import { ABSOLUTE, NO_URI, uriKind } from './uri.ts'

/** Attributes that have a column, by its number in core/event.ts. */
export const columns: readonly string[] = ['source', 'id', 'type', 'subject', 'tenantid']

/** What an attribute is for. Those up to TENANT have a column of that number; every other one than time and version is told among the extensions. */
export const TIME = 5
export const VERSION = 6
export const DATA = 7
export const DATA_BASE64 = 8
export const CONTENT_TYPE = 9
export const SCHEMA = 10
export const EXTENSION = 11
const roles = new Map([
  ...columns.map((name, column) => [name, column] as const),
  ['time', TIME],
  ['specversion', VERSION],
  ['data', DATA],
  ['data_base64', DATA_BASE64],
  ['datacontenttype', CONTENT_TYPE],
  ['dataschema', SCHEMA],
])
export const roleOf = (name: string): number => roles.get(name) ?? EXTENSION
export const attributeName = /^[a-z0-9]+$/
/** An entry of a btree may have 2,704 bytes, and a closed day has an index over source and id. */
export const columnBytesMax = 1024

export function equals(bytes: Uint8Array, start: number, end: number, text: string): boolean {
  if (end - start !== text.length) return false
  for (let i = 0; i < text.length; i++) if (bytes[start + i] !== text.charCodeAt(i)) return false
  return true
}

export function excerpt(bytes: Buffer, start: number, end: number): string {
  const text = bytes.toString('utf8', start, Math.min(end, start + 60))
  return end - start > 60 ? `${text}...` : text
}

/** For the person who has to find it: which byte of the value. */
export function faultAt(fault: ScanFault, { members }: JsonScanner, { valueStart, valueEnd }: RecordView): string {
  if (fault === 'empty' || fault === 'byte_order_mark' || fault === 'not_an_object') return ''
  return `At byte ${members.end - valueStart + 1} of ${valueEnd - valueStart}.`
}

/** id, source and type must be there; nothing with a column may be longer than an index can bear; the source is a URI-reference. */
export function attributeProblem(event: EventView): Reject | null {
  for (let column = 0; column < columns.length; column++) {
    const bytes = event.byteLength(column)
    if (bytes > columnBytesMax) return reject('attribute_too_long', `'${columns[column]}' has ${bytes} bytes.`)
  }
  if (event.byteLength(ID) <= 0) return missing('id')
  if (event.byteLength(SOURCE) <= 0) return missing('source')
  if (event.byteLength(TYPE) <= 0) return missing('type')
  const own = event.own[SOURCE]
  const kind = own
    ? uriKind(own, 0, own.length)
    : uriKind(event.bytes, event.at[SOURCE * 2] as number, event.at[SOURCE * 2 + 1] as number)
  if (kind === NO_URI) return reject('bad_uri', `'source' reads '${event.source.slice(0, 60)}'.`)
  return null
}

export const missing = (name: string) => reject('attribute_missing', `'${name}' is missing or empty.`)

/** dataschema is the one other attribute with a form: an absolute URI. */
export function schemaProblem(bytes: Buffer, start: number, end: number): Reject | null {
  if (uriKind(bytes, start, end) === ABSOLUTE) return null
  return reject('bad_uri', `'dataschema' reads '${excerpt(bytes, start, end)}'; it must have a scheme.`)
}
