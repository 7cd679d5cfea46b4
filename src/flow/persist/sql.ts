/** The SQL of persist/, as text: one message per batch. Values are inlined as literals, since a simple query takes no parameters. */
import pg from 'pg'
import type { Slice } from '../../core/batch.ts'
import { partitionName } from '../../core/day.ts'
import type { Published } from './port.ts'

export interface Target {
  readonly consumer: string
  readonly topic: string
  readonly table: string
}

const columns =
  'id, event_time, source, event_id, type, subject, tenant_id, data, extensions, kafka_topic, kafka_partition, kafka_offset, kafka_time'
const rejectColumns = 'consumer, topic, partition, kafka_offset, kafka_time, key, value, headers, code, reason, decoder'

const literal = pg.escapeLiteral
const numbers = (values: readonly (number | null)[]) => `'{${values.map((value) => value ?? 'NULL').join(',')}}'`

/** An array literal of JSON texts: quotes and backslashes are escaped once for the array and once for the SQL literal. */
function jsons(values: readonly (object | null)[]): string {
  const elements = values.map((value) =>
    value === null ? 'NULL' : `"${JSON.stringify(value).replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`,
  )
  return literal(`{${elements.join(',')}}`)
}

/** `counted` false: which rows are duplicates is not known yet, millrace_count adds the numbers later. */
export function advance(
  { consumer, topic }: Target,
  slices: readonly Slice[],
  published: readonly Published[],
  counted: boolean,
): string {
  const anything = published.some(({ streams }) => streams !== null)
  const zeros = slices.map(() => 0)
  return `CALL millrace_advance(${[
    literal(consumer),
    literal(topic),
    numbers(slices.map((slice) => slice.partition)),
    numbers(slices.map((slice) => slice.firstOffset)),
    numbers(slices.map((slice) => slice.nextOffset)),
    numbers(counted ? slices.map((slice) => slice.rows) : zeros),
    numbers(slices.map((slice) => slice.rejects)),
    numbers(zeros),
    numbers(slices.map((slice) => slice.skips)),
    numbers(published.map(({ publishedOffset }) => publishedOffset)),
    anything ? jsons(published.map(({ streams }) => streams)) : 'NULL',
  ].join(',')})`
}

export function copyDay({ table }: Target, day: number): string {
  return `COPY ${pg.escapeIdentifier(partitionName(table, day))} (${columns}) FROM STDIN (FORMAT binary)`
}

export const copyRejects = `COPY rejects (${rejectColumns}) FROM STDIN (FORMAT binary)`

/** The staging tables of the slow path: no key, so any duplicate gets in; emptied by every commit. */
export function createStaging({ table }: Target): string {
  return `CREATE TEMP TABLE IF NOT EXISTS staged_events (LIKE ${pg.escapeIdentifier(table)} INCLUDING DEFAULTS) ON COMMIT DELETE ROWS;
    CREATE TEMP TABLE IF NOT EXISTS staged_rejects ON COMMIT DELETE ROWS AS SELECT ${rejectColumns} FROM rejects WITH NO DATA`
}

export const copyStagedEvents = `COPY staged_events (${columns}) FROM STDIN (FORMAT binary)`
export const copyStagedRejects = `COPY staged_rejects (${rejectColumns}) FROM STDIN (FORMAT binary)`

/** Inserts what is new, in record order, and answers the coordinates of what was not. */
export function insertStaged({ table }: Target): string {
  return `WITH inserted AS (
      INSERT INTO ${pg.escapeIdentifier(table)} (${columns})
      SELECT ${columns} FROM staged_events ORDER BY kafka_partition, kafka_offset
      ON CONFLICT (id) DO NOTHING RETURNING kafka_partition, kafka_offset
    ), rejected AS (
      INSERT INTO rejects (${rejectColumns}) SELECT ${rejectColumns} FROM staged_rejects
      ON CONFLICT (consumer, topic, partition, kafka_offset) DO NOTHING
    )
    SELECT staged.kafka_partition, staged.kafka_offset::text FROM staged_events staged
    LEFT JOIN inserted USING (kafka_partition, kafka_offset) WHERE inserted.kafka_offset IS NULL`
}

export function count({ consumer, topic }: Target, slices: readonly Slice[], duplicates: readonly number[]): string {
  return `CALL millrace_count(${[
    literal(consumer),
    literal(topic),
    numbers(slices.map((slice) => slice.partition)),
    numbers(slices.map((slice, index) => slice.rows - (duplicates[index] ?? 0))),
    numbers(duplicates),
  ].join(',')})`
}

/** Which of these keys were stored by which record. */
export function coordinates({ table }: Target): string {
  return `SELECT id::text, kafka_topic, kafka_partition, kafka_offset::text FROM ${pg.escapeIdentifier(table)} WHERE id = ANY ($1::uuid[])`
}

/** Ends this user's sessions of a name in this database whose transactions should have ended long ago. */
export const endOverdue = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
  WHERE datname = current_database() AND usename = current_user AND starts_with(application_name, $1)
    AND xact_start < clock_timestamp() - $2 * interval '1 millisecond'`
