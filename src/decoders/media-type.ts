/** Content types, as far as a decoder must understand them: RFC 2045 names without regard to case, parameters after a semicolon. */

export const NOT_AN_ENVELOPE = 0
export const JSON_ENVELOPE = 1
export const OTHER_ENVELOPE = 2

const prefix = 'application/cloudevents'
const suffix = '+json'

function matches(bytes: Uint8Array, start: number, end: number, lower: string): boolean {
  if (end - start < lower.length) return false
  for (let i = 0; i < lower.length; i++) {
    const byte = bytes[start + i] as number
    if ((byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte) !== lower.charCodeAt(i)) return false
  }
  return true
}

/**
 * What a content-type header says of the value. The binding's rule: whatever begins with application/cloudevents is structured mode; of the formats
 * (+json, +protobuf, +avro, -batch+json) only JSON is read here. Bare application/cloudevents is taken for JSON, the one format all must know.
 */
export function envelopeKind(bytes: Uint8Array, start: number, end: number): number {
  if (!matches(bytes, start, end, prefix)) return NOT_AN_ENVELOPE
  let at = start + prefix.length
  if (matches(bytes, at, end, suffix)) at += suffix.length
  const next = at < end ? bytes[at] : 0x3b
  return next === 0x3b || next === 0x20 || next === 0x09 ? JSON_ENVELOPE : OTHER_ENVELOPE
}

const essence = (contentType: string) => (contentType.split(';', 1)[0] as string).trim().toLowerCase()

/** The JSON format's own rule: a subtype of json, or one that ends in +json. */
export function isJsonType(contentType: string): boolean {
  const name = essence(contentType)
  return name.endsWith('/json') || name.endsWith('+json')
}

/** Text whose characters are known: it may stand in JSON as a string and come out of it as the same bytes. */
export function isTextType(contentType: string): boolean {
  const name = essence(contentType)
  if (!name.startsWith('text/') && !name.endsWith('/xml') && !name.endsWith('+xml')) return false
  const charset = /;\s*charset\s*=\s*"?([^\s;"]+)/i.exec(contentType)?.[1]?.toLowerCase()
  return charset === undefined || charset === 'utf-8' || charset === 'us-ascii'
}
