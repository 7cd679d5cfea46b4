/**
 * Records that must become rows, and which. The examples of the CloudEvents specification are here as facts (JSON event format 1.0.2, section 3.2;
 * Kafka protocol binding 1.0.2, sections 3.2.5 and 3.3.4), then what producers write that is odd and good all the same.
 */
import type { HeaderValue } from '../../src/core/record.ts'
import { cloudEvents } from '../../src/decoders/cloud-event.ts'
import type { Decoder } from '../../src/define.ts'
import { orderSchemas } from './bad.ts'
import { ce, ceJson, json } from './make.ts'

export interface GoodVector {
  readonly name: string
  readonly value: Buffer | string | null
  readonly headers?: Readonly<Record<string, HeaderValue>> | undefined
  readonly key?: Buffer
  readonly decoder?: Decoder
  /** What is worth looking at in the row. `data` is parsed; `bytes` are written as text, or as a Buffer. */
  readonly row: {
    readonly source?: string
    readonly id?: string
    readonly type?: string
    readonly subject?: string | null
    readonly tenant?: string | null
    readonly time?: string
    readonly data?: unknown
    /** data_bytes; data must be null then. */
    readonly bytes?: string | Buffer
    readonly extensions?: Readonly<Record<string, unknown>> | null
  }
  /** The entry, where it is not the value itself. */
  readonly entry?: Readonly<Record<string, unknown>>
  readonly unlabelled?: boolean
}

const structured = { 'content-type': 'application/cloudevents+json; charset=UTF-8' }
const text = (more: string) => `{"specversion":"1.0","id":"a","source":"/s","type":"t",${more}}`

const common = {
  specversion: '1.0',
  type: 'com.example.someevent',
  source: '/mycontext',
  time: '2026-11-05T17:31:00Z',
  comexampleextension1: 'value',
  comexampleothervalue: 5,
}
const example = (name: string, more: object, row: GoodVector['row']): GoodVector => ({
  name: `JSON format, ${name}`,
  value: JSON.stringify({ ...common, ...more }, null, 4),
  headers: structured,
  row: { source: '/mycontext', type: 'com.example.someevent', time: '2026-11-05T17:31:00Z', ...row },
})
const own = { comexampleextension1: 'value', comexampleothervalue: 5 }

const ofTheSpecification: readonly GoodVector[] = [
  example(
    'binary data',
    { id: 'A234-1234-1234', datacontenttype: 'application/vnd.apache.thrift.binary', data_base64: 'gAEAAQ==' },
    {
      id: 'A234-1234-1234',
      bytes: Buffer.from([0x80, 1, 0, 1]),
      extensions: { ...own, datacontenttype: 'application/vnd.apache.thrift.binary' },
    },
  ),
  example(
    'XML as a string',
    { id: 'B234-1234-1234', unsetextension: null, datacontenttype: 'application/xml', data: '<much wow="xml"/>' },
    { data: '<much wow="xml"/>', extensions: { ...own, datacontenttype: 'application/xml' } },
  ),
  example(
    'an object',
    {
      id: 'C234-1234-1234',
      subject: null,
      datacontenttype: 'application/json',
      data: { appinfoA: 'abc', appinfoB: 123, appinfoC: true },
    },
    { subject: null, data: { appinfoA: 'abc', appinfoB: 123, appinfoC: true } },
  ),
  example('a number', { id: 'C234', datacontenttype: 'application/json', data: 1.5 }, { data: 1.5 }),
  example(
    'a string without a content type',
    { id: 'D234', data: "I'm just a string" },
    { data: "I'm just a string", extensions: own },
  ),
  {
    name: 'JSON format, bytes without a content type are no JSON',
    value:
      '{"specversion":"1.0","type":"com.example.someevent","source":"/mycontext","id":"D234-1234-1234","data_base64":"eyAieHl6IjogMTIzIH0="}',
    headers: structured,
    row: { bytes: '{ "xyz": 123 }', extensions: null },
  },
  {
    name: 'Kafka binding, binary mode',
    value: Buffer.from([0, 1, 2, 0xff]),
    key: Buffer.from('mykey'),
    headers: {
      ce_specversion: '1.0',
      ce_type: 'com.example.someevent',
      ce_source: '/mycontext/subcontext',
      ce_id: '1234-1234-1234',
      ce_time: '2026-11-05T03:56:24Z',
      'content-type': 'application/avro',
    },
    row: {
      source: '/mycontext/subcontext',
      id: '1234-1234-1234',
      time: '2026-11-05T03:56:24Z',
      bytes: Buffer.from([0, 1, 2, 0xff]),
      extensions: { datacontenttype: 'application/avro' },
    },
    entry: {
      specversion: '1.0',
      type: 'com.example.someevent',
      source: '/mycontext/subcontext',
      id: '1234-1234-1234',
      time: '2026-11-05T03:56:24Z',
      datacontenttype: 'application/avro',
      data_base64: 'AAEC/w==',
    },
  },
  {
    name: 'Kafka binding, structured mode: XML declared, an object given, as in its example',
    value: text('"datacontenttype":"application/xml","data":{"a":1}'),
    headers: structured,
    row: { data: { a: 1 }, extensions: { datacontenttype: 'application/xml' } },
  },
  {
    name: 'structured mode may repeat the headers of binary mode',
    value: json({ data: 1 }),
    headers: { ...structured, ...ce(), ce_time: '2000-01-01T00:00:00Z' },
    row: { data: 1 },
  },
  {
    name: 'binary mode without data is null',
    value: null,
    headers: ce(),
    row: { data: null },
    entry: JSON.parse(json()),
  },
]

const sources = [
  '/cloudevents/spec/pull/123',
  '1-555-123-4567',
  'my_service:prod',
  'urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66',
  'mailto:cncf-wg-serverless@lists.cncf.io',
  'https://user@[2001:db8::1]:8080/a;b=c/?q=%C3%A9#frag',
  '//host',
  '?q',
  '#f',
  '.',
  'x'.repeat(1024),
].map((source): GoodVector => ({ name: `source ${source.slice(0, 60)}`, value: json({ source }), row: { source } }))

const times: readonly (readonly [given: string, time: string])[] = [
  ['2026-11-21T10:00:00+02:00', '2026-11-21T08:00:00Z'],
  ['2026-11-21t10:00:00z', '2026-11-21T10:00:00Z'],
  ['2026-11-21T10:00:00.123456789Z', '2026-11-21T10:00:00.123456Z'],
  ['2026-11-20T23:59:60Z', '2026-11-21T00:00:00Z'],
  ['2026-11-21T00:30:00-00:00', '2026-11-21T00:30:00Z'],
]

const odd: readonly GoodVector[] = [
  ...sources,
  ...times.map(([given, time]): GoodVector => ({ name: `time ${given}`, value: json({ time: given }), row: { time } })),
  { name: "a key with NUL is the producer's own business", value: json(), key: Buffer.from('a\0b'), row: { id: 'a' } },
  {
    name: 'content type in capitals',
    value: json(),
    headers: { 'CONTENT-TYPE': 'Application/CloudEvents+JSON;CharSet=x' },
    row: { id: 'a' },
    unlabelled: false,
  },
  {
    name: 'content type without a format',
    value: json(),
    headers: { 'content-type': 'application/cloudevents ; a=b' },
    row: { id: 'a' },
    unlabelled: false,
  },
  { name: 'no header at all', value: json(), row: { id: 'a' }, unlabelled: true },
  {
    name: 'plain JSON as the header',
    value: json(),
    headers: { 'content-type': 'application/json' },
    row: { id: 'a' },
    unlabelled: true,
  },
  {
    name: 'a header without a value is none',
    value: json(),
    headers: { 'content-type': null },
    row: { id: 'a' },
    unlabelled: true,
  },
  {
    name: 'other headers mean nothing',
    value: json(),
    headers: { traceparent: 'x', 'x-ce_id': 'b' },
    row: { id: 'a', extensions: null },
  },
  {
    name: 'any legal name of an extension',
    value: json({
      tenantid: 'acme',
      traceparent: '00-ab-cd-01',
      partitionkey: 'k',
      7: true,
      [`a${'b'.repeat(300)}`]: '',
    }),
    row: {
      tenant: 'acme',
      extensions: { traceparent: '00-ab-cd-01', partitionkey: 'k', 7: true, [`a${'b'.repeat(300)}`]: '' },
    },
  },
  { name: 'null is data too', value: text('"data":null'), row: { data: null } },
  { name: 'null beside bytes is none', value: text('"data":null,"data_base64":"AA=="'), row: { bytes: '\0' } },
  { name: 'no bytes are bytes too', value: text('"data_base64":""'), row: { bytes: '' } },
  { name: 'base64 null is none', value: text('"data_base64":null,"data":1'), row: { data: 1 } },
  {
    name: 'base64 with escaped slashes',
    value: text('"data_base64":"\\/\\/\\/\\/"'),
    row: { bytes: Buffer.from('ffffff', 'hex') },
  },
  {
    name: 'duplicate keys inside data: the last one counts',
    value: text('"data":{"a":1,"a":2,"b":{"c":1,"c":[]}}'),
    row: { data: { a: 2, b: { c: [] } } },
  },
  {
    name: '__proto__ inside data',
    value: text('"data":{"__proto__":{"admin":true},"constructor":1}'),
    row: { data: JSON.parse('{"__proto__":{"admin":true},"constructor":1}') },
  },
  {
    name: 'ten thousand keys inside data',
    value: json({ data: Object.fromEntries(Array.from({ length: 10_000 }, (_, n) => [`k${n}`, n])) }),
    row: {},
  },
  {
    name: 'a large string inside data',
    value: json({ data: 'ä€😀'.repeat(50_000) }),
    row: { data: 'ä€😀'.repeat(50_000) },
  },
  {
    name: '-0, 1e400, 30 digits, 1e-400: as numeric has them',
    value: text(`"data":[-0,1e400,123456789012345678901234567890,1e-400,1E+2,${'9'.repeat(1000)}]`),
    row: {},
  },
  { name: 'as deep as allowed', value: text(`"data":${'['.repeat(127)}${']'.repeat(127)}`), row: {} },
  {
    name: 'escapes in attributes',
    value: '{"specversion":"1.0","id":"a\\u00e4\\ud83d\\ude00","source":"\\/s","type":"t"}',
    row: { id: 'aä😀', source: '/s' },
  },
  {
    name: 'noncharacters and the end of Unicode',
    value: json({ data: '\ufffe\u{10ffff}\ufdd0' }),
    row: { data: '\ufffe\u{10ffff}\ufdd0' },
  },

  {
    name: 'binary: header names without regard to case',
    value: '{}',
    headers: { CE_SpecVersion: '1.0', Ce_Id: 'a', cE_source: '/s', CE_TYPE: 't', 'Content-Type': 'APPLICATION/JSON' },
    row: { data: {}, extensions: { datacontenttype: 'APPLICATION/JSON' } },
  },
  {
    name: 'binary: header values are UTF-8 and not percent-encoded',
    value: null,
    headers: ce({ subject: 'é 100%20', region: 'Zürich' }),
    row: { subject: 'é 100%20', extensions: { region: 'Zürich' } },
  },
  {
    name: 'binary: the content type under both names',
    value: '1',
    headers: { ...ceJson(), ce_datacontenttype: 'application/json' },
    row: { data: 1 },
  },
  {
    name: 'binary: JSON under a type of its own',
    value: ' {"a":1}\n',
    headers: { ...ce(), 'content-type': 'application/vnd.api+json; v=1' },
    row: { data: { a: 1 } },
  },
  {
    name: 'binary: JSON without a content type',
    value: '{"a":1}',
    headers: ce(),
    row: { data: { a: 1 }, extensions: null },
  },
  {
    name: 'binary: bytes without a content type',
    value: 'hello',
    headers: ce(),
    row: { bytes: 'hello', extensions: null },
    entry: { ...JSON.parse(json()), data_base64: 'aGVsbG8=' },
  },
  {
    name: 'binary: JSON that PostgreSQL would not take, without a content type, is bytes',
    value: '"\\u0000"',
    headers: ce(),
    row: { bytes: '"\\u0000"' },
  },
  { name: 'binary: an empty value is no bytes', value: '', headers: ce(), row: { bytes: '' } },
  {
    name: 'binary: text',
    value: 'Grüße',
    headers: { ...ce(), 'content-type': 'text/plain; charset=UTF-8' },
    row: { bytes: 'Grüße' },
    entry: { ...JSON.parse(json()), datacontenttype: 'text/plain; charset=UTF-8', data: 'Grüße' },
  },
  {
    name: 'binary: text of another charset is bytes, whatever it looks like',
    value: 'abc',
    headers: { ...ce(), 'content-type': 'text/plain; CharSet="ISO-8859-1"' },
    row: { bytes: 'abc' },
    entry: { ...JSON.parse(json()), datacontenttype: 'text/plain; CharSet="ISO-8859-1"', data_base64: 'YWJj' },
  },
  {
    name: 'binary: text in Latin-1 is bytes',
    value: Buffer.from('Grüße', 'latin1'),
    headers: { ...ce(), 'content-type': 'text/plain;charset=iso-8859-1' },
    row: { bytes: Buffer.from('Grüße', 'latin1') },
    entry: { ...JSON.parse(json()), datacontenttype: 'text/plain;charset=iso-8859-1', data_base64: 'R3L832U=' },
  },
  {
    name: 'binary: an envelope as data is data',
    value: json({ id: 'inner' }),
    headers: ceJson(),
    row: { id: 'a', data: JSON.parse(json({ id: 'inner' })) },
  },
  {
    name: 'redriven in binary mode: nothing of that is in the event',
    value: '1',
    headers: { ...ceJson(), 'millrace-redrive-of': '7', 'millrace-attempts': '1' },
    row: { data: 1, extensions: { datacontenttype: 'application/json' } },
  },

  {
    name: 'rules that are kept',
    value: json({ subject: 's', tenantid: 'acme', traceparent: 'x', time: '2026-11-21T10:00:00Z', data: { total: 3 } }),
    headers: structured,
    decoder: cloudEvents({
      required: ['subject', 'tenantid', 'time', 'traceparent', 'specversion'],
      tenants: ['acme'],
      schemas: orderSchemas,
      structured: 'strict',
    }),
    row: { data: { total: 3 } },
  },
  {
    name: 'tenants known, none given, none required',
    value: json(),
    decoder: cloudEvents({ tenants: ['acme'] }),
    row: { tenant: null },
  },
  {
    name: 'a type without a schema',
    value: json({ type: 'other', data: 'anything' }),
    decoder: cloudEvents({ schemas: orderSchemas }),
    row: { data: 'anything' },
  },
]

export const goodVectors: readonly GoodVector[] = [...ofTheSpecification, ...odd]
