import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  type HeaderValue,
  type RawRecord,
  RecordFormatError,
  RecordView,
  runBytes,
  runOf,
} from '../../src/core/record.ts'

const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array))
const name = fc.oneof(
  fc.constantFrom(
    'content-type',
    'ce_type',
    'CE_Source',
    '__proto__',
    'constructor',
    'größe',
    '',
    '7',
    'n'.repeat(200),
  ),
  fc.string({ unit: 'grapheme', maxLength: 8 }).filter((text) => text.isWellFormed()),
)
const one = fc.oneof(
  bytes,
  fc.constant(null),
  fc.string({ maxLength: 6 }).filter((text) => text.isWellFormed()),
)
const headers = fc
  .array(fc.tuple(name, fc.oneof(one, fc.array(one, { maxLength: 3 }))), { maxLength: 5 })
  .map((pairs) => {
    const all: Record<string, HeaderValue> = Object.create(null)
    for (const [name, value] of pairs) all[name] = value
    return all
  })
const timestamp = fc.oneof(
  fc.constantFrom(-1, 0, Number.MAX_SAFE_INTEGER, -Number.MAX_SAFE_INTEGER),
  fc.integer({ min: 0, max: 2 ** 42 }),
)
const records = fc
  .tuple(
    fc.nat(2 ** 40),
    fc.array(
      fc.record({
        gap: fc.oneof(fc.nat(3), fc.nat(2 ** 31)),
        timestamp: timestamp.map(String),
        key: fc.option(bytes),
        value: fc.option(bytes),
        headers: fc.option(headers, { nil: undefined }),
      }),
      { minLength: 1, maxLength: 8 },
    ),
  )
  .map(([first, all]) => {
    let next = first
    return all.map(({ gap, ...rest }): RawRecord => {
      const offset = next + gap
      next = offset + 1
      return { ...rest, offset: String(offset) }
    })
  })

/** [name, value in hex or null] pairs, as a record of the log has them. */
const hex = (value: Buffer | string | null | undefined) =>
  value === null || value === undefined ? null : Buffer.from(value as string).toString('hex')
const pairsOf = ({ headers = {} }: RawRecord): [string, string | null][] =>
  Object.keys(headers).flatMap((name) => {
    const value = headers[name]
    const values = Array.isArray(value) ? value : [value]
    return values.map((each): [string, string | null] => [name, hex(each)])
  })
const open = (all: readonly RawRecord[]) => {
  const run = runOf(all)
  const view = new RecordView()
  view.open(Buffer.from(run.bytes), run)
  return { run, view }
}

test('records laid out as the log has them are read back to the byte and in order', () => {
  fc.assert(
    fc.property(records, (all) => {
      const { run, view } = open(all)
      assert.equal(run.count, all.length)
      assert.equal(String(run.baseOffset), all[0]?.offset)
      assert.equal(String(run.lastOffset), all.at(-1)?.offset)
      for (const record of all) {
        view.next()
        assert.equal(String(view.offset), record.offset)
        // A delta is read as a double: beyond 2^53, or 285,000 years, it is some number.
        const delta = Number(record.timestamp) - run.baseTimestampMs
        const wild = !Number.isSafeInteger(delta)
        if (wild) assert.ok(Number.isFinite(view.timestampMs))
        else assert.equal(String(view.timestampMs), record.timestamp)
        const key = view.keyStart < 0 ? null : view.bytes.subarray(view.keyStart, view.keyEnd)
        const value = view.valueStart < 0 ? null : view.bytes.subarray(view.valueStart, view.valueEnd)
        assert.deepEqual(hex(key), hex(record.key))
        assert.deepEqual(hex(value), hex(record.value))
        const pairs = pairsOf(record)
        for (const [name] of pairs) view.header(name.toLowerCase())
        assert.deepEqual(
          view
            .headers()
            .map(({ name, start, end }) => [name, start < 0 ? null : view.bytes.toString('hex', start, end)]),
          pairs,
          'reading headers moves nothing',
        )
      }
      assert.throws(() => view.next(), RecordFormatError)
    }),
    { numRuns: 500 },
  )
})

const single = (headers: Record<string, HeaderValue>): RecordView => {
  const { view } = open([{ offset: '5', timestamp: '0', key: null, value: null, headers }])
  view.next()
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
    [`x${'y'.repeat(70_000)}`]: 'long',
    behind: 'all of them',
  })
  assert.equal(found(view, 'content-type'), 'a/b')
  assert.equal(found(view, 'ce_id'), null)
  assert.equal(found(view, 'ce_time'), '')
  assert.equal(found(view, 'ce_type'), 'first')
  assert.equal(found(view, 'ce_typ'), null)
  assert.equal(found(view, 'ce_types'), null)
  assert.equal(found(view, `x${'y'.repeat(70_000)}`), 'long')
  assert.equal(found(view, 'behind'), 'all of them')
})

test('any bytes whatever: RecordFormatError or a record that lies within them, and always an end', () => {
  const damaged = fc.tuple(records, fc.nat(), fc.nat(255)).map(([all, at, byte]) => {
    const bytes = Buffer.from(runOf(all).bytes)
    bytes[at % bytes.length] = byte
    return bytes
  })
  const any = fc.oneof(
    damaged,
    fc.uint8Array({ maxLength: 60 }).map((array) => Buffer.from(array)),
  )
  fc.assert(
    fc.property(any, (bytes) => {
      const view = new RecordView()
      view.open(bytes, { ...runOf([{ offset: '7', timestamp: '7', key: null, value: null }]) })
      try {
        for (let n = 0; n < bytes.length + 1; n++) {
          view.next()
          for (const at of [view.keyStart, view.keyEnd, view.valueStart, view.valueEnd]) {
            assert.ok(at >= -1 && at <= bytes.length)
          }
          assert.ok(Number.isInteger(view.offset) && Number.isFinite(view.timestampMs))
          if (view.header('content-type')) assert.ok(view.headerEnd <= bytes.length)
          for (const { start, end } of view.headers()) assert.ok(start >= -1 && end <= bytes.length)
        }
        assert.fail('more records than bytes')
      } catch (error) {
        if (!(error instanceof RecordFormatError)) throw error
      }
    }),
    { numRuns: 5000 },
  )
})

test('where the broker keeps the time it is the one time of the run', () => {
  const run = runOf([{ offset: '5', timestamp: '100', key: null, value: null }])
  const view = new RecordView()
  view.open(Buffer.from(run.bytes), { ...run, appendTime: true, maxTimestampMs: 777 })
  view.next()
  assert.equal(view.timestampMs, 777)
})

test('the size that back-pressure counts is no less than what is held, whichever part of a record is large', () => {
  const big = Buffer.alloc(100_000)
  const base = { offset: '0', timestamp: '0', key: null, value: null }
  for (const record of [
    base,
    { ...base, key: big },
    { ...base, value: big },
    { ...base, headers: { a: big } },
    { ...base, headers: { ['n'.repeat(100_000)]: [null, ''] } },
  ]) {
    const run = runOf([record])
    assert.ok(runBytes(run) >= run.bytes.length)
  }
})
