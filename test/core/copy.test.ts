import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { CopyWriter } from '../../src/core/copy.ts'
import { formatUuid } from '../../src/core/identity.ts'
import { runCopies } from '../../src/flow/persist/copy-transaction.ts'
import { useServer } from '../schema/database.ts'
import * as texts from './texts.ts'

const server = useServer()
const columns =
  'id, event_time, source, event_id, type, subject, tenant_id, data, extensions, kafka_topic, kafka_partition, kafka_offset, kafka_time'

/** What PostgreSQL's timestamptz can hold, in microseconds since 1970: 4714 BC to 294276 AD; a double is exact from 1827 to 2255. */
const micros = fc.oneof(
  fc.integer({ min: -(2 ** 52), max: 2 ** 53 - 1 }),
  fc.constantFrom(
    0,
    -1,
    946_684_800_000_000,
    946_684_800_000_001,
    946_684_799_999_999,
    -210_866_803_200_000_000,
    9_223_371_331_200_000_000 - 2 ** 20,
  ),
)
const offset = fc.oneof(
  fc.nat(),
  fc.constantFrom(0, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 7, Number.MAX_SAFE_INTEGER),
)
const text = fc
  .oneof(
    fc.string({ unit: 'grapheme', maxLength: 60 }).filter((value) => value.isWellFormed()),
    fc.string({ unit: 'binary', maxLength: 20 }).filter((value) => value.isWellFormed() && !value.includes('\0')),
    fc.constantFrom(
      '',
      'x'.repeat(47),
      'x'.repeat(48),
      'x'.repeat(49),
      '😀'.repeat(5000),
      '\\N',
      '\\.',
      '\u{10ffff}',
      '\ufeff',
      '\r\n\t\u0001',
    ),
  )
  .filter((value) => !value.includes('\0'))
const json = fc.oneof(
  { weight: 10, arbitrary: texts.value },
  {
    weight: 1,
    arbitrary: fc.integer({ min: 1, max: 20_000 }).map((size) => JSON.stringify({ big: 'ä'.repeat(size) })),
  },
)
const row = fc.record({
  id: fc.uint8Array({ minLength: 16, maxLength: 16 }),
  eventTime: micros,
  source: text,
  eventId: text,
  type: text,
  subject: fc.option(text),
  tenant: fc.option(text),
  data: fc.option(json),
  extensions: fc.option(json),
  topic: text,
  partition: fc.oneof(fc.nat(2 ** 31 - 1), fc.constantFrom(-1, -(2 ** 31), 2 ** 31 - 1)),
  offset,
  kafkaTime: micros,
})

test('generated rows copied in binary are what the same values are when inserted as text', async () => {
  const session = await (await server.database()).connect()
  // Of the table's shape, without its days: times may be anywhere.
  for (const name of ['copied', 'inserted'])
    await session.query(`create table ${name} (like cloud_events including defaults)`)
  const rows = fc.sample(row, 1000)
  rows.push({ ...(rows[0] as (typeof rows)[0]), data: JSON.stringify('größer'.repeat(500_000)) })
  // A row's worth at first, so that the writer has to grow again and again.
  const copy = new CopyWriter(1)
  for (const one of rows) {
    const strings = [one.source, one.eventId, one.type, one.subject, one.tenant]
    const jsons = [one.data, one.extensions].map((value) => (value === null ? null : Buffer.from(value)))
    const bytes = [...strings, one.topic].map((value) => (value === null ? 0 : Buffer.byteLength(value)))
    const size = 64 + [...bytes, ...jsons.map((value) => value?.length ?? 0)].reduce((sum, length) => sum + length, 0)
    const big = size % 2 === 0
    // Rare rows know their size only column by column.
    copy.row(13, big ? 0 : size)
    copy.bytes(one.id, 0, 16)
    copy.timestamp(one.eventTime)
    for (const value of strings) {
      const encoded = value === null ? null : Buffer.from(value)
      if (big) copy.blob(encoded)
      else if (encoded === null) copy.null()
      else copy.bytes(encoded, 0, encoded.length)
    }
    for (const value of jsons) {
      if (value === null) copy.null()
      else if (big) copy.json(value)
      else copy.jsonb(Buffer.concat([Buffer.from('..'), value, Buffer.from('.')]), 2, 2 + value.length)
    }
    const topic = Buffer.from(one.topic)
    if (big) copy.text(topic)
    else copy.bytes(topic, 0, topic.length)
    copy.int32(one.partition)
    copy.int64(one.offset)
    copy.timestamp(one.kafkaTime)
  }
  assert.equal(copy.rows, rows.length)
  const finished = copy.finish()
  assert.notEqual(
    finished.buffer,
    Buffer.from('').buffer,
    'not a piece of the shared pool: it is going to be transferred',
  )
  const tags = await runCopies(session, `BEGIN;COPY copied (${columns}) FROM STDIN (FORMAT binary);COMMIT`, [finished])
  assert.deepEqual(tags, ['BEGIN', `COPY ${rows.length}`, 'COMMIT'])

  const time = (value: number) => `${BigInt(value)} microseconds`
  await session.query(
    `insert into inserted (${columns})
     select id, 'epoch'::timestamptz + event_time::interval, source, event_id, type, subject, tenant_id, data::jsonb, extensions::jsonb,
       topic, kafka_partition, kafka_offset, 'epoch'::timestamptz + kafka_time::interval
     from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
       $11::int[], $12::bigint[], $13::text[]) as u (id, event_time, source, event_id, type, subject, tenant_id, data, extensions, topic,
       kafka_partition, kafka_offset, kafka_time)`,
    [
      rows.map(({ id }) => formatUuid(id)),
      rows.map(({ eventTime }) => time(eventTime)),
      rows.map(({ source }) => source),
      rows.map(({ eventId }) => eventId),
      rows.map(({ type }) => type),
      rows.map(({ subject }) => subject),
      rows.map(({ tenant }) => tenant),
      rows.map(({ data }) => data),
      rows.map(({ extensions }) => extensions),
      rows.map(({ topic }) => topic),
      rows.map(({ partition }) => partition),
      rows.map(({ offset }) => offset),
      rows.map(({ kafkaTime }) => time(kafkaTime)),
    ],
  )
  const { rows: apart } = await session.query(
    `select (select count(*)::int from copied) as copied, (select count(*)::int from inserted) as inserted,
       (select count(*)::int from (select ${columns} from copied except all select ${columns} from inserted) a) as only_copied,
       (select count(*)::int from (select ${columns} from inserted except all select ${columns} from copied) b) as only_inserted`,
  )
  assert.deepEqual(apart, [{ copied: rows.length, inserted: rows.length, only_copied: 0, only_inserted: 0 }])
})

test('an empty stream is a good one', async () => {
  const session = await (await server.database({ migrated: false })).connect()
  await session.query('create table t (a int)')
  assert.deepEqual(await runCopies(session, 'COPY t FROM STDIN (FORMAT binary)', [new CopyWriter(0).finish()]), [
    'COPY 0',
  ])
})

test('a COPY that the server refuses fails as a whole, and the session is of use afterwards', async () => {
  const session = await (await server.database({ migrated: false })).connect()
  await session.query('create table t (a text)')
  const copy = new CopyWriter(0)
  for (const value of ['good', 'nul \0 inside']) {
    copy.row(1, 0)
    copy.text(Buffer.from(value))
  }
  const text = `BEGIN;INSERT INTO t VALUES ('before');COPY t FROM STDIN (FORMAT binary);COMMIT`
  await assert.rejects(runCopies(session, text, [copy.finish()]), { code: '22021' })
  await session.query('ROLLBACK')
  assert.deepEqual((await session.query('select * from t')).rows, [])
})
