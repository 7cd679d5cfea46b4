/**
 * An event as a request of HTTP, as the HTTP binding of CloudEvents 1.0 has it: binary (attributes as headers, data as it is), structured, or several in a
 * batch. Pure. Data is cut out of the event byte for byte, so that numbers keep their digits.
 */
import { JsonScanner, STRING, STRING_ESCAPED } from '../core/json-scan.ts'
import { isJsonType } from '../decoders/media-type.ts'
import type { HttpMode } from './description.ts'

export interface HttpMessage {
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer | null
}

const scanner = new JsonScanner()
/** Without a charset: JSON is UTF-8, and some receivers take the content type to the letter. */
const structured = { 'content-type': 'application/cloudevents+json' }
const batched = { 'content-type': 'application/cloudevents-batch+json' }

/** `entries`: one, except in a batch. */
export function httpMessage(mode: HttpMode, entries: readonly Buffer[]): HttpMessage {
  if (mode === 'structured') return { headers: structured, body: entries[0] as Buffer }
  if (mode === 'binary') return binaryMessage(entries[0] as Buffer)
  const parts = entries.flatMap((entry, index) => [Buffer.from(index === 0 ? '[' : ','), entry])
  return { headers: batched, body: Buffer.concat([...parts, Buffer.from(']')]) }
}

function binaryMessage(entry: Buffer): HttpMessage {
  const headers: Record<string, string> = {}
  let data: Buffer | null = null
  let dataIsString = false
  let base64: string | null = null
  // The entry has passed a scanner before.
  scanner.object(entry, 0, entry.length)
  const { count, keyStart, keyEnd, start, stop, kind } = scanner.members
  for (let i = 0; i < count; i++) {
    const name = entry.toString('utf8', keyStart[i], keyEnd[i])
    const isString = kind[i] === STRING || kind[i] === STRING_ESCAPED
    const quote = isString ? 1 : 0
    const raw = entry.subarray((start[i] as number) - quote, (stop[i] as number) + quote)
    if (name === 'data') {
      data = raw
      dataIsString = isString
      continue
    }
    const value = JSON.parse(raw.toString('utf8')) as unknown
    if (value === null) continue
    if (name === 'data_base64') base64 = String(value)
    else if (name === 'datacontenttype') headers['content-type'] = String(value)
    else headers[`ce-${name}`] = headerText(String(value))
  }
  if (base64 !== null) return { headers, body: Buffer.from(base64, 'base64') }
  if (data === null) return { headers, body: null }
  const type = headers['content-type']
  // Text under a content type of its own stands as a string in the JSON format.
  if (type !== undefined && !isJsonType(type) && dataIsString)
    return { headers, body: Buffer.from(JSON.parse(data.toString('utf8')) as string) }
  headers['content-type'] ??= 'application/json'
  return { headers, body: Buffer.from(data) }
}

/** Percent-encoded where the binding asks for it: space, quotation mark, percent sign, and whatever is no printable ASCII. */
export const headerText = (text: string): string =>
  text.replaceAll(/[^\x21\x23\x24\x26-\x7e]/gu, (sign) =>
    [...Buffer.from(sign)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  )
