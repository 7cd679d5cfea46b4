/**
 * Bad records, each under a label and with the code it must be rejected under: what real producers have been seen to send, and what has aborted a
 * COPY. Every one of them is a reject, never a skip and never a row. Tests and the fuzzer share this table.
 */
import type { RejectCode } from '../core/verdict.ts'

export type PoisonHeader = string | Buffer | null
export type PoisonHeaders = Readonly<Record<string, PoisonHeader | readonly PoisonHeader[]>>

export interface SpoiledRecord {
  readonly value: Buffer | null
  /** Left out: those of structured mode. */
  readonly headers?: PoisonHeaders
}

export interface Poison {
  readonly label: string
  readonly code: RejectCode
  /** Spoils a good event, given as its JSON text: with a time, with a tenant, and with an object as `data`, its last member. */
  readonly spoil: (json: string) => SpoiledRecord
}

const bytes = (label: string, code: RejectCode, spoil: (json: string) => Buffer | null): Poison => ({
  label,
  code,
  spoil: (json) => ({ value: spoil(json) }),
})

const text = (label: string, code: RejectCode, spoil: (json: string) => string): Poison =>
  bytes(label, code, (json) => Buffer.from(spoil(json)))

/** The event is as it was, the headers are others. */
const under = (label: string, code: RejectCode, headers: PoisonHeaders): Poison => ({
  label,
  code,
  spoil: (json) => ({ value: Buffer.from(json), headers }),
})

/** The event in binary mode; `change` are more headers, or others. */
const binary = (label: string, code: RejectCode, change: PoisonHeaders, value?: Buffer | string | null): Poison => ({
  label,
  code,
  spoil(json) {
    const { data, datacontenttype = 'application/json', ...attributes } = JSON.parse(json)
    const headers: Record<string, PoisonHeader | readonly PoisonHeader[]> = { 'content-type': datacontenttype }
    for (const name in attributes) headers[`ce_${name}`] = String(attributes[name])
    const own = value === undefined ? JSON.stringify(data) : value
    return { value: own === null ? null : Buffer.from(own as string), headers: { ...headers, ...change } }
  },
})

/** Puts a member at the end of `data`, and one at the beginning of the event. */
const inData = (json: string, member: string) => `${json.slice(0, -2)}${json.endsWith('{}}') ? '' : ','}${member}}}`
const inEvent = (json: string, member: string) => `{${member},${json.slice(1)}`
const without = (json: string, attribute: string) => json.replace(new RegExp(`"${attribute}":"[^"]*",`), '')
const withValue = (json: string, attribute: string, value: string) =>
  json.replace(new RegExp(`"${attribute}":"[^"]*"`), () => `"${attribute}":${value}`)

/** A string in `data` that holds these bytes. */
function raw(json: string, ...content: number[]): Buffer {
  const [before, after] = inData(json, '"note":"?"').split('"?"') as [string, string]
  return Buffer.concat([Buffer.from(`${before}"`), Buffer.from(content), Buffer.from(`"${after}`)])
}

const structured = 'application/cloudevents+json'

export const poisons: readonly Poison[] = [
  // No event at all.
  bytes('tombstone', 'tombstone', () => null),
  text('empty', 'empty', () => ''),
  text('blank', 'empty', () => ' \r\n\t'),
  text('not-json', 'not_json', () => 'ERROR 500: upstream timed out'),
  text('html', 'not_json', () => '<!doctype html><title>502 Bad Gateway</title>'),
  text('single-quotes', 'not_json', (json) => json.replaceAll('"', "'")),
  text('not-a-number', 'not_json', (json) => inData(json, '"rate":NaN')),
  text('trailing-comma', 'not_json', (json) => `${json.slice(0, -1)},}`),
  text('comment', 'not_json', (json) => inData(json, '/* none */ "a":1')),
  text('bad-escape', 'not_json', (json) => inData(json, '"path":"C:\\windows"')),
  text('leading-zero', 'not_json', (json) => inData(json, '"a":007')),
  bytes('utf-16', 'not_json', (json) => Buffer.from(json, 'utf16le')),
  bytes('random-bytes', 'not_json', () => Buffer.from('9f3c00d1e8ab5417ff02', 'hex')),
  text('number', 'not_an_object', () => '42'),
  text('string', 'not_an_object', (json) => JSON.stringify(json)),
  text('null', 'not_an_object', () => 'null'),
  text('array', 'not_an_object', (json) => `[${json}]`),
  text('truncated', 'truncated', (json) => json.slice(0, Math.floor(json.length * 0.7))),
  text('last-brace-missing', 'truncated', (json) => json.slice(0, -1)),
  text('two-events', 'trailing_bytes', (json) => `${json}${json}`),
  text('trailing-garbage', 'trailing_bytes', (json) => `${json}\0`),
  text('byte-order-mark', 'byte_order_mark', (json) => `\ufeff${json}`),

  // Text that PostgreSQL does not take.
  bytes('bad-utf8', 'bad_utf8', (json) => raw(json, 0xc3, 0x28)),
  bytes('latin-1', 'bad_utf8', (json) => raw(json, 0x4d, 0xfc, 0x6c, 0x6c, 0x65, 0x72)),
  bytes('overlong-utf8', 'bad_utf8', (json) => raw(json, 0xc0, 0x80)),
  bytes('surrogate-as-utf8', 'bad_utf8', (json) => raw(json, 0xed, 0xa0, 0x80)),
  bytes('raw-nul', 'nul_character', (json) => raw(json, 0)),
  text('nul', 'nul_character', (json) => inData(json, '"note":"a\\u0000b"')),
  text('nul-in-key', 'nul_character', (json) => inData(json, '"a\\u0000b":1')),
  text('nul-in-id', 'nul_character', (json) => withValue(json, 'id', '"a\\u0000"')),
  text('lone-surrogate', 'lone_surrogate', (json) => inData(json, '"note":"cut \\ud83d off"')),
  text('lone-low-surrogate', 'lone_surrogate', (json) => inData(json, '"note":"\\ude00\\ud83d"')),
  text('surrogate-and-letter', 'lone_surrogate', (json) => inData(json, '"note":"\\ud83d\\u0041"')),
  text('raw-control-character', 'control_character', (json) => inData(json, '"note":"two\nlines"')),
  text('huge-exponent', 'number_out_of_range', (json) => inData(json, '"amount":1e999999')),
  text('tiny-exponent', 'number_out_of_range', (json) => inData(json, '"amount":1e-999999')),
  text('number-of-5000-digits', 'number_out_of_range', (json) => inData(json, `"amount":${'7'.repeat(5000)}`)),
  text('too-deep', 'too_deep', (json) => inData(json, `"deep":${'['.repeat(10_000)}${']'.repeat(10_000)}`)),
  text('too-deep-objects', 'too_deep', (json) => inData(json, `"deep":${'{"a":'.repeat(200)}1${'}'.repeat(200)}`)),

  // Attributes.
  ...['specversion', 'id', 'source', 'type'].map((name) =>
    text(`missing-${name}`, 'attribute_missing', (json) => without(json, name)),
  ),
  ...['id', 'source', 'type'].map((name) =>
    text(`empty-${name}`, 'attribute_missing', (json) => withValue(json, name, '""')),
  ),
  text('null-as-id', 'attribute_missing', (json) => withValue(json, 'id', 'null')),
  text('number-as-id', 'attribute_type', (json) => withValue(json, 'id', '42')),
  text('boolean-as-tenant', 'attribute_type', (json) => withValue(json, 'tenantid', 'true')),
  text('object-as-subject', 'attribute_type', (json) => withValue(json, 'subject', '{"id":1}')),
  text('array-as-attribute', 'attribute_type', (json) => inEvent(json, '"tags":["a"]')),
  text('number-as-content-type', 'attribute_type', (json) => withValue(json, 'datacontenttype', '7')),
  text('attribute-twice', 'duplicate_attribute', (json) => inEvent(json, '"id":"another"')),
  text('data-twice', 'duplicate_attribute', (json) => inEvent(json, '"data":{}')),
  text('capitals-in-name', 'attribute_name', (json) => inEvent(json, '"Correlation-Id":"x"')),
  text('underscore-in-name', 'attribute_name', (json) => inEvent(json, '"tenant_id":"x"')),
  text('prototype', 'attribute_name', (json) => inEvent(json, '"__proto__":{"admin":true}')),
  text('empty-name', 'attribute_name', (json) => inEvent(json, '"":"x"')),
  text('escaped-name', 'attribute_name', (json) => json.replace('"id"', '"\\u0069d"')),
  text('300-attributes', 'too_many_attributes', (json) =>
    inEvent(json, Array.from({ length: 300 }, (_, n) => `"a${n}":1`).join(',')),
  ),
  text('huge-type', 'attribute_too_long', (json) => withValue(json, 'type', `"com.${'x'.repeat(20_000)}"`)),
  text('huge-id', 'attribute_too_long', (json) => withValue(json, 'id', `"${'x'.repeat(3000)}"`)),
  text('specversion-0.3', 'specversion', (json) => withValue(json, 'specversion', '"0.3"')),
  text('specversion-as-number', 'specversion', (json) => withValue(json, 'specversion', '1.0')),
  text('space-in-source', 'bad_uri', (json) => withValue(json, 'source', '"/bss/our orders"')),
  text('percent-in-source', 'bad_uri', (json) => withValue(json, 'source', '"/bss/100%"')),
  text('brackets-in-source', 'bad_uri', (json) => withValue(json, 'source', '"/bss/<orders>"')),
  text('relative-dataschema', 'bad_uri', (json) => inEvent(without(json, 'dataschema'), '"dataschema":"v2.json"')),
  text('bad-time', 'bad_time', (json) => withValue(json, 'time', '"21/11/2026 09:30"')),
  text('time-as-number', 'bad_time', (json) => withValue(json, 'time', '1795255200')),
  text('time-without-zone', 'bad_time', (json) => withValue(json, 'time', '"2026-11-21T10:00:00"')),
  text('february-30', 'bad_time', (json) => withValue(json, 'time', '"2026-02-30T10:00:00Z"')),
  text('far-past', 'time_out_of_window', (json) => withValue(json, 'time', '"1999-12-31T23:59:60Z"')),
  text('year-0', 'time_out_of_window', (json) => withValue(json, 'time', '"0000-01-01T00:00:00Z"')),
  text('far-future', 'time_out_of_window', (json) => withValue(json, 'time', '"9999-12-31T23:59:59.999999999+00:00"')),
  text('bad-base64', 'bad_base64', (json) => json.replace(/"data":.*$/s, '"data_base64":"=not base64="}')),
  text('number-as-base64', 'attribute_type', (json) => json.replace(/"data":.*$/s, '"data_base64":12}')),
  text('data-and-base64', 'data_twice', (json) => inEvent(json, '"data_base64":"AAAA"')),

  // Headers.
  under('batch', 'content_type', { 'content-type': 'application/cloudevents-batch+json' }),
  under('avro-envelope', 'content_type', { 'content-type': 'application/cloudevents+avro' }),
  under('unknown-content-type', 'content_type', { 'content-type': 'application/x-protobuf' }),
  under('two-content-types', 'duplicate_attribute', { 'content-type': [structured, 'application/json'] }),
  under('mixed-modes', 'mixed_modes', { 'content-type': structured, ce_specversion: '1.0', ce_id: 'another' }),
  under('mixed-versions', 'mixed_modes', { 'content-type': structured, ce_specversion: '0.3' }),
  binary('binary-no-specversion', 'attribute_missing', { ce_specversion: null }),
  binary('binary-specversion', 'specversion', { ce_specversion: '0.3' }),
  binary('binary-empty-source', 'attribute_missing', { ce_source: '' }),
  binary('binary-header-twice', 'duplicate_attribute', { ce_id: ['a', 'b'] }),
  binary('binary-bad-utf8', 'bad_utf8', { ce_region: Buffer.from([0xff, 0xfe]) }),
  binary('binary-nul', 'nul_character', { ce_region: 'a\0b' }),
  binary('binary-name', 'attribute_name', { 'ce_trace-id': 'x' }),
  binary('binary-bad-time', 'bad_time', { ce_time: 'now' }),
  binary('binary-percent-in-source', 'bad_uri', { ce_source: '/bss/%é' }),
  binary('binary-not-json', 'data_not_json', {}, 'total: 17 EUR'),
  binary('binary-empty-json', 'data_not_json', {}, ''),
  binary('binary-truncated', 'truncated', {}, '{"total":17'),
  binary('binary-raw-nul', 'nul_character', {}, '"\0"'),
]
