import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { EntryWriter, markedEntry, rowPlaces, timeText, withoutReplayId } from '../../src/replay/entry.ts'

const text = fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme' }).filter((one) => one.isWellFormed())
const bytes = (one: string | null) => (one === null ? null : Buffer.from(one))
const micros = fc.integer({ min: 0, max: 4e15 })
const extensions = fc.dictionary(
  fc.stringMatching(/^x[a-z0-9]{0,8}$/),
  fc.oneof(text, fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), fc.boolean()),
)

interface Parts {
  readonly micros: number
  readonly source: Buffer
  readonly id: Buffer
  readonly type: Buffer
  readonly subject: Buffer | null
  readonly tenant: Buffer | null
  readonly data: Buffer | null
  readonly dataBytes: Buffer | null
  readonly extensions: Buffer | null
}

/** The columns one behind the other, as the server sends them, in memory that is written over. */
function entryOf(writer: EntryWriter, parts: Parts): Buffer {
  const { micros, source, id, type, subject, tenant, data, dataBytes, extensions } = parts
  const columns = [source, id, type, subject, tenant, data, dataBytes, extensions]
  const places = rowPlaces()
  let at = 7
  for (const [column, value] of columns.entries()) {
    places.starts[column] = value === null ? -1 : at
    at += value?.length ?? 0
    places.ends[column] = at
  }
  places.micros = micros
  const bytes = Buffer.concat([Buffer.alloc(7), ...columns.filter((value) => value !== null), Buffer.alloc(3)])
  const { entry } = writer.row(bytes, places, 0, 0)
  bytes.fill(0)
  return entry
}

test('a row becomes the event that it was, marked', () => {
  const writer = new EntryWriter('r-1')
  const parts = fc.record({
    micros,
    source: text,
    id: text,
    type: text,
    subject: fc.option(text),
    tenant: fc.option(text),
    data: fc.option(fc.jsonValue()),
    others: fc.option(extensions),
  })
  fc.assert(
    fc.property(parts, ({ micros, source, id, type, subject, tenant, data, others }) => {
      const entry = entryOf(writer, {
        micros,
        source: Buffer.from(source),
        id: Buffer.from(id),
        type: Buffer.from(type),
        subject: bytes(subject),
        tenant: bytes(tenant),
        data: data === null ? null : Buffer.from(JSON.stringify(data)),
        dataBytes: null,
        extensions: others === null ? null : Buffer.from(JSON.stringify(others)),
      })
      assert.deepEqual(JSON.parse(entry.toString()), {
        specversion: '1.0',
        replayid: 'r-1',
        id,
        source,
        type,
        ...(subject !== null && { subject }),
        time: timeText(micros),
        ...(tenant !== null && { tenantid: tenant }),
        ...others,
        // -0 is 0 in JSON.
        ...(data !== null && { data: JSON.parse(JSON.stringify(data)) }),
      })
    }),
  )
})

const row = {
  micros: 1_763_700_000_123_456,
  source: Buffer.from('/s'),
  id: Buffer.from('1'),
  type: Buffer.from('t'),
  subject: null,
  tenant: null,
  data: null,
  dataBytes: null,
  extensions: null,
}

test('data that is no JSON is base64, and text where its content type says so', () => {
  const of = (dataBytes: Buffer, type: string | null) => {
    const extensions = type === null ? null : Buffer.from(JSON.stringify({ datacontenttype: type }))
    const { data, data_base64: base64 } = JSON.parse(
      entryOf(new EntryWriter('r'), { ...row, dataBytes, extensions }).toString(),
    )
    return { data, base64 }
  }
  assert.deepEqual(of(Buffer.from('hällo\n'), 'text/plain'), { data: 'hällo\n', base64: undefined })
  assert.deepEqual(of(Buffer.from([0xff, 0]), 'text/plain'), { data: undefined, base64: '/wA=' })
  assert.deepEqual(of(Buffer.from('x'), null), { data: undefined, base64: 'eA==' })
})

test('entries larger than a slab, and many of them, stay what they are', () => {
  const writer = new EntryWriter('r')
  const made = Array.from({ length: 300 }, (_, index) => {
    const data = Buffer.from(JSON.stringify('é'.repeat(index * 7 + (index === 150 ? 400_000 : 0))))
    return [entryOf(writer, { ...row, data }), data] as const
  })
  for (const [entry, data] of made) assert.equal(JSON.stringify(JSON.parse(entry.toString()).data), data.toString())
})

test('a number of any length stays as it was', () => {
  const data = Buffer.from('{"n": 1234567890123456789012345678901234567890.10}')
  assert(
    entryOf(new EntryWriter('r'), { ...row, data })
      .toString()
      .includes('1234567890123456789012345678901234567890.10'),
  )
})

test('an event of Kafka is marked without touching the rest; a mark of another replay goes', () => {
  const others = fc.record({ before: extensions, old: fc.option(text), after: extensions, data: fc.jsonValue() })
  fc.assert(
    fc.property(others, fc.boolean(), ({ before, old, after, data }, pretty) => {
      const event = { ...before, specversion: '1.0', ...(old !== null && { replayid: old }), ...after, data }
      const entry = markedEntry(Buffer.from(` ${JSON.stringify(event, null, pretty ? 2 : 0)} `), 'r-9', 0)
      const { replayid: _, ...rest } = JSON.parse(JSON.stringify(event))
      assert.deepEqual(JSON.parse(entry.toString()), { ...rest, replayid: 'r-9', time: '1970-01-01T00:00:00.000Z' })
      assert.equal(entry.toString().split('"replayid":"r-9"').length, 2)
    }),
  )
})

test('a mark is taken away wherever it stands', () => {
  const of = (json: string) => withoutReplayId(Buffer.from(json)).toString()
  assert.equal(of('{"replayid":"x"}'), '{}')
  assert.equal(of('{"a":1,"replayid":"x","b":{"replayid":"y"}}'), '{"a":1,"b":{"replayid":"y"}}')
  assert.equal(of('{"a": "\\"replayid\\""}'), '{"a": "\\"replayid\\""}')
})

test('times are written to the microsecond, and read back', () => {
  fc.assert(
    fc.property(micros, (one) => {
      const written = timeText(one)
      assert.equal(Date.parse(written), Math.floor(one / 1000))
      const row_ = JSON.parse(entryOf(new EntryWriter('r'), { ...row, micros: one }).toString())
      assert.equal(row_.time, written)
    }),
  )
})
