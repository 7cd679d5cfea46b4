/**
 * Bad records, each under a label and with the code it must be rejected under: what real producers have been seen to send, and what has aborted a
 * COPY. Every one of them is a reject, never a skip and never a row.
 */
import type { RejectCode } from '../core/verdict.ts'

export interface Poison {
  readonly label: string
  readonly code: RejectCode
  /** Spoils a good event, given as its JSON text. */
  readonly spoil: (json: string) => Buffer
}

const text = (label: string, code: RejectCode, spoil: (json: string) => string): Poison => ({
  label,
  code,
  spoil: (json) => Buffer.from(spoil(json)),
})

/** Puts a member at the end of `data`, which every simulated event has as its last member, an object. */
const inData = (json: string, member: string) => `${json.slice(0, -2)},${member}}}`
const without = (json: string, attribute: string) => json.replace(new RegExp(`"${attribute}":"[^"]*",`), '')
const withValue = (json: string, attribute: string, value: string) =>
  json.replace(new RegExp(`"${attribute}":"[^"]*"`), `"${attribute}":${value}`)

function badUtf8(json: string): Buffer {
  const bytes = Buffer.from(inData(json, '"note":"??"'))
  // C3 announces a second byte and 28 is not one.
  bytes.set([0xc3, 0x28], bytes.length - 5)
  return bytes
}

export const poisons: readonly Poison[] = [
  text('not-json', 'not_json', () => 'ERROR 500: upstream timed out'),
  text('html', 'not_json', () => '<!doctype html><title>502 Bad Gateway</title>'),
  text('truncated', 'truncated', (json) => json.slice(0, Math.floor(json.length * 0.7))),
  text('empty', 'empty', () => ''),
  text('array', 'not_an_object', (json) => `[${json}]`),
  text('two-events', 'trailing_bytes', (json) => `${json}${json}`),
  text('byte-order-mark', 'byte_order_mark', (json) => `\ufeff${json}`),
  text('missing-id', 'attribute_missing', (json) => without(json, 'id')),
  text('missing-source', 'attribute_missing', (json) => without(json, 'source')),
  text('missing-type', 'attribute_missing', (json) => without(json, 'type')),
  text('empty-id', 'attribute_missing', (json) => withValue(json, 'id', '""')),
  text('number-as-id', 'attribute_type', (json) => withValue(json, 'id', '42')),
  text('specversion-0.3', 'specversion', (json) => withValue(json, 'specversion', '"0.3"')),
  text('bad-time', 'bad_time', (json) => withValue(json, 'time', '"21/11/2026 09:30"')),
  text('nul', 'nul_character', (json) => inData(json, '"note":"a\\u0000b"')),
  text('lone-surrogate', 'lone_surrogate', (json) => inData(json, '"note":"cut \\ud83d off"')),
  text('raw-control-character', 'control_character', (json) => inData(json, '"note":"two\nlines"')),
  text('huge-number', 'number_out_of_range', (json) => inData(json, '"amount":1e999999')),
  text('too-deep', 'too_deep', (json) => inData(json, `"deep":${'['.repeat(1000)}${']'.repeat(1000)}`)),
  text('attribute-twice', 'duplicate_attribute', (json) => `{"id":"another",${json.slice(1)}`),
  text('attribute-name', 'attribute_name', (json) => `{"Correlation-Id":"x",${json.slice(1)}`),
  { label: 'bad-utf8', code: 'bad_utf8', spoil: badUtf8 },
]
