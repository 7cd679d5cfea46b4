/**
 * CloudEvents read the plain way, for the proof: JSON.parse and a page of rules, sharing no line with the decoder whose work is being checked. It is
 * less strict on purpose. What it refuses must be in `rejects`; what it accepts may be there too, for reasons only the decoder knows.
 */

export type Headers = Readonly<Record<string, Buffer | string | readonly (Buffer | string)[] | undefined>>

export interface PlainEvent {
  readonly source: string
  readonly id: string
  readonly type: string
  readonly subject: string | null
  readonly tenant: string | null
  /** The event's own millisecond, rounded down; the record's timestamp where the event has none. */
  readonly timeMs: number
  /** undefined where the event has none, or none that is JSON. */
  readonly data: unknown
  /** What data_bytes may hold: the bytes of `data_base64`, or the value of a record in binary mode. */
  readonly bytes: Buffer | null
  readonly extensions: Readonly<Record<string, unknown>>
}

const ownColumns = new Set([
  'specversion',
  'id',
  'source',
  'type',
  'subject',
  'tenantid',
  'time',
  'data',
  'data_base64',
])

/** null: this is no CloudEvent. */
export function readEvent(value: Buffer | null, headers: Headers | undefined, timestampMs: number): PlainEvent | null {
  const named = plainHeaders(headers)
  const structured =
    named.get('content-type')?.toLowerCase().startsWith('application/cloudevents') ||
    ![...named.keys()].some((name) => name.startsWith('ce_'))
  const attributes = structured ? envelope(value) : binary(value, named)
  if (attributes === null) return null
  const base64 = attributes.data_base64
  const bytes = structured ? (typeof base64 === 'string' ? Buffer.from(base64, 'base64') : null) : value
  return eventOf(attributes, bytes, timestampMs)
}

function plainHeaders(headers: Headers | undefined): Map<string, string> {
  const named = new Map<string, string>()
  for (const [name, given] of Object.entries(headers ?? {})) {
    const lower = name.toLowerCase()
    // A header may stand there without a value.
    const first = (Array.isArray(given) ? given : [given]).find((one) => one !== undefined && one !== null)
    if (first !== undefined && !named.has(lower)) named.set(lower, first.toString())
  }
  return named
}

function parse(value: Buffer): unknown {
  try {
    return JSON.parse(value.toString('utf8'))
  } catch {
    return undefined
  }
}

function envelope(value: Buffer | null): Record<string, unknown> | null {
  const parsed = value === null ? undefined : parse(value)
  return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)
    ? (parsed as Record<string, unknown>)
    : null
}

function binary(value: Buffer | null, headers: ReadonlyMap<string, string>): Record<string, unknown> | null {
  const attributes: Record<string, unknown> = {}
  for (const [name, text] of headers) {
    if (name === 'content-type') attributes.datacontenttype = text
    else if (name.startsWith('ce_')) attributes[name.slice(3)] = text
  }
  if (value === null) return attributes
  const type = String(attributes.datacontenttype ?? 'any/json').split(';')[0] as string
  const isJson = /[/+]json\s*$/i.test(type)
  attributes.data = isJson ? parse(value) : undefined
  return attributes.data === undefined && attributes.datacontenttype !== undefined && isJson ? null : attributes
}

function eventOf(attributes: Record<string, unknown>, bytes: Buffer | null, timestampMs: number): PlainEvent | null {
  const { specversion, id, source, type, subject = null, tenantid = null, time = null } = attributes
  if (specversion !== '1.0') return null
  if (typeof id !== 'string' || typeof source !== 'string' || typeof type !== 'string') return null
  if (id === '' || source === '' || type === '') return null
  if (subject !== null && typeof subject !== 'string') return null
  if (tenantid !== null && typeof tenantid !== 'string') return null
  const timeMs = time === null ? timestampMs : typeof time === 'string' ? millisecondOf(time) : Number.NaN
  if (Number.isNaN(timeMs)) return null
  const extensions: Record<string, unknown> = {}
  for (const name in attributes) {
    if (!ownColumns.has(name) && attributes[name] !== null) extensions[name] = attributes[name]
  }
  const { data } = attributes
  return { source, id, type, subject, tenant: tenantid, timeMs, data, bytes, extensions }
}

const timestamp = /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))$/

/** RFC 3339; NaN for what is none. Second 60 is the first of the next minute. */
export function millisecondOf(text: string): number {
  const found = timestamp.exec(text)
  if (found === null) return Number.NaN
  const [year, month, day, hour, minute, second] = found.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  if (hour > 23 || minute > 59 || second > 60) return Number.NaN
  const midnight = new Date(0)
  midnight.setUTCFullYear(year, month - 1, day)
  if (midnight.getUTCMonth() !== month - 1 || midnight.getUTCDate() !== day) return Number.NaN
  const zoneHours = Number(found[9] ?? 0)
  const zoneMinutes = Number(found[10] ?? 0)
  if (zoneHours > 23 || zoneMinutes > 59) return Number.NaN
  const fraction = Number((found[7] ?? '').slice(0, 3).padEnd(3, '0'))
  const zone = (found[8] === '-' ? -1 : 1) * (zoneHours * 60 + zoneMinutes)
  return midnight.getTime() + (hour * 60 + minute - zone) * 60_000 + second * 1000 + fraction
}

/** Equality of JSON values; members in any order, -0 is 0. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) !== Array.isArray(b)) return false
  const names = Object.keys(a)
  if (names.length !== Object.keys(b).length) return false
  return names.every(
    (name) =>
      Object.hasOwn(b, name) && sameJson((a as Record<string, unknown>)[name], (b as Record<string, unknown>)[name]),
  )
}

/** Whether two readings of an event mean the same data: as JSON, or, where it is none, as bytes. Text may be a string of an envelope. */
export function sameData(said: PlainEvent, event: PlainEvent): boolean {
  if (event.bytes !== null) {
    if (said.bytes?.equals(event.bytes)) return true
    if (typeof said.data === 'string' && Buffer.from(said.data).equals(event.bytes)) return true
    if (event.data === undefined) return false
  }
  return said.bytes === null && sameJson(said.data ?? null, event.data ?? null)
}
