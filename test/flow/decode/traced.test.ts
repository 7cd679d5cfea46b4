/** Whose events are followed, and what their entries carry: found in the decoding thread, and never a reason to reject. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Decoded } from '../../../src/core/batch.ts'
import type { EventView } from '../../../src/core/event.ts'
import type { RawRecord, RecordView } from '../../../src/core/record.ts'
import { decodeStructured } from '../../../src/decoders/structured.ts'
import { decodeBatch } from '../../../src/flow/decode/decode-batch.ts'
import { decode, definition, eventText, limits, nowMs, pack, record } from '../batches.ts'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const otherId = '5bf92f3577b34da6a3ce929d0e0e4736'
const sampled = `00-${traceId}-00f067aa0ba902b7-01`
const other = `00-${otherId}-10f067aa0ba902b7-01`
const unsampled = sampled.replace(/1$/, '0')

const decoded = (records: readonly RawRecord[], tracedMax = 32): Decoded =>
  decode(pack({ partition: 3, records }), { tracedMax })
const entriesOf = ({ rows, entryBytes }: Decoded) =>
  Array.from({ length: rows.count }, (_, row) =>
    Buffer.from(entryBytes).toString('utf8', rows.entryStart[row], rows.entryEnd[row]),
  )

type Headers = NonNullable<RawRecord['headers']>
const structured = (offset: number, headers: Headers, more = ''): RawRecord =>
  record(offset, eventText({ id: `e${offset}` }).replace(/}$/, `${more}}`), { headers })
const binary = (offset: number, headers: Headers, value = '{"a":1}'): RawRecord =>
  record(offset, value, {
    headers: {
      'content-type': 'application/json',
      ce_specversion: '1.0',
      ce_id: `e${offset}`,
      ce_source: '/tests',
      ce_type: 'com.x.cloud',
      ce_time: new Date(nowMs).toISOString(),
      ...headers,
    },
  })

test('the header counts, then the extension, in either mode; with the state beside it', () => {
  const { traced } = decoded([
    structured(0, { traceparent: sampled, tracestate: 'a=1,b="x"' }),
    structured(1, {}, `,"traceparent":"${other}","tracestate":"c=2"`),
    binary(2, { ce_traceparent: other }),
    binary(3, { Traceparent: sampled, ce_traceparent: other }),
    structured(4, { traceparent: 'rubbish' }, `,"traceparent":"${other}"`),
  ])
  assert.deepEqual(
    traced.map(({ offset, row, slice, traceId, state, reject }) => [offset, row, slice, traceId, state, reject]),
    [
      [0, 0, 0, traceId, 'a=1,b="x"', null],
      [1, 1, 0, otherId, 'c=2', null],
      [2, 2, 0, otherId, null, null],
      [3, 3, 0, traceId, null, null],
      [4, 4, 0, otherId, null, null],
    ],
  )
})

test('nothing is followed that nobody samples, and nothing at all where traces are off', () => {
  const records = [
    structured(0, { traceparent: unsampled }),
    structured(1, {}),
    structured(2, { traceparent: sampled }),
  ]
  assert.deepEqual(
    decoded(records).traced.map(({ offset }) => offset),
    [2],
  )
  const off = decoded(records, 0)
  assert.deepEqual(off.traced, [])
  assert.deepEqual(
    entriesOf(off),
    records.map(({ value }) => String(value)),
    'entries are the bytes that came',
  )
})

test("an entry carries its producer's context, once, and is otherwise as it came", () => {
  const own = `,"traceparent":"${other}"`
  const records = [
    structured(0, { traceparent: sampled, tracestate: 'a="1"' }),
    binary(1, { traceparent: sampled }),
    structured(2, { traceparent: sampled }, own),
    structured(3, { traceparent: sampled }, ',"traceparent":null'),
    record(4, ` \n${eventText({ id: 'e4', data: { traceparent: 'theirs', '"traceparent":"': 1 } })}`, {
      headers: { traceparent: sampled },
    }),
    structured(5, {}, own),
  ]
  const entries = entriesOf(decoded(records))
  const [first, second, third, fourth, fifth, sixth] = entries.map((text) => JSON.parse(text))
  assert.deepEqual(first, { ...JSON.parse(String(records[0]?.value)), traceparent: sampled, tracestate: 'a="1"' })
  assert.deepEqual([second.traceparent, second.id, second.data], [sampled, 'e1', { a: 1 }])
  assert.equal(third.traceparent, other)
  assert.equal(fourth.traceparent, null)
  assert.deepEqual([fifth.traceparent, fifth.data.traceparent], [sampled, 'theirs'])
  assert.equal(sixth.traceparent, other)
  for (const [at, text] of entries.entries()) {
    if ([2, 3, 5].includes(at)) assert.equal(text, String(records[at]?.value))
  }
})

test('of a record that became none, its producer hears too', () => {
  const { traced } = decoded([
    record(0, 'no event', { headers: { traceparent: sampled } }),
    structured(1, { traceparent: sampled }),
  ])
  assert.deepEqual(
    traced.map(({ row, reject }) => [row, reject]),
    [
      [-1, 'not_json'],
      [0, null],
    ],
  )
})

test('at most so many are told of; the entries of all carry their context', () => {
  const records = Array.from({ length: 100 }, (_, n) => structured(n, { traceparent: sampled }))
  const batch = decoded(records, 5)
  assert.deepEqual(
    batch.traced.map(({ offset }) => offset),
    [0, 1, 2, 3, 4],
  )
  assert.ok(entriesOf(batch).every((text) => JSON.parse(text).traceparent === sampled))
})

test('whatever is in the headers: rows and rejects are those of a fleet that does not trace', () => {
  const bytes = fc.uint8Array({ maxLength: 70 }).map((all) => Buffer.from(all))
  const value = fc.oneof(
    bytes,
    fc.constant(null),
    fc.constantFrom(sampled, unsampled, `${sampled}-x`, sampled.replace('00-', 'ff-')).map((text) => Buffer.from(text)),
  )
  const headers = fc.dictionary(fc.constantFrom('traceparent', 'TraceParent', 'tracestate', 'x', ''), value)
  fc.assert(
    fc.property(fc.array(headers, { minLength: 1, maxLength: 5 }), (all) => {
      const records = all.map((one, n) => (n % 2 === 0 ? structured(n, one) : binary(n, one)))
      const [on, off] = [decoded(records), decoded(records, 0)]
      assert.deepEqual({ ...on, traced: [], entryBytes: null, rows: null }, { ...off, entryBytes: null, rows: null })
      assert.deepEqual(on.rows.ids, off.rows.ids)
      const events = entriesOf(off).map((text) => JSON.parse(text))
      for (const [at, text] of entriesOf(on).entries()) {
        const { traceparent: _, tracestate: __, ...rest } = JSON.parse(text)
        assert.deepEqual(rest, events[at])
      }
    }),
    { numRuns: 300 },
  )
})

test('headers that cannot be read to their end cost the trace, not the record', () => {
  // A decoder that asks for no header: only the search for a trace meets what is wrong there.
  const decoder = {
    name: 'tests/1',
    decode(one: RecordView, event: EventView) {
      event.reset(one.bytes)
      return decodeStructured(one, event)
    },
  }
  const packed = pack({ partition: 0, records: [structured(0, { b: 'x' }), structured(1, { traceparent: sampled })] })
  const buffer = Buffer.from(packed.buffer)
  const at = buffer.indexOf(Buffer.from('\x02b\x02x'))
  assert.ok(at > 0)
  // Its name is said to be longer than the record.
  buffer[at] = 0x7e
  const { rows, rejects, traced } = decodeBatch({ ...definition, decoder }, { ...limits, tracedMax: 32 }, packed, nowMs)
  assert.deepEqual([rows.count, rejects.count], [2, 0])
  assert.deepEqual(
    traced.map(({ offset }) => offset),
    [1],
  )
})
