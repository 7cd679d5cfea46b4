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

/** In the order in which decode/ writes the fields of a row, and of a reject. */
export const columns =
  'id, event_time, source, event_id, type, subject, tenant_id, data, extensions, kafka_topic, kafka_partition, kafka_offset, kafka_time, data_bytes'
export const rejectColumns =
  'consumer, topic, partition, kafka_offset, kafka_time, key, value, headers, code, reason, decoder, event_type, tenant_id, attempts, redrive_of'

const literal = pg.escapeLiteral
const numbers = (values: readonly (number | null)[]) => `'{${values.map((value) => value ?? 'NULL').join(',')}}'`

/** An array literal of JSON texts: quotes and backslashes are escaped once for the array and once for the SQL literal. */
function jsons(values: readonly (object | null)[]): string {
  const elements = values.map((value) =>
    value === null ? 'NULL' : `"${JSON.stringify(value).replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`,
  )
  return literal(`{${elements.join(',')}}`)
}

/** `without`: rows and rejects that are not copied because they are stored already; they count as duplicates. */
export function advance(
  { consumer, topic }: Target,
  slices: readonly Slice[],
  published: readonly Published[],
  without: { readonly rowsOf: readonly number[]; readonly rejectsOf: readonly number[] },
): string {
  const anything = published.some(({ streams }) => streams !== null)
  const rows = slices.map((_, index) => without.rowsOf[index] ?? 0)
  const rejects = slices.map((_, index) => without.rejectsOf[index] ?? 0)
  return `CALL millrace_advance(${[
    literal(consumer),
    literal(topic),
    numbers(slices.map((slice) => slice.partition)),
    numbers(slices.map((slice) => slice.firstOffset)),
    numbers(slices.map((slice) => slice.nextOffset)),
    numbers(slices.map((slice, index) => slice.rows - (rows[index] as number))),
    numbers(slices.map((slice, index) => slice.rejects - (rejects[index] as number))),
    numbers(slices.map((_, index) => (rows[index] as number) + (rejects[index] as number))),
    numbers(slices.map((slice) => slice.skips)),
    numbers(published.map(({ publishedOffset }) => publishedOffset)),
    anything ? jsons(published.map(({ streams }) => streams)) : 'NULL',
  ].join(',')})`
}

export function copyDay({ table }: Target, day: number): string {
  return `COPY ${pg.escapeIdentifier(partitionName(table, day))} (${columns}) FROM STDIN (FORMAT binary)`
}

export const copyRejects = `COPY rejects (${rejectColumns}) FROM STDIN (FORMAT binary)`

/** Which of these keys were stored by which record. */
export function coordinates({ table }: Target): string {
  return `SELECT id::text, kafka_topic, kafka_partition, kafka_offset::text FROM ${pg.escapeIdentifier(table)} WHERE id = ANY ($1::uuid[])`
}

/** Which of these records were rejected before. */
export const rejectsAt = `SELECT r.partition, r.kafka_offset::text FROM unnest($3::int[], $4::bigint[]) AS at (partition, kafka_offset)
  JOIN rejects r ON r.consumer = $1 AND r.topic = $2 AND r.partition = at.partition AND r.kafka_offset = at.kafka_offset`

/** Ends this user's sessions of a name in this database whose transactions should have ended long ago. */
export const endOverdue = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
  WHERE datname = current_database() AND usename = current_user AND starts_with(application_name, $1)
    AND xact_start < clock_timestamp() - $2 * interval '1 millisecond'`
