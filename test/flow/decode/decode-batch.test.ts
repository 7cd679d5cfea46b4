import assert from 'node:assert/strict'
import { test } from 'node:test'
import { codecNames, codecs } from '../../../src/core/codecs.ts'
import { eventId, formatUuid } from '../../../src/core/identity.ts'
import { type RawRecord, type RecordRun, runOf } from '../../../src/core/record.ts'
import { readCopy, readInt64, readJsonb, readTimestamp } from '../../../src/flow/persist/read-copy.ts'
import { batchOf, dayMs, decode, eventText, nowMs, pack, record } from '../batches.ts'

type Decoded = ReturnType<typeof decode>
const text = (field: Buffer | null | undefined) => field?.toString('utf8') ?? null
const rowsOf = ({ copies }: Decoded) =>
  copies
    .flatMap(({ bytes }) => readCopy(bytes))
    .map((row) => `${row[10]?.readInt32BE(0)}/${readInt64(row[11] as Buffer)}`)
const rejectsOf = ({ rejects }: Decoded) =>
  rejects.count === 0
    ? []
    : readCopy(rejects.bytes).map((row) => ({
        where: `${row[2]?.readInt32BE(0)}/${readInt64(row[3] as Buffer)}`,
        timeMs: readTimestamp(row[4] as Buffer) / 1000,
        key: text(row[5]),
        value: text(row[6]),
        headers: JSON.parse(readJsonb(row[7] as Buffer)),
        code: text(row[8]),
        reason: text(row[9]),
        decoder: text(row[10]),
      }))
const entriesOf = ({ rows, families, entryBytes, slices }: Decoded) =>
  Array.from({ length: rows.count }, (_, row) => {
    const entry = Buffer.from(entryBytes).toString('utf8', rows.entryStart[row], rows.entryEnd[row])
    const partition = slices[rows.slice[row] as number]?.partition
    return [`${families[rows.family[row] as number]}:{${partition}} ${rows.offset[row]}`, entry]
  })

test('rows, entries and counts of several partitions, in the order of the records', () => {
  const a = { id: 'a', type: 'com.x.order' }
  const b = { id: 'b', type: 'com.x.payment' }
  const batch = batchOf(
    { partition: 7, records: [record(100, a), record(102, b)], nextOffset: 110 },
    { partition: 3, records: [record(5, 'no event'), record(6, a)] },
  )
  assert.deepEqual(rowsOf(batch), ['3/6', '7/100', '7/102'])
  assert.deepEqual(entriesOf(batch), [
    ['events:order:{3} 6', eventText(a)],
    ['events:order:{7} 100', eventText(a)],
    ['events:payment:{7} 102', eventText(b)],
  ])
  assert.deepEqual(batch.slices, [
    { partition: 3, firstOffset: 5, nextOffset: 7, records: 2, rows: 1, rejects: 1, skips: 0 },
    { partition: 7, firstOffset: 100, nextOffset: 110, records: 2, rows: 2, rejects: 0, skips: 0 },
  ])
  assert.deepEqual(batch.rejects.codes, { not_json: 1 })
  assert.equal(batch.records, 4)
  for (let row = 0; row < batch.rows.count; row++) {
    assert.equal(formatUuid(batch.rows.ids, row * 16), eventId(nowMs, '/tests', row === 2 ? 'b' : 'a'))
  }
})

test('a reject keeps the record to the byte: key, value, headers in order, without a value, and repeated', () => {
  const odd: RawRecord = record(9, 'nö', {
    key: Buffer.from('k'),
    headers: { 'x-a': Buffer.from([0, 255]), 'x-b': null, 'x-c': ['1', null], '': '' },
  })
  const [reject] = rejectsOf(batchOf({ partition: 1, records: [odd] }))
  assert.deepEqual(reject, {
    where: '1/9',
    timeMs: nowMs,
    key: 'k',
    value: 'nö',
    headers: [
      ['x-a', 'AP8='],
      ['x-b', null],
      ['x-c', 'MQ=='],
      ['x-c', null],
      ['', ''],
    ],
    code: 'not_json',
    reason: 'The value is not JSON. At byte 1 of 3.',
    decoder: 'cloud-event/2',
  })
})

test('rows of several days go to a COPY each', () => {
  const records = [0, -1, 0, -29, -1].map((day, n) => record(n, { id: String(n), timeMs: nowMs + day * dayMs }))
  const { copies } = batchOf({ partition: 0, records })
  const today = Math.floor(nowMs / dayMs)
  assert.deepEqual(
    copies.map(({ day, rows }) => [day - today, rows]),
    [
      [0, 2],
      [-1, 2],
      [-29, 1],
    ],
  )
})

test('a batch over a whole window of days takes memory for its rows, not for every day again', () => {
  const records = Array.from({ length: 3000 }, (_, n) =>
    record(n, { id: String(n), timeMs: nowMs - (n % 30) * dayMs, data: 'x'.repeat(300) }),
  )
  const { copies } = batchOf({ partition: 0, records })
  assert.equal(copies.length, 30)
  const held = copies.reduce((sum, { bytes }) => sum + bytes.buffer.byteLength, 0)
  const used = copies.reduce((sum, { bytes }) => sum + bytes.length, 0)
  assert.ok(held < used * 4, `${held} bytes held for ${used}`)
})

test('times outside of the window are rejects; a record that comes by again was judged before', () => {
  const old = record(0, { id: 'old', timeMs: nowMs - 31 * dayMs })
  const early = record(1, { id: 'early', timeMs: nowMs + dayMs + 1 })
  const batch = batchOf({ partition: 0, records: [old, early] })
  assert.deepEqual(batch.rejects.codes, { time_out_of_window: 2 })
  assert.equal(batch.rows.count, 0)
  const again = batchOf({ partition: 0, records: [old, record(1, 'bad')], again: true })
  assert.equal(again.rows.count, 1)
  assert.deepEqual(again.copies, [])
  assert.equal(again.rejects.count, 0, 'and its rejects are stored already')
})

test("the producer's clock may say anything: a stored record's Kafka time is one that PostgreSQL can hold", () => {
  const wild = [-1, -(2 ** 53), 2 ** 53, 9_223_372_036_854_775_000, -9_223_372_036_854_775_000, 0]
  // With a time of its own an event is a row; without, it takes its record's, and is a reject.
  const records = wild.flatMap((timestamp, n) => [
    record(2 * n, { id: `a${n}` }, { timestamp: String(timestamp) }),
    record(2 * n + 1, '{"specversion":"1.0","id":"b","source":"s","type":"t"}', { timestamp: String(timestamp) }),
  ])
  const low = Date.UTC(-4712, 0, 1)
  const high = Date.UTC(270_000, 0, 1)
  for (const one of records) {
    const batch = batchOf({ partition: 0, records: [one] })
    const times = [
      ...batch.copies.flatMap(({ bytes }) => readCopy(bytes)).map((row) => readTimestamp(row[12] as Buffer) / 1000),
      ...rejectsOf(batch).map(({ timeMs }) => timeMs),
    ]
    assert.equal(times.length, 1)
    const [time] = times as [number]
    assert.ok(time > low && time < high, `${one.timestamp} became ${time}`)
  }
})

test('a value larger than the limit is a reject, whatever is in it', () => {
  const large = record(0, { id: 'x', data: 'y'.repeat(200) })
  const batch = decode(pack({ partition: 0, records: [large] }), { valueBytesMax: 200 })
  assert.deepEqual(batch.rejects.codes, { too_large: 1 })
})

// --- runs ---------------------------------------------------------------------------------------------------------------------------------------

const events = (from: number, count: number) =>
  Array.from({ length: count }, (_, n) => record(from + n, { id: `e${from + n}` }))

/** The same run, compressed. */
function compressed(run: RecordRun, codec: number): RecordRun {
  const name = codecNames[codec] as keyof typeof codecs
  return { ...run, codec, bytes: codecs[name].compress(Buffer.from(run.bytes)) }
}

test('compressed runs of every codec are the records they were', () => {
  const runs = [0, 1, 2, 3, 4].map((codec) => {
    const run = runOf(events(codec * 10, 4))
    return codec === 0 ? run : compressed(run, codec)
  })
  const batch = batchOf({ partition: 2, runs, nextOffset: 50 })
  assert.deepEqual(
    rowsOf(batch),
    [0, 10, 20, 30, 40].flatMap((from) => [0, 1, 2, 3].map((n) => `2/${from + n}`)),
  )
  assert.equal(batch.slices[0]?.nextOffset, 50)
})

test('rejects that a redrive has sent are told apart from those that a producer has', () => {
  const sent = { 'millrace-redrive-of': '12', 'millrace-attempts': '1' }
  const batch = batchOf({ partition: 0, records: [record(1, 'bad'), record(2, 'bad', { headers: sent })] })
  const { rejects, redriven } = batch.slices[0] as (typeof batch.slices)[number]
  assert.deepEqual({ rejects, redriven }, { rejects: 2, redriven: 1 })
})

test('data that is no JSON has room, however well it was compressed', () => {
  const ce = { ce_specversion: '1.0', ce_source: '/s', ce_type: 't', 'content-type': 'application/octet-stream' }
  const records = Array.from({ length: 200 }, (_, n) =>
    record(n, Buffer.alloc(5000, n), { headers: { ...ce, ce_id: String(n) } }),
  )
  const { copies } = batchOf({ partition: 0, runs: [compressed(runOf(records), 4)] })
  const bytes = copies.flatMap(({ bytes }) => readCopy(bytes)).map((row) => row[13])
  assert.deepEqual(
    bytes,
    records.map(({ value }) => value),
  )
})

test('of a run that reaches beyond the range on both sides, only what lies in the range counts', () => {
  const run = compressed(runOf(events(10, 10)), 2)
  const batch = batchOf({ partition: 0, runs: [run], firstOffset: 13, nextOffset: 16 })
  assert.deepEqual(rowsOf(batch), ['0/13', '0/14', '0/15'])
  assert.deepEqual(batch.slices, [
    { partition: 0, firstOffset: 13, nextOffset: 16, records: 3, rows: 3, rejects: 0, skips: 0 },
  ])
})

test('where the broker keeps the time, every record of a run has it', () => {
  const run = { ...runOf(events(0, 2)), appendTime: true, maxTimestampMs: nowMs - 5 }
  const { rows } = batchOf({ partition: 0, runs: [run] })
  assert.deepEqual([...rows.timestampMs.subarray(0, 2)], [nowMs - 5, nowMs - 5])
})

/** Every offset of the range must come out once: as a row or as a reject. */
function assertEachOnce(batch: Decoded, from: number, to: number): void {
  const seen = [...rowsOf(batch), ...rejectsOf(batch).map(({ where }) => where)].sort(
    (a, b) => Number(a.split('/')[1]) - Number(b.split('/')[1]),
  )
  assert.deepEqual(
    seen,
    Array.from({ length: to - from }, (_, n) => `0/${from + n}`),
  )
  const [slice] = batch.slices as [Decoded['slices'][0]]
  assert.deepEqual([slice.records, slice.rows + slice.rejects], [to - from, to - from], 'and the counts say the same')
}

test('a run that cannot be unpacked: every offset is a reject, the first of them holds the bytes', () => {
  const broken = { ...compressed(runOf(events(10, 3)), 4), bytes: Buffer.from('not zstd at all') }
  const batch = batchOf({ partition: 0, runs: [runOf(events(8, 2)), broken, runOf(events(13, 2))] })
  assert.deepEqual(rowsOf(batch), ['0/8', '0/9', '0/13', '0/14'])
  assert.deepEqual(
    rejectsOf(batch).map(({ where, code, value }) => [where, code, value]),
    [
      ['0/10', 'unreadable_batch', 'not zstd at all'],
      ['0/11', 'unreadable_batch', null],
      ['0/12', 'unreadable_batch', null],
    ],
  )
  assertEachOnce(batch, 8, 15)
})

test('a run that breaks off: what was read is stored, once, and only the rest is rejected', () => {
  const whole = runOf(events(0, 5))
  for (let cut = 0; cut < whole.bytes.length; cut += 7) {
    assertEachOnce(batchOf({ partition: 0, runs: [{ ...whole, bytes: whole.bytes.subarray(0, cut) }] }), 0, 5)
  }
})

test('a run damaged anywhere never throws, and no offset is lost or doubled', () => {
  const headers = { 'content-type': 'application/cloudevents', a: 'b', c: null }
  const whole = runOf([record(0, { id: 'a' }), record(1, { id: 'b' }, { headers }), record(2, 'bad', { headers })])
  for (let at = 0; at < whole.bytes.length; at++) {
    for (const byte of [0, 1, 2, 4, 6, 0x7f, 0x80, 0xff]) {
      const bytes = Buffer.from(whole.bytes)
      if (bytes[at] === byte) continue
      bytes[at] = byte
      const batch = batchOf({ partition: 0, runs: [{ ...whole, bytes }] })
      const [slice] = batch.slices as [Decoded['slices'][0]]
      assert.ok(slice.rows + slice.rejects + slice.skips <= 3, `byte ${at} as ${byte}: ${JSON.stringify(slice)}`)
      const seen = [...rowsOf(batch), ...rejectsOf(batch).map(({ where }) => where)]
      assert.equal(new Set(seen).size, seen.length, `byte ${at} as ${byte}: ${seen}`)
    }
  }
})
