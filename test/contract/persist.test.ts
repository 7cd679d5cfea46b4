import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import type pg from 'pg'
import { TransientError } from '../../src/core/errors.ts'
import type { RawRecord } from '../../src/core/record.ts'
import { createMemoryDatabase, type MemoryDatabase, openMemoryPersist } from '../../src/flow/persist/memory.ts'
import type { Persist } from '../../src/flow/persist/port.ts'
import { openPostgres } from '../../src/flow/persist/postgres.ts'
import { partitionDays } from '../../src/schema/partitions.ts'
import * as texts from '../core/texts.ts'
import { type CommitProxy, type Fate as ProxyFate, startCommitProxy } from '../e2e/commit-proxy.ts'
import { batchOf, limits, nowMs, record } from '../flow/batches.ts'
import { useServer } from '../schema/database.ts'
import { type Fate, type PersistWorld, persistContract, type StoredLedgerRow } from './persist.ts'

const target = { consumer: limits.consumer, topic: 'cloud-events', table: 'cloud_events' }

// --- memory -------------------------------------------------------------------------------------------------------------------------------------

function memoryWorld(database: MemoryDatabase = createMemoryDatabase()): PersistWorld {
  const place = (one: { partition: number; offset: number }) => `${one.partition}/${one.offset}`
  const byPlace = <T extends { partition: number; offset: number }>(all: Iterable<T>) =>
    [...all].sort((a, b) => a.partition - b.partition || a.offset - b.offset)
  return {
    open(fates = []) {
      // A process of its own, whose line to the shared database may be lost.
      const line: MemoryDatabase = {
        ...database,
        commit(apply) {
          const fate = fates.shift()
          if (fate !== 'before') apply()
          if (fate !== undefined) throw new TransientError('POSTGRES_UNREACHABLE', `lost, ${fate}`)
        },
      }
      return openMemoryPersist(line, target)
    },
    rows: async () => byPlace(database.rows.values()).map((row) => `${place(row)} ${row.eventId}`),
    rejects: async () => byPlace(database.rejects.values()).map((row) => `${place(row)} ${row.code}`),
    ledger: async () =>
      Object.fromEntries(
        [...database.ledger.values()].map((row): [number, StoredLedgerRow] => [
          row.partition,
          {
            nextOffset: row.nextOffset,
            publishedOffset: row.publishedOffset,
            streams: Object.fromEntries(row.streams),
            counts: [row.stored, row.rejected, row.duplicated, row.skipped],
          },
        ]),
      ),
    days: async () => [...database.days],
    async setLedger(partition, nextOffset) {
      for (const [key, row] of database.ledger) {
        if (row.partition === partition) database.ledger.set(key, { ...row, nextOffset })
      }
    },
  }
}

persistContract('memory', async () => memoryWorld())

// --- PostgreSQL ---------------------------------------------------------------------------------------------------------------------------------

const server = useServer()
let session: pg.Client
let url: string
const opened: Persist[] = []
const proxies: CommitProxy[] = []

before(async () => {
  session = await (await server.database()).connect()
  const { user, password, port, database } = session
  url = `postgres://${user}:${password}@127.0.0.1:${port}/${database}`
})
after(async () => {
  await Promise.all(opened.map((persist) => persist.close()))
  await Promise.all(proxies.map((proxy) => proxy.close()))
})

function openThrough(connectionString: string): Persist {
  const persist = openPostgres({
    target,
    connection: { connectionString },
    transactionTimeoutMs: 20_000,
    lockTimeoutMs: 10_000,
  })
  // Lanes are connections: those a test leaves open are closed with their process.
  const lanes: { close(): Promise<void> }[] = []
  const whole: Persist = {
    ...persist,
    lane(index) {
      const lane = persist.lane(index)
      lanes.push(lane)
      return lane
    },
    async close() {
      await Promise.all([...lanes.map((lane) => lane.close().catch(() => {})), persist.close()])
    },
  }
  opened.push(whole)
  return whole
}

/** Lanes connect through a proxy that loses the line; where no fate awaits, directly. */
async function postgresWorld(): Promise<PersistWorld> {
  await Promise.all(opened.splice(0).map((persist) => persist.close()))
  await session.query('truncate ledger, rejects, cloud_events')
  const fates: Fate[] = []
  const proxy = await startCommitProxy(url, (): ProxyFate => fates.shift() ?? 'pass')
  proxies.push(proxy)
  return {
    open(given = []) {
      if (given.length === 0) return openThrough(url)
      fates.push(...given)
      return openThrough(Object.assign(new URL(url), { port: String(proxy.port) }).href)
    },
    async rows() {
      const { rows } = await session.query(
        'select kafka_partition, kafka_offset, event_id from cloud_events order by kafka_partition, kafka_offset',
      )
      return rows.map((row) => `${row.kafka_partition}/${row.kafka_offset} ${row.event_id}`)
    },
    async rejects() {
      const { rows } = await session.query(
        'select partition, kafka_offset, code from rejects order by partition, kafka_offset',
      )
      return rows.map((row) => `${row.partition}/${row.kafka_offset} ${row.code}`)
    },
    async ledger() {
      const { rows } = await session.query('select * from ledger where consumer = $1 and topic = $2', [
        target.consumer,
        target.topic,
      ])
      return Object.fromEntries(
        rows.map((row): [number, StoredLedgerRow] => [
          row.partition,
          {
            nextOffset: Number(row.next_offset),
            publishedOffset: row.published_offset === null ? null : Number(row.published_offset),
            streams: row.streams,
            counts: [Number(row.stored), Number(row.rejected), Number(row.duplicated), Number(row.skipped)],
          },
        ]),
      )
    },
    days: () => partitionDays(session, target.table),
    async setLedger(partition, nextOffset) {
      await session.query('update ledger set next_offset = $2 where partition = $1', [partition, nextOffset])
    },
  }
}

persistContract('PostgreSQL', postgresWorld)

// --- the two side by side -----------------------------------------------------------------------------------------------------------------------

/**
 * JSON texts as jsonb writes them. By the database itself, for V8 reads a key of one escaped character as a backslash once it has met an object with
 * a backslash for a key in the same place (nodejs/node#63785, open).
 */
async function canonical(all: readonly (string | null)[]): Promise<(string | null)[]> {
  const { rows } = await session.query(
    'select text::jsonb::text as text from unnest($1::text[]) with ordinality u (text, n) order by n',
    [all],
  )
  return rows.map(({ text }) => text)
}

/** One difference is enough, and a diff of thousands of rows takes a minute. */
function assertSame(ours: readonly object[], theirs: readonly object[]): void {
  for (const [index, one] of ours.entries()) assert.deepEqual(one, theirs[index])
  assert.equal(ours.length, theirs.length)
}

const headers = fc.dictionary(
  fc.constantFrom('content-type', 'ce_specversion', 'ce_id', 'ce_source', 'ce_type', 'ce_x', 'x', 'größe'),
  fc.oneof(
    fc.constantFrom('1.0', 'a', null),
    fc.uint8Array({ maxLength: 4 }).map((all) => Buffer.from(all)),
  ),
  { noNullPrototype: true },
) as fc.Arbitrary<NonNullable<RawRecord['headers']>>
const attributes = fc.record({
  id: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 3 }).map((text) => JSON.stringify(text)),
  subject: texts.cleanString,
  tenantid: texts.cleanString,
  x: fc.oneof(texts.cleanString, fc.constantFrom('1', 'true')),
  data: texts.value,
})
const eventText = attributes.map((more) =>
  texts.objectText([
    ['"specversion"', '"1.0"'],
    ['"source"', '"/s"'],
    ['"type"', '"t"'],
    ...Object.entries(more).map(([name, value]) => [`"${name}"`, value] as const),
  ]),
)
const rawRecord = fc.tuple(
  fc.oneof({ weight: 3, arbitrary: eventText.map((text) => Buffer.from(text)) }, { weight: 1, arbitrary: texts.text }),
  fc.option(fc.uint8Array({ maxLength: 5 }).map((all) => Buffer.from(all))),
  fc.oneof(fc.constant({}), headers),
  fc.oneof(
    { weight: 20, arbitrary: fc.constant(nowMs) },
    { weight: 1, arbitrary: fc.constantFrom(-1, 0, -(2 ** 53), 2 ** 52) },
  ),
)

test('generated records, good and bad: memory stores what PostgreSQL stores, row by row and reject by reject', async () => {
  const database = createMemoryDatabase()
  const memory = memoryWorld(database).open()
  const postgres = (await postgresWorld()).open()
  const lanes = [memory.lane(0), postgres.lane(0)] as const
  for (const one of [memory, postgres]) await one.marks([0, 1], () => 0)
  const never = new AbortController().signal
  for (let round = 0; round < 8; round++) {
    const chunk = (partition: number) => ({
      partition,
      records: fc
        .sample(rawRecord, 250)
        .map(([value, key, headers, timestamp], n) =>
          record(round * 250 + n, value, { key, headers, timestamp: String(timestamp) }),
        ),
    })
    const batch = batchOf(chunk(0), chunk(1))
    const published = batch.slices.map(() => ({ publishedOffset: null, streams: null }))
    const [one, other] = await Promise.all(lanes.map((lane) => lane.persist(batch, published, never)))
    assert.deepEqual(one, other)
  }
  const { rows } = await session.query(
    `select id, (extract(epoch from event_time) * 1000000)::bigint::text as event_time, source, event_id, type, subject, tenant_id, data::text as data,
       extensions::text as extensions, kafka_topic, kafka_partition, kafka_offset::text, floor(extract(epoch from kafka_time) * 1000)::bigint::text as kafka_time,
       data_bytes from cloud_events e order by kafka_partition, e.kafka_offset`,
  )
  const remembered = [...database.rows.values()].sort((a, b) => a.partition - b.partition || a.offset - b.offset)
  assert.ok(remembered.length > 500, `${remembered.length} rows`)
  const datas = await canonical(remembered.map(({ data }) => data))
  const others = await canonical(remembered.map(({ extensions }) => extensions))
  assertSame(
    remembered.map((row, n) => ({
      id: row.id,
      event_time: String(row.eventTimeMicros),
      source: row.source,
      event_id: row.eventId,
      type: row.type,
      subject: row.subject,
      tenant_id: row.tenantId,
      data: datas[n],
      extensions: others[n],
      kafka_topic: row.topic,
      kafka_partition: row.partition,
      kafka_offset: String(row.offset),
      kafka_time: String(Math.floor(row.kafkaTimeMicros / 1000)),
      data_bytes: row.dataBytes && Buffer.from(row.dataBytes),
    })),
    rows,
  )
  const rejects = await session.query(
    `select partition, kafka_offset::text, floor(extract(epoch from kafka_time) * 1000)::bigint::text as kafka_time, key, value, headers, code, reason,
       decoder, event_type, tenant_id, attempts, redrive_of::text from rejects r order by partition, r.kafka_offset`,
  )
  const kept = [...database.rejects.values()].sort((a, b) => a.partition - b.partition || a.offset - b.offset)
  assert.ok(kept.length > 200, `${kept.length} rejects`)
  assertSame(
    kept.map((row) => ({
      partition: row.partition,
      kafka_offset: String(row.offset),
      kafka_time: String(Math.floor(row.kafkaTimeMicros / 1000)),
      key: row.key && Buffer.from(row.key),
      value: row.value && Buffer.from(row.value),
      headers: JSON.parse(row.headers),
      code: row.code,
      reason: row.reason,
      decoder: row.decoder,
      event_type: row.eventType,
      tenant_id: row.tenantId,
      attempts: row.attempts,
      redrive_of: row.redriveOf === null ? null : String(row.redriveOf),
    })),
    rejects.rows,
  )
})
