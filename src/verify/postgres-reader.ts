/**
 * What PostgreSQL holds, as of one moment: ledger, rows and rejects are read in a single REPEATABLE READ transaction, so that a fleet at work may
 * go on and the three still agree. Rows and rejects come by cursor in the order of their coordinates.
 *
 * The hot day has no index on coordinates (it costs COPY too much), so the order is a sort: expect temporary files of the size of the keys.
 */
import pg from 'pg'
import { createFeed, type Feed } from '../records/feed.ts'

export interface VerifyTarget {
  readonly consumer: string
  readonly topic: string
  readonly table: string
}

export interface LedgerCounts {
  readonly partition: number
  readonly startOffset: number
  readonly nextOffset: number
  readonly publishedOffset: number | null
  readonly families: readonly string[]
  readonly stored: number
  readonly rejected: number
  readonly duplicated: number
  readonly skipped: number
  /** Offsets that an operator left out: [from, to). */
  readonly passedOver: readonly (readonly [from: number, to: number])[]
  /** Below it records were read, and counted, more than once. */
  readonly repeatedBelow: number
}

export interface StoredRow {
  readonly partition: number
  readonly offset: number
  readonly id: string
  readonly source: string
  readonly eventId: string
  /** Of rows in the sample: everything else that the row says. */
  readonly sample: RowSample | null
}

export interface RowSample {
  readonly type: string
  readonly subject: string | null
  readonly tenant: string | null
  readonly eventMs: number
  readonly kafkaMs: number
  readonly data: unknown
  readonly dataBytes: Buffer | null
  readonly extensions: unknown
  /** id = millrace_event_id(event_time, source, event_id), computed by PostgreSQL. */
  readonly idHolds: boolean
}

export interface StoredReject {
  readonly partition: number
  readonly offset: number
  readonly code: string
}

export interface EventKey {
  readonly id: string
  readonly source: string
  readonly eventId: string
}

export interface From {
  readonly partition: number
  readonly from: number
}

const rowsPerFetch = 4000

export async function readLedger(client: pg.Client, { consumer, topic }: VerifyTarget): Promise<LedgerCounts[]> {
  const { rows } = await client.query(
    `SELECT partition, start_offset::text, next_offset::text, published_offset::text, streams,
       stored::text, rejected::text, duplicated::text, skipped::text, coalesce(repeated_below, 0)::text AS repeated_below,
       ARRAY (SELECT ARRAY [lower(one), upper(one)]::text[] FROM unnest(passed_over) AS one) AS passed
     FROM ledger WHERE consumer = $1 AND topic = $2 ORDER BY partition`,
    [consumer, topic],
  )
  return rows.map((row) => ({
    partition: row.partition,
    startOffset: Number(row.start_offset),
    nextOffset: Number(row.next_offset),
    publishedOffset: row.published_offset === null ? null : Number(row.published_offset),
    families: Object.keys(row.streams),
    stored: Number(row.stored),
    rejected: Number(row.rejected),
    duplicated: Number(row.duplicated),
    skipped: Number(row.skipped),
    passedOver: (row.passed as [string, string][]).map(([from, to]) => [Number(from), Number(to)] as const),
    repeatedBelow: Number(row.repeated_below),
  }))
}

export async function beginSnapshot(client: pg.Client): Promise<void> {
  // A cursor is planned for its first tenth by default; all of it will be read.
  await client.query(`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
    SET LOCAL cursor_tuple_fraction = 1; SET LOCAL work_mem = '64MB'; SET LOCAL jit = off;
    SET LOCAL statement_timeout = 0; SET LOCAL transaction_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0`)
}

/** Rows from these offsets on, and all rows of partitions that are not named, which may have none. */
export async function readRows(
  client: pg.Client,
  { topic, table }: VerifyTarget,
  froms: readonly From[],
  sampleEvery: number,
): Promise<Feed<StoredRow>> {
  const sql = `SELECT e.kafka_partition, e.kafka_offset::text, e.id::text, e.source, e.event_id,
      CASE WHEN e.kafka_offset % ${sampleEvery} = 0 THEN jsonb_build_array(e.type, e.subject, e.tenant_id,
        floor(extract(epoch from e.event_time) * 1000), floor(extract(epoch from e.kafka_time) * 1000), e.data, e.extensions,
        e.id = millrace_event_id(e.event_time, e.source, e.event_id), encode(e.data_bytes, 'hex'))::text END
    FROM ${pg.escapeIdentifier(table)} e ${joinFroms(froms, 'e.kafka_partition')}
    WHERE e.kafka_topic = ${pg.escapeLiteral(topic)} AND (f.starts IS NULL OR e.kafka_offset >= f.starts)
    ORDER BY e.kafka_partition, e.kafka_offset, e.id`
  return readCursor(client, 'verify_rows', sql, (row): StoredRow => {
    const [partition, offset, id, source, eventId, sample] = row as [
      number,
      string,
      string,
      string,
      string,
      string | null,
    ]
    return { partition, offset: Number(offset), id, source, eventId, sample: sample === null ? null : sampleOf(sample) }
  })
}

function sampleOf(json: string): RowSample {
  const [type, subject, tenant, eventMs, kafkaMs, data, extensions, idHolds, hex] = JSON.parse(json)
  const dataBytes = hex === null ? null : Buffer.from(hex, 'hex')
  return { type, subject, tenant, eventMs, kafkaMs, data, dataBytes, extensions, idHolds }
}

export async function readRejects(
  client: pg.Client,
  { consumer, topic }: VerifyTarget,
  froms: readonly From[],
): Promise<Feed<StoredReject>> {
  const sql = `SELECT r.partition, r.kafka_offset::text, r.code FROM rejects r ${joinFroms(froms, 'r.partition')}
    WHERE r.consumer = ${pg.escapeLiteral(consumer)} AND r.topic = ${pg.escapeLiteral(topic)}
      AND (f.starts IS NULL OR r.kafka_offset >= f.starts)
    ORDER BY r.partition, r.kafka_offset`
  return readCursor(client, 'verify_rejects', sql, (row): StoredReject => {
    const [partition, offset, code] = row as [number, string, string]
    return { partition, offset: Number(offset), code }
  })
}

function joinFroms(froms: readonly From[], on: string): string {
  const list = (of: (from: From) => number) => `'{${froms.map(of).join(',')}}'`
  return `LEFT JOIN unnest(${list(({ partition }) => partition)}::int[], ${list(({ from }) => from)}::bigint[])
    AS f (part, starts) ON f.part = ${on}`
}

async function readCursor<T>(
  client: pg.Client,
  name: string,
  sql: string,
  make: (row: unknown[]) => T,
): Promise<Feed<T>> {
  await client.query(`DECLARE ${name} NO SCROLL CURSOR FOR ${sql}`)
  let last = false
  return createFeed(async () => {
    if (last) return null
    const { rows } = await client.query({ text: `FETCH ${rowsPerFetch} FROM ${name}`, rowMode: 'array' })
    last = rows.length < rowsPerFetch
    return (rows as unknown[][]).map(make)
  })
}

/** Rows and rejects of [start_offset, from): what Kafka no longer holds is counted, not compared. */
export async function countBefore(
  client: pg.Client,
  { consumer, topic, table }: VerifyTarget,
  froms: readonly (From & { readonly start: number })[],
): Promise<Map<number, { rows: number; rejects: number }>> {
  const counts = new Map<number, { rows: number; rejects: number }>()
  const before = froms.filter(({ start, from }) => from > start)
  if (before.length === 0) return counts
  const starts = `unnest('{${before.map(({ partition }) => partition)}}'::int[], '{${before.map(({ start }) => start)}}'::bigint[],
    '{${before.map(({ from }) => from)}}'::bigint[]) AS f (part, starts, ends)`
  const count = async (relation: string, partition: string, where: string) => {
    const { rows } = await client.query(
      `SELECT f.part, count(*)::text AS count FROM ${relation} e JOIN ${starts} ON f.part = e.${partition}
       WHERE e.kafka_offset >= f.starts AND e.kafka_offset < f.ends AND ${where} GROUP BY f.part`,
    )
    return new Map(rows.map((row) => [row.part as number, Number(row.count)]))
  }
  const rows = await count(pg.escapeIdentifier(table), 'kafka_partition', `e.kafka_topic = ${pg.escapeLiteral(topic)}`)
  const rejects = await count(
    'rejects',
    'partition',
    `e.consumer = ${pg.escapeLiteral(consumer)} AND e.topic = ${pg.escapeLiteral(topic)}`,
  )
  for (const { partition } of before) {
    counts.set(partition, { rows: rows.get(partition) ?? 0, rejects: rejects.get(partition) ?? 0 })
  }
  return counts
}

/** Where each of these events is stored, by id; undefined for the ones that have no row. */
export async function findRows(
  client: pg.Client,
  { table }: VerifyTarget,
  keys: readonly EventKey[],
): Promise<Map<string, EventKey & { readonly where: string }>> {
  const { rows } = await client.query(
    `SELECT id::text, source, event_id, kafka_topic, kafka_partition, kafka_offset::text
     FROM ${pg.escapeIdentifier(table)} WHERE id = ANY ($1::uuid[])`,
    [[...new Set(keys.map(({ id }) => id))]],
  )
  return new Map(
    rows.map((row) => [
      row.id as string,
      {
        id: row.id,
        source: row.source,
        eventId: row.event_id,
        where: `${row.kafka_topic}/${row.kafka_partition}/${row.kafka_offset}`,
      },
    ]),
  )
}

export interface Twice {
  readonly source: string
  readonly eventId: string
  /** Distinct coordinates. */
  readonly records: readonly string[]
}

/** Events with rows from more than one record, at least one of them of this topic. Rows of one record are told apart by their coordinates elsewhere. */
export async function findTwice(client: pg.Client, { topic, table }: VerifyTarget): Promise<Twice[]> {
  const name = pg.escapeIdentifier(table)
  // Two steps: telling coordinates apart for every event would turn a hash into a sort, and there is hardly ever a second step.
  const { rows: twice } = await client.query(
    `SELECT source, event_id FROM ${name} GROUP BY source, event_id HAVING count(*) > 1 LIMIT 100000`,
  )
  if (twice.length === 0) return []
  const { rows } = await client.query(
    `SELECT e.source, e.event_id, array_agg(DISTINCT e.kafka_topic || '/' || e.kafka_partition || '/' || e.kafka_offset) AS records
     FROM ${name} e JOIN unnest($1::text[], $2::text[]) AS t (source, event_id)
       ON t.source = e.source AND t.event_id = e.event_id
     GROUP BY e.source, e.event_id HAVING bool_or(e.kafka_topic = $3)`,
    [twice.map((row) => row.source), twice.map((row) => row.event_id), topic],
  )
  return rows
    .map((row): Twice => ({ source: row.source, eventId: row.event_id, records: row.records }))
    .filter(({ records }) => records.length > 1)
}
