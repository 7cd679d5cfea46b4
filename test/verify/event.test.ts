/** The proof's own reading of events, against known answers and against the fleet's: two authors, one meaning. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseTime } from '../../src/core/time.ts'
import { millisecondOf, type PlainEvent, readEvent, sameData, sameJson } from '../../src/verify/event.ts'

const json = (value: object) => Buffer.from(JSON.stringify(value))
const event = {
  specversion: '1.0',
  id: '1',
  source: '/s',
  type: 't',
  time: '2026-11-21T10:00:00Z',
  data: { a: [1, null] },
}

test('structured and binary mode say the same', () => {
  const structured = readEvent(json({ ...event, subject: null, region: 'eu' }), undefined, 5)
  const headers = {
    ce_specversion: '1.0',
    CE_ID: Buffer.from('1'),
    ce_source: '/s',
    ce_type: 't',
    ce_time: '2026-11-21T10:00:00Z',
    ce_region: 'eu',
  }
  assert.deepEqual(readEvent(json(event.data), headers, 5), { ...structured, bytes: json(event.data) })
  assert.deepEqual(structured, {
    source: '/s',
    id: '1',
    type: 't',
    subject: null,
    tenant: null,
    timeMs: Date.UTC(2026, 10, 21, 10),
    data: { a: [1, null] },
    bytes: null,
    extensions: { region: 'eu' },
  })
  assert.equal(readEvent(json({ ...event, time: undefined }), undefined, 5)?.timeMs, 5)
})

test('what is no event is none', () => {
  const bad = [
    null,
    Buffer.from(''),
    Buffer.from('{'),
    Buffer.from('\ufeff{}'),
    json([event]),
    ...(['specversion', 'id', 'source', 'type'] as const).map((name) => json({ ...event, [name]: undefined })),
    json({ ...event, id: '' }),
    json({ ...event, id: 1 }),
    json({ ...event, time: 'yesterday' }),
    json({ ...event, subject: 7 }),
    json({ ...event, specversion: '0.3' }),
  ]
  for (const value of bad) assert.equal(readEvent(value, undefined, 0), null, String(value))
})

test('times agree with the decoder to the millisecond, also about what is none', () => {
  const two = (max: number) => fc.integer({ min: 0, max }).map((value) => String(value).padStart(2, '0'))
  const time = fc
    .tuple(
      // From 2256 on microseconds no longer fit a double; no window of a consumer reaches that far.
      fc.integer({ min: 1970, max: 2250 }),
      two(13),
      two(32),
      fc.constantFrom('T', 't', ' '),
      two(24),
      two(60),
      two(61),
      fc.option(fc.stringMatching(/^\d{1,9}$/)),
      fc.oneof(
        fc.constantFrom('Z', 'z'),
        fc.tuple(fc.constantFrom('+', '-'), two(24), two(60)).map(([sign, h, m]) => `${sign}${h}:${m}`),
      ),
    )
    .map(([y, mo, d, t, h, mi, s, f, z]) => `${y}-${mo}-${d}${t}${h}:${mi}:${s}${f === null ? '' : `.${f}`}${z}`)
  fc.assert(
    fc.property(time, (text) => {
      const bytes = Buffer.from(text)
      const micros = parseTime(bytes, 0, bytes.length)
      assert.equal(millisecondOf(text), Number.isNaN(micros) ? Number.NaN : Math.floor(micros / 1000), text)
    }),
    { numRuns: 2000 },
  )
})

test('equality of JSON is that of jsonb: members in any order, no minus zero', () => {
  assert.ok(sameJson({ a: 1, b: [-0] }, { b: [0], a: 1 }))
  assert.ok(!sameJson({ a: 1 }, { a: 1, b: undefined }))
  assert.ok(!sameJson([1], { 0: 1 }))
  fc.assert(fc.property(fc.jsonValue(), (value) => sameJson(value, structuredClone(value))))
})

test('headers may be called anything, stand there twice, and have no value', () => {
  const headers = JSON.parse(
    '{"__proto__":"x","constructor":"y","ce_specversion":[null,"1.0"],"ce_id":"1","ce_source":"/s","ce_type":"t"}',
  )
  assert.equal(readEvent(null, headers, 5)?.id, '1')
})

test('data that is no JSON is bytes, and the same in an entry', () => {
  const headers = { ce_specversion: '1.0', ce_id: '1', ce_source: '/s', ce_type: 't' }
  const read = (value: string, type?: string) =>
    readEvent(Buffer.from(value), type === undefined ? headers : { ...headers, 'content-type': type }, 5)
  const text = read('hello', 'text/plain')
  assert.deepEqual([text?.data, text?.bytes?.toString()], [undefined, 'hello'])
  assert.equal(read('hello', 'application/json'), null)
  assert.equal(read('hello')?.bytes?.toString(), 'hello')
  const envelope = (more: object) => readEvent(json({ ...event, ...more }), undefined, 5) as PlainEvent
  const plain = text as PlainEvent
  assert.ok(sameData(envelope({ data: 'hello' }), plain))
  assert.ok(sameData(envelope({ data: undefined, data_base64: 'aGVsbG8=' }), plain))
  assert.ok(!sameData(envelope({ data: 'hello!' }), plain))
  assert.ok(!sameData(envelope({ data: undefined }), plain))
  assert.ok(sameData(envelope({ data: { a: 1 } }), read('{"a":1}') as PlainEvent))
})
