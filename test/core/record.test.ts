import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type HeaderValue, pack, packedBytes, type RawRecord, RecordView, recordBytes } from '../../src/core/record.ts'

const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array))
const name = fc.oneof(
  fc.constantFrom('content-type', 'ce_type', 'CE_Source', '__proto__', 'constructor', 'größe', '', '7'),
  fc.string({ unit: 'grapheme', maxLength: 8 }).filter((text) => text.isWellFormed()),
)
/** What kafkajs hands over: a value may be null, and a repeated header is an array of such values. */
const one = fc.oneof(
  bytes,
  fc.constant(null),
  fc.string({ maxLength: 6 }).filter((text) => text.isWellFormed()),
)
const headerValue = fc.oneof(one, fc.array(one, { minLength: 0, maxLength: 3 })) as fc.Arbitrary<HeaderValue>
const headers = fc
  .array(fc.tuple(name, headerValue), { maxLength: 5 })
  .map((pairs) => Object.assign(Object.create(null), Object.fromEntries(pairs)) as Record<string, HeaderValue>)
const part = fc.option(bytes, { nil: null })
const records = (firstOffset: number) =>
  fc
    .array(
      fc.record({
        delta: fc.nat(1000),
        timestamp: fc.oneof(fc.constant(-1), fc.nat(Number.MAX_SAFE_INTEGER)).map(String),
        key: part,
        value: part,
        headers: fc.option(headers, { nil: undefined }),
      }),
      { maxLength: 8 },
    )
    .map((all) => {
      let offset = firstOffset
      return all.map(({ delta, ...rest }): RawRecord => {
        const at = offset + delta
        offset = at + 1
        return { ...rest, offset: String(at) }
      })
    })

const packAll = (firstOffset: number, all: readonly RawRecord[]) => {
  const into = Buffer.from(new ArrayBuffer(packedBytes(all)))
  assert.equal(pack(into, 0, firstOffset, all), into.length, 'packedBytes() is exact')
  return into
}

/** [name, bytes or null] pairs, as a record of the log has them. */
const pairsOf = ({ headers = {} }: RawRecord): [string, string | null][] =>
  Object.keys(headers).flatMap((name) => {
    const value = headers[name] as HeaderValue | null
    const hex = (each: unknown) =>
      each === null || each === undefined ? null : Buffer.from(each as Buffer).toString('hex')
    return Array.isArray(value)
      ? value.map((each): [string, string | null] => [name, hex(each)])
      : [[name, hex(value)] as [string, string | null]]
  })

test('whatever a client hands over comes back from the packed bytes, to the byte and in order', () => {
  const slice = fc.nat(2 ** 40).chain((first) => fc.tuple(fc.constant(first), records(first)))
  fc.assert(
    fc.property(slice, ([firstOffset, all]) => {
      const view = new RecordView(packAll(firstOffset, all))
      for (const record of all) {
        view.next(firstOffset)
        assert.equal(String(view.offset), record.offset)
        assert.equal(view.timestampMs, Number(record.timestamp))
        const key = view.keyStart < 0 ? null : view.bytes.subarray(view.keyStart, view.keyEnd)
        const value = view.valueStart < 0 ? null : view.bytes.subarray(view.valueStart, view.valueEnd)
        assert.deepEqual(key && Buffer.from(key), record.key)
        assert.deepEqual(value && Buffer.from(value), record.value)
        assert.deepEqual(
          [...view.headers()].map(({ name, start, end }) => [
            name,
            start < 0 ? null : view.bytes.toString('hex', start, end),
          ]),
          pairsOf(record),
        )
      }
    }),
    { numRuns: 500 },
  )
})

const single = (headers: Record<string, HeaderValue>): RecordView => {
  const view = new RecordView(packAll(5, [{ offset: '5', timestamp: '0', key: null, value: null, headers }]))
  view.next(5)
  return view
}
const found = (view: RecordView, name: string) =>
  view.header(name) ? view.bytes.toString('utf8', view.headerStart, view.headerEnd) : null

test('headers are found by name without case; a null one counts as absent, an empty one does not', () => {
  const view = single({
    'Content-TYPE': Buffer.from('a/b'),
    ce_id: null,
    ce_time: '',
    ce_type: [null, Buffer.from('first'), 'second'],
  })
  assert.equal(found(view, 'content-type'), 'a/b')
  assert.equal(found(view, 'ce_id'), null)
  assert.equal(found(view, 'ce_time'), '')
  assert.equal(found(view, 'ce_type'), 'first')
  assert.equal(found(view, 'ce_typ'), null)
  assert.equal(found(view, 'ce_types'), null)
})

test('a header name longer than 64 KiB is a name like any other', () => {
  const long = 'x'.repeat(70_000)
  const view = single({ [long]: 'v', after: 'w' })
  assert.equal(found(view, long), 'v')
  assert.equal(found(view, 'after'), 'w')
})

test('offsets far behind the first one of their slice are kept: a compacted topic may have any gap', () => {
  const all: RawRecord[] = [{ offset: String(2 ** 40 + 3), timestamp: '0', key: null, value: null }]
  const view = new RecordView(packAll(1, all))
  view.next(1)
  assert.equal(view.offset, 2 ** 40 + 3)
})

test('the size that back-pressure counts is no less than what is held, whichever part of the record is large', () => {
  const big = Buffer.alloc(100_000)
  const base = { offset: '0', timestamp: '0', key: null, value: null }
  const name = 'n'.repeat(100_000)
  for (const record of [
    base,
    { ...base, key: big },
    { ...base, value: big },
    { ...base, headers: { a: big } },
    { ...base, headers: { a: [big, 'x'], b: [] } },
    { ...base, headers: { [name]: 'x' } },
    { ...base, headers: { [name]: [null, ''] } },
  ] as RawRecord[]) {
    assert.ok(recordBytes(record) >= packedBytes([record]), JSON.stringify(record).slice(0, 60))
  }
})
