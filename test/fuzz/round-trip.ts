/**
 * What decode/ made of a batch goes through PostgreSQL: one COPY of all rows and rejects into tables of the real schema, read back, and compared with
 * what an independent reader of CloudEvents (verify's) sees in the records, and the entries with what the official package reads.
 */
import { CloudEvent } from 'cloudevents'
import type pg from 'pg'
import type { Decoded } from '../../src/core/batch.ts'
import { runCopies } from '../../src/flow/persist/copy-transaction.ts'
import { columns, rejectColumns } from '../../src/flow/persist/sql.ts'
import { readEvent, sameData, sameJson } from '../../src/verify/event.ts'
import type { FuzzRecord } from './records.ts'

export interface Problem {
  /** Index of the record, or -1: the batch as a whole. */
  readonly at: number
  readonly what: string
}

/** The real tables but for their keys, since the same event comes by often; with every index that a day ever gets. */
export async function prepare(client: pg.Client): Promise<void> {
  await client.query(`
    create temp table fuzz_events (like cloud_events including defaults including constraints including identity);
    create index on fuzz_events (id);
    create index on fuzz_events (type, event_time);
    create index on fuzz_events (source, event_id);
    create index on fuzz_events (subject, event_time);
    create index on fuzz_events (tenant_id, event_time);
    create temp table fuzz_rejects (like rejects including defaults including constraints including identity);
    create index on fuzz_rejects (event_type);
    create index on fuzz_rejects (tenant_id)`)
}

/** Offsets are indices of `records`. */
export async function roundTrip(client: pg.Client, batch: Decoded, records: readonly FuzzRecord[]): Promise<Problem[]> {
  const problems: Problem[] = []
  const { copies, rejects } = batch
  const statements = copies.map(() => `COPY fuzz_events (${columns}) FROM STDIN (FORMAT binary);`)
  if (rejects.count > 0) statements.push(`COPY fuzz_rejects (${rejectColumns}) FROM STDIN (FORMAT binary);`)
  const buffers = [...copies.map(({ bytes }) => bytes), ...(rejects.count > 0 ? [rejects.bytes] : [])]
  try {
    await runCopies(client, `BEGIN;TRUNCATE fuzz_events, fuzz_rejects;${statements.join('')}COMMIT`, buffers)
  } catch (error) {
    await client.query('ROLLBACK')
    const { code = '', message, where = '' } = error as pg.DatabaseError
    return [{ at: -1, what: `COPY failed: ${code} ${message} (${String(where).slice(0, 200)})` }]
  }
  const stored = await client.query(
    `select kafka_offset::int as at, floor(extract(epoch from event_time) * 1000)::float8 as ms, source, event_id, type, subject, tenant_id,
       data::text, extensions::text, data_bytes, id = millrace_event_id(event_time, source, event_id) as id_holds from fuzz_events`,
  )
  const rejected = await client.query(
    'select kafka_offset::int as at, key, value, headers, code, reason from fuzz_rejects',
  )
  if (stored.rowCount !== batch.rows.count)
    problems.push({ at: -1, what: `${stored.rowCount} of ${batch.rows.count} rows are there` })
  if (rejected.rowCount !== rejects.count)
    problems.push({ at: -1, what: `${rejected.rowCount} of ${rejects.count} rejects are there` })
  const entries = new Map<number, string>()
  for (let row = 0; row < batch.rows.count; row++) {
    const { offset, entryStart, entryEnd } = batch.rows
    entries.set(offset[row] as number, Buffer.from(batch.entryBytes).toString('utf8', entryStart[row], entryEnd[row]))
  }
  for (const row of stored.rows) {
    const what = rowProblem(row, records[row.at] as FuzzRecord, entries.get(row.at) as string)
    if (what !== null) problems.push({ at: row.at, what })
  }
  for (const row of rejected.rows) {
    const what = rejectProblem(row, records[row.at] as FuzzRecord)
    if (what !== null) problems.push({ at: row.at, what })
  }
  return problems
}

/** A key that is one escaped character: V8's JSON.parse may take it for a backslash (nodejs/node#63785). */
const misread = /"\\(?:[^u]|u[0-9a-f]{4})"\s*:/i

// biome-ignore lint/suspicious/noExplicitAny: a row as the driver has it
function rowProblem(row: any, { value, headers, timestamp }: FuzzRecord, entry: string): string | null {
  const event = readEvent(value, headers as never, Number(timestamp))
  if (event === null) return 'stored, but to another reader it is no event'
  const own = [event.source, event.id, event.type, event.subject, event.tenant, event.timeMs]
  const found = [row.source, row.event_id, row.type, row.subject, row.tenant_id, row.ms]
  if (!sameJson(own, found)) return `stored as ${JSON.stringify(found)}, it is ${JSON.stringify(own)}`
  if (!row.id_holds) return 'PostgreSQL computes another key'
  if (!sameJson(JSON.parse(row.extensions ?? '{}'), event.extensions)) return `extensions are ${row.extensions}`
  if (row.data_bytes !== null) {
    if (row.data !== null || event.bytes?.equals(row.data_bytes) !== true) return 'data_bytes are not the bytes given'
  } else if (row.data === null) {
    if (event.data !== undefined || event.bytes !== null) return 'data is missing'
  } else if (!sameJson(JSON.parse(row.data), event.data)) {
    return misread.test(String(value)) ? null : `data is ${row.data.slice(0, 200)}`
  }
  const published = readEvent(Buffer.from(entry), { 'content-type': 'application/cloudevents+json' }, Number(timestamp))
  if (published === null || published.id !== event.id || !sameData(published, event))
    return 'the entry is another event'
  return packageProblem(entry, event)
}

/** The package validates nothing here; it is asked what it reads. It has opinions about extensions of its own methods' names. */
function packageProblem(
  entry: string,
  { id, source, type, subject }: NonNullable<ReturnType<typeof readEvent>>,
): string | null {
  const attributes = JSON.parse(entry)
  for (const name of ['constructor', 'validate', 'emit']) delete attributes[name]
  // An empty one is absent to it.
  const read = new CloudEvent(attributes, false)
  const same = read.id === id && read.source === source && read.type === type && (read.subject ?? null) === subject
  return same ? null : `the package reads (${read.source}, ${read.id}, ${read.type}, ${read.subject}) from the entry`
}

// biome-ignore lint/suspicious/noExplicitAny: a row as the driver has it
function rejectProblem(row: any, { value, headers, key = null }: FuzzRecord): string | null {
  if (value === null ? row.value !== null : !value.equals(row.value ?? Buffer.of(1)))
    return 'the reject has another value'
  if (key === null ? row.key !== null : !key.equals(row.key)) return 'the reject has another key'
  const given = Object.entries(headers).flatMap(([name, one]) =>
    (Array.isArray(one) ? one : [one]).map((text) => [
      name.replaceAll('\0', '\ufffd'),
      text == null ? null : Buffer.from(text).toString('base64'),
    ]),
  )
  return sameJson(row.headers, given) ? null : 'the reject has other headers'
}
