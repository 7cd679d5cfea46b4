/** Records that must be rejected, and as what. To those of the simulator's table come corner cases, and what only rules or limits make bad. */
import { depthMax, membersMax } from '../../src/core/json-scan.ts'
import type { HeaderValue } from '../../src/core/record.ts'
import type { RejectCode } from '../../src/core/verdict.ts'
import { type CloudEventRules, cloudEvents } from '../../src/decoders/cloud-event.ts'
import { jsonSchemas } from '../../src/decoders/json-schemas.ts'
import type { Decoder } from '../../src/define.ts'
import type { DecodeLimits } from '../../src/flow/decode/port.ts'
import { structuredHeaders } from '../../src/simulate/events.ts'
import { poisons } from '../../src/simulate/poison.ts'
import { ce, ceJson, json, required } from './make.ts'

export interface BadVector {
  readonly name: string
  readonly code: RejectCode
  readonly value: Buffer | string | null
  readonly headers?: Readonly<Record<string, HeaderValue>> | undefined
  readonly decoder?: Decoder
  readonly limits?: Partial<DecodeLimits>
}

const good = json({
  subject: 'ord_1',
  tenantid: 'acme',
  time: '2026-11-21T10:00:00Z',
  datacontenttype: 'application/json',
  data: { a: 1 },
})
const spoiled: readonly BadVector[] = poisons.map(({ label, code, spoil }) => ({
  name: label,
  code,
  headers: structuredHeaders,
  ...spoil(good),
}))

const deep = (levels: number) => '['.repeat(levels) + ']'.repeat(levels)
const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, n) => [`a${n}`, 1]))
const bytes = (text: string) => Buffer.from(text, 'latin1')
const long = 'a'.repeat(100_000)

const corners: [code: RejectCode, value: Buffer | string | null, headers?: Record<string, HeaderValue>][] = [
  ['tombstone', null],
  ['tombstone', null, { 'content-type': 'application/cloudevents+json' }],
  ['tombstone', null, { 'content-type': 'application/json', 'x-ce_id': 'a' }],
  ['not_json', '{"a":undefined}'],
  ['too_deep', json().replace('}', `,"data":${deep(depthMax)}}`)],
  ['too_deep', json().replace('}', `,"data":${deep(100_000)}}`)],
  ['too_deep', json().replace('}', `,"data":${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}}`)],
  ['too_deep', deep(depthMax), ceJson()],
  ['too_many_attributes', json(many(membersMax))],
  ['too_many_attributes', json(many(10_000))],
  ['too_many_attributes', '1', ce(Object.fromEntries(Object.keys(many(membersMax)).map((name) => [name, '1'])))],
  ['nul_character', '"\\u0000"', ceJson()],
  ['nul_character', '1', ce({ x: 'a\0' })],
  ['lone_surrogate', json({ subject: 'x' }).replace('"x"', '"\\ud800"')],
  ['lone_surrogate', '["\\udfff"]', ceJson()],
  ['control_character', json({ subject: 'x' }).replace('"x"', '"\n"')],
  ['number_out_of_range', '1e99999', ceJson()],
  ['bad_utf8', bytes(json({ subject: '\xff' }))],
  ['bad_utf8', bytes('"\xc0\x80"'), ceJson()],
  ['duplicate_attribute', `{"x1":1,"x1":2,${json().slice(1)}`],
  ['duplicate_attribute', '1', { ...ce(), CE_ID: 'b' }],
  ['duplicate_attribute', '1', ce({ id: ['a', 'a'] })],
  ['duplicate_attribute', '1', { ...ce({ datacontenttype: 'a' }), 'content-type': 'b' }],
  ['duplicate_attribute', `{"data_base64":"","data_base64":"",${json().slice(1)}`],
  ['attribute_name', json({ Upper: 1 })],
  ['attribute_name', json({ größe: 1 })],
  ['attribute_name', json({ 'a"b': 1 })],
  ['attribute_name', json({ data_base6: 'AAAA' })],
  ['attribute_name', json({ [`${long}-`]: '1' })],
  ['attribute_name', '1', ce({ '': '1' })],
  ['attribute_name', '1', ce({ data_base64: 'AAAA' })],
  ['attribute_name', '1', ce({ [`${long}-`]: '1' })],
  ['attribute_name', '1', ce({ __proto__x: '1' })],
  // It would be in the envelope twice.
  ['attribute_name', '1', ce({ data: '1' })],
  ['attribute_type', json({ dataschema: false })],
  ['attribute_type', json({ data_base64: {} })],
  ['attribute_missing', '{}'],
  ['attribute_missing', '1', { ce_id: 'b' }],
  ['attribute_missing', json(), { ce_id: 'a' }],
  ['attribute_missing', '1', ce({ id: null })],
  ['attribute_too_long', json({ tenantid: 'x'.repeat(1025) })],
  ['attribute_too_long', json({ subject: 'ä'.repeat(513) })],
  ['attribute_too_long', '1', ce({ source: 'x'.repeat(1025) })],
  ['specversion', '1', ce({ specversion: '' })],
  ['bad_uri', json({ source: '/s#a#b' })],
  ['bad_uri', json({ source: '/s[1]' })],
  ['bad_uri', json({ source: 'http://[::1' })],
  ['bad_uri', json({ source: '"s"' })],
  ['bad_uri', json({ source: '/größe' })],
  ['bad_uri', json({ source: '/a\\b' })],
  ['bad_uri', json({ source: '/a%2' })],
  ['bad_uri', json({ dataschema: '' })],
  ['bad_uri', json({ dataschema: 'my_schema:1' })],
  ['bad_uri', json({ dataschema: 'x' }).replace('"x"', '"\\u0020"')],
  ['bad_uri', '1', ce({ dataschema: '/relative' })],
  ['bad_time', '1', ce({ time: '2026-11-21' })],
  ['bad_time', '1', ce({ time: '' })],
  ['bad_time', json({ time: '2026-11-21T24:00:00Z' })],
  ['bad_time', json({ time: '2026-11-21T10:00:61Z' })],
  ['bad_time', json({ time: '2026-11-21T10:00:00+24:00' })],
  ['bad_time', json({ time: '+002026-11-21T10:00:00Z' })],
  ['bad_base64', json({ data_base64: 'AAA' })],
  ['bad_base64', json({ data_base64: 'A===' })],
  ['bad_base64', json({ data_base64: '====' })],
  ['bad_base64', json({ data_base64: 'AA=A' })],
  ['bad_base64', json({ data_base64: 'AAAA\nAAA' })],
  ['bad_base64', json({ data_base64: '_-_-' })],
  ['data_twice', json({ data: 'x', data_base64: '' })],
  ['content_type', json(), { 'content-type': 'application/cloudevents2' }],
  ['content_type', json(), { 'Content-Type': 'Application/CloudEvents+Protobuf' }],
  ['content_type', json(), { 'content-type': 'application/cloudevents+json5' }],
  ['content_type', 'a,b', { 'content-type': 'text/csv' }],
  ['content_type', json(), { 'content-type': '' }],
  ['mixed_modes', json(), { 'content-type': 'application/cloudevents+json', CE_Source: '/other' }],
]

const named = ([code, value, headers]: (typeof corners)[number], n: number): BadVector => ({
  name: `${n}: ${JSON.stringify(String(value).slice(0, 50))}${headers ? ` under ${Object.keys(headers).slice(-3)}` : ''}`,
  code,
  value,
  headers,
})

const by = (name: string, code: RejectCode, rules: CloudEventRules, event: object | string): BadVector => ({
  name,
  code,
  value: typeof event === 'string' ? event : json(event),
  headers: structuredHeaders,
  decoder: cloudEvents(rules),
})

const order = {
  type: 'object',
  required: ['total'],
  properties: { total: { type: 'integer', minimum: 0 } },
  additionalProperties: false,
}
export const orderSchemas = jsonSchemas({ [required.type]: order })

const ruled: readonly BadVector[] = [
  by('a required subject is missing', 'attribute_missing', { required: ['subject', 'tenantid'] }, { tenantid: 'acme' }),
  by('a required tenant is empty', 'attribute_missing', { required: ['tenantid'] }, { tenantid: '' }),
  by('a required time is missing', 'attribute_missing', { required: ['time'] }, {}),
  by('a required extension is missing', 'attribute_missing', { required: ['traceparent'] }, { region: 'eu' }),
  by('a required extension is null', 'attribute_missing', { required: ['traceparent'] }, { traceparent: null }),
  by('an unknown tenant', 'tenant_unknown', { tenants: ['acme', 'globex'] }, { tenantid: 'acme2' }),
  by('an empty tenant is unknown too', 'tenant_unknown', { tenants: ['acme'] }, { tenantid: '' }),
  by('data against its schema', 'schema_violation', { schemas: orderSchemas }, { data: { total: -1 } }),
  by('no data where there is a schema', 'schema_violation', { schemas: orderSchemas }, {}),
  by('bytes where there is a schema', 'schema_violation', { schemas: orderSchemas }, { data_base64: 'e30=' }),
  by(
    'more than the schema allows',
    'schema_violation',
    { schemas: orderSchemas },
    '{"specversion":"1.0","id":"a","source":"/s","type":"t","data":{"total":1,"__proto__":1}}',
  ),
  {
    name: 'structured without its header, where that is strict',
    code: 'content_type',
    value: json(),
    decoder: cloudEvents({ structured: 'strict' }),
  },
  {
    name: 'structured under plain JSON, where that is strict',
    code: 'content_type',
    value: json(),
    headers: { 'content-type': 'application/json' },
    decoder: cloudEvents({ structured: 'strict' }),
  },
  { name: 'oversize', code: 'too_large', value: json({ data: 'x'.repeat(500) }), limits: { valueBytesMax: 500 } },
]

export const badVectors: readonly BadVector[] = [...spoiled, ...corners.map(named), ...ruled]
