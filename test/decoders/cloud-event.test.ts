import assert from 'node:assert/strict'
import { isUtf8 } from 'node:buffer'
import { test } from 'node:test'
import { CloudEvent, Kafka } from 'cloudevents'
import fc from 'fast-check'
import { ByteWriter } from '../../src/core/bytes.ts'
import { EventView } from '../../src/core/event.ts'
import { type HeaderValue, RecordView, runOf } from '../../src/core/record.ts'
import type { RejectCode } from '../../src/core/verdict.ts'
import { cloudEvent } from '../../src/decoders/cloud-event.ts'
import * as texts from '../core/texts.ts'
import { ce, json, required } from '../vectors/make.ts'

const kafkaMs = Date.UTC(2026, 10, 21, 12)
const structuredType = { 'content-type': 'application/cloudevents+json; charset=utf-8' }

interface Seen {
  readonly code: RejectCode | 'skip' | null
  readonly reason: string
  readonly source: string
  readonly id: string
  readonly type: string
  readonly subject: string | null
  readonly tenant: string | null
  readonly timeMicros: number
  readonly data: string | null
  readonly bytes: Buffer | null
  readonly extensions: string | null
  readonly entry: string
}

function entryOf(event: EventView): string {
  const entry = new ByteWriter(0)
  event.writeEntry(entry)
  return Buffer.from(entry.finish()).toString('utf8')
}

/** What the decoder makes of one record. The record stands between others, so that a look beyond its ends would show. */
function see(value: Buffer | string | null, headers: Record<string, HeaderValue> = {}): Seen {
  const around = { offset: '1', timestamp: '1', key: Buffer.from('"}'), value: Buffer.from('{"id":"other"}') }
  const given = value === null ? null : Buffer.from(value as string)
  const run = runOf([
    around,
    { offset: '2', timestamp: String(kafkaMs), key: null, value: given, headers },
    { ...around, offset: '3' },
  ])
  const record = new RecordView()
  const event = new EventView()
  record.open(Buffer.from(run.bytes), run)
  record.next()
  cloudEvent.decode(record, event)
  record.next()
  const verdict = cloudEvent.decode(record, event)
  return {
    code: verdict === null ? null : verdict.kind === 'skip' ? 'skip' : verdict.code,
    reason: verdict?.kind === 'reject' ? verdict.reason : '',
    source: event.source,
    id: event.id,
    type: event.type,
    subject: event.subject,
    tenant: event.tenant,
    timeMicros: event.timeMicros,
    bytes: event.dataBytes,
    data: event.dataStart < 0 ? null : event.bytes.toString('utf8', event.dataStart, event.dataEnd),
    extensions: event.extensions?.toString('utf8') ?? null,
    entry: verdict === null ? entryOf(event) : '',
  }
}

// --- what it takes --------------------------------------------------------------------------------------------------------------------------------

test('a structured event: its own bytes are the entry, its attributes the columns', () => {
  const text = ` {"data" : {"a":[1, "b"]}, "tenantid":"acme","region":"eu","n":5,"ok":true,"specversion":"1.0", "id":"a","source":"/s",
    "type":"com.x.y","time":"2026-11-21T10:00:00.5Z","subject":null,"datacontenttype":"application/json" } `
  const seen = see(text, structuredType)
  assert.deepEqual(seen, {
    code: null,
    reason: '',
    source: '/s',
    id: 'a',
    type: 'com.x.y',
    subject: null,
    tenant: 'acme',
    timeMicros: Date.UTC(2026, 10, 21, 10) * 1000 + 500_000,
    bytes: null,
    data: '{"a":[1, "b"]}',
    extensions: '{"region":"eu","n":5,"ok":true,"datacontenttype":"application/json"}',
    entry: text,
  })
})

test('escapes in attributes are undone, in data and extensions they stay as they are', () => {
  const seen = see(
    '{"specversion":"1.0","id":"a\\u00e4\\n\\ud83d\\ude00","source":"\\/s","type":"t","x":"\\u0041","data":"\\u0042"}',
  )
  assert.equal(seen.code, null)
  assert.deepEqual([seen.id, seen.source], ['aä\n😀', '/s'])
  assert.equal(seen.data, '"\\u0042"')
  assert.equal(seen.extensions, '{"x":"\\u0041"}')
})

test('a binary event: headers are the attributes, the value is the data, the entry is an envelope of both', () => {
  const seen = see('{"a":1}', {
    ...ce({ time: '2026-11-21T10:00:00Z', subject: 'é', tenantid: 'acme', region: 'eu' }),
    'Content-Type': 'application/json',
    other: 'not an attribute',
  })
  assert.equal(seen.code, null)
  assert.deepEqual([seen.source, seen.id, seen.type, seen.subject, seen.tenant], ['/s', 'a', 't', 'é', 'acme'])
  assert.equal(seen.timeMicros, Date.UTC(2026, 10, 21, 10) * 1000)
  assert.equal(seen.data, '{"a":1}')
  assert.deepEqual(JSON.parse(seen.extensions ?? ''), { region: 'eu', datacontenttype: 'application/json' })
  assert.deepEqual(JSON.parse(seen.entry), {
    ...required,
    time: '2026-11-21T10:00:00Z',
    subject: 'é',
    tenantid: 'acme',
    region: 'eu',
    datacontenttype: 'application/json',
    data: { a: 1 },
  })
})

test('no header, or one of JSON, and none of ce_: read as structured, as many producers are', () => {
  for (const headers of [{}, { 'content-type': 'application/json' }, { 'content-type': null }, { id: 'b' }]) {
    assert.equal(see(json(), headers as Record<string, HeaderValue>).code, null)
  }
})

test("without a time it takes the record's, so that a producer's retry keeps its key", () => {
  assert.equal(see(json()).timeMicros, kafkaMs * 1000)
  assert.equal(see(json({ time: null })).timeMicros, kafkaMs * 1000)
  assert.equal(see('1', ce()).timeMicros, kafkaMs * 1000)
})

test('data may be any JSON, also null, or absent', () => {
  for (const data of ['1', '"x"', '[]', 'true', '{}', '-0.0e1']) {
    const structured = see(`{"specversion":"1.0","id":"a","source":"/s","type":"t","data":${data}}`)
    assert.deepEqual([structured.code, structured.data], [null, data])
    const binary = see(data, ce())
    assert.deepEqual([binary.code, binary.data], [null, data])
  }
  assert.equal(see(json({ data: null })).data, 'null')
  assert.equal(see(json()).data, null)
  const without = see(null, ce())
  assert.deepEqual([without.code, without.data], [null, null])
  assert.deepEqual(JSON.parse(without.entry), required)
})

// --- the cloudevents package as the other opinion -------------------------------------------------------------------------------------------------

const name = fc.stringMatching(/^[a-z][a-z0-9]{0,8}$/).filter((text) => !(text in rejectedNames))
const rejectedNames = {
  data: 1,
  specversion: 1,
  id: 1,
  source: 1,
  type: 1,
  time: 1,
  subject: 1,
  tenantid: 1,
  datacontenttype: 1,
  dataschema: 1,
  partitionkey: 1,
  toString: 1,
}
const word = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
  .filter((text) => text.isWellFormed() && !text.includes('\0'))
const data = fc
  .jsonValue({ stringUnit: 'grapheme' })
  // Nor keys of one escaped character, which V8 may read as a backslash (nodejs/node#63785).
  .filter((value) => value !== null && !/\\u0000|\\ud[89a-f]|"\\(.|u.{4})":/.test(JSON.stringify(value)))
const event = fc.record(
  {
    id: word,
    source: fc.webUrl(),
    type: word,
    subject: word,
    time: fc.date({ min: new Date(0), max: new Date(2 ** 42), noInvalidDate: true }).map((date) => date.toISOString()),
    tenantid: word,
    data,
    extensions: fc.dictionary(name, fc.oneof(word, fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), fc.boolean()), {
      noNullPrototype: true,
    }),
  },
  { requiredKeys: ['id', 'source', 'type', 'time', 'extensions'] },
)

test('whatever the package sends in structured or binary mode is read as the same event, and the entry is that event to the package', () => {
  fc.assert(
    fc.property(event, ({ extensions, ...attributes }) => {
      const sent = new CloudEvent({ ...extensions, ...attributes, datacontenttype: 'application/json' })
      const structured = Kafka.structured(sent)
      const binary = Kafka.binary(sent)
      const value = binary.value === undefined ? null : JSON.stringify(binary.value)
      const headers = Object.entries(binary.headers as Record<string, unknown>).filter(([, one]) => one !== undefined)
      const seen = [
        see(structured.value as string, structured.headers as Record<string, string>),
        see(value, Object.fromEntries(headers.map(([name, one]) => [name, String(one)]))),
      ]
      for (const [index, one] of seen.entries()) {
        assert.equal(one.code, null, one.reason)
        const { id, source, type, subject = null, tenantid = null, time } = attributes
        assert.deepEqual([one.id, one.source, one.type, one.subject, one.tenant], [id, source, type, subject, tenantid])
        assert.equal(one.timeMicros, Date.parse(time) * 1000)
        assert.deepEqual(one.data, attributes.data === undefined ? null : JSON.stringify(attributes.data))
        // Headers know no types: in binary mode every extension is a string.
        const written = (value: unknown) => (index === 0 ? value : String(value))
        const others = Object.fromEntries(Object.entries(extensions).map(([name, value]) => [name, written(value)]))
        assert.deepEqual(JSON.parse(one.extensions ?? '{}'), { ...others, datacontenttype: 'application/json' })
        const entry = new CloudEvent(JSON.parse(one.entry))
        assert.deepEqual(JSON.parse(entry.toString()), JSON.parse(sent.cloneWith(others as object).toString()))
      }
    }),
    { numRuns: 300 },
  )
})

test('bytes that the package sends are the same bytes here, in both modes, and in the entry', () => {
  const contentType = fc.constantFrom('application/x-protobuf', 'text/plain', 'application/xml', 'image/png')
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 60 }), contentType, (data, datacontenttype) => {
      const sent = new CloudEvent({ id: 'a', source: '/s', type: 't', datacontenttype, data })
      const structured = Kafka.structured(sent)
      const binary = Kafka.binary(sent)
      const headers = Object.entries(binary.headers as Record<string, unknown>).filter(([, one]) => one !== undefined)
      const seen = [
        see(structured.value as string, structured.headers as Record<string, string>),
        see(Buffer.from(data), Object.fromEntries(headers.map(([name, one]) => [name, String(one)]))),
      ]
      for (const one of seen) {
        assert.equal(one.code, null, one.reason)
        assert.deepEqual(one.bytes, Buffer.from(data))
        assert.deepEqual([one.data, JSON.parse(one.extensions ?? '{}')], [null, { datacontenttype }])
        const read = new CloudEvent<Uint8Array | string>(JSON.parse(one.entry))
        assert.deepEqual(Buffer.from(read.data as string), Buffer.from(data))
      }
    }),
    { numRuns: 300 },
  )
})

/** Pieces of URIs in any order: most are references, some are not. */
const reference = fc
  .array(fc.constantFrom('a', '/', '//', ':', '?', '#', '%41', '%', '@', '[::1]', '.', 'urn:', ' ', 'é', '"'), {
    maxLength: 5,
  })
  .map((pieces) => pieces.join(''))

/** Attributes as a careless producer might write them. */
const careless = fc.dictionary(
  fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom(...Object.keys(rejectedNames).filter((one) => one !== 'toString')) },
    name,
    fc.constantFrom('Bad', 'under_score', 'data_base64'),
  ),
  fc.oneof(
    word,
    fc.webUrl({ withFragments: true, withQueryParameters: true }),
    reference,
    fc.constantFrom('1.0', '', '2026-11-21T10:00:00Z', null, 5, true, 1.5, {}, []),
  ),
  { noNullPrototype: true, maxKeys: 6 },
)

test('what we take, the package takes, but for four liberties', () => {
  let taken = 0
  fc.assert(
    fc.property(careless, (more) => {
      const attributes: Record<string, unknown> = { ...required, time: '2026-11-21T10:00:00Z', ...more }
      const { code } = see(JSON.stringify(attributes))
      if (code !== null) return
      taken++
      const strict: Record<string, unknown> = {}
      for (const [name, value] of Object.entries(attributes)) {
        // null is absent; empty optional attributes; any number as extension; a scheme alone, which is a URI by RFC 3986
        if (value === null || value === '') continue
        if (name === 'dataschema' && /^[^:/]+:([?#]|$)/.test(String(value))) continue
        strict[name] = typeof value === 'number' ? 5 : value
      }
      // The package means something else by these when it makes an event.
      delete strict.data
      delete strict.data_base64
      new CloudEvent(strict as object).validate()
    }),
    { numRuns: 2000 },
  )
  assert.ok(taken > 200, `${taken} were taken`)
})

test('whatever the bytes and headers: no exception, and what passes is what PostgreSQL and JSON can hold', () => {
  const headerName = fc.constantFrom(
    'content-type',
    'ce_specversion',
    'ce_id',
    'ce_source',
    'ce_type',
    'ce_time',
    'ce_x',
    'ce_',
    'Ce_Id',
    'x',
  )
  const headerValue = fc.oneof(
    fc.constantFrom('1.0', 'a', 'application/cloudevents', '2026-11-21T10:00:00Z', '', null),
    fc.uint8Array({ maxLength: 5 }).map((all) => Buffer.from(all)),
  )
  const headers = fc.dictionary(headerName, headerValue, { noNullPrototype: true }) as fc.Arbitrary<
    Record<string, HeaderValue>
  >
  const value = fc.oneof(
    texts.text,
    texts.pairs.map((pairs) =>
      Buffer.from(
        texts.objectText([
          ...Object.entries(required).map(([k, v]) => [JSON.stringify(k), JSON.stringify(v)] as const),
          ...pairs,
        ]),
      ),
    ),
    fc.constant(null),
  )
  let passed = 0
  fc.assert(
    fc.property(
      value,
      fc.oneof(
        fc.constant({}),
        headers,
        headers.map((more) => ({ ...ce(), ...more })),
      ),
      (value, headers) => {
        const seen = see(value, headers)
        if (seen.code !== null) return
        passed++
        const entry = JSON.parse(seen.entry)
        assert.equal(entry.id, seen.id)
        assert.ok(isUtf8(Buffer.from(seen.entry)))
        for (const text of [seen.source, seen.id, seen.type, seen.subject, seen.tenant])
          assert.ok(!text?.includes('\0'))
        for (const part of [seen.data, seen.extensions]) if (part !== null) JSON.parse(part)
        assert.ok(Number.isInteger(seen.timeMicros))
      },
    ),
    { numRuns: 5000 },
  )
  assert.ok(passed > 300, `${passed} passed`)
})
