/**
 * A shadow table, shaped like the consumer's own, exactly once: the rows and the position behind them are one transaction, in the session that holds the
 * replay's lock. An event that came twice from Kafka is one row, as it is in the table that the fleet writes.
 */
import type pg from 'pg'
import { FatalError } from '../core/errors.ts'
import { quoted, sqlState, transaction } from '../schema/sql.ts'
import type { ReplayEvent } from './entry.ts'
import { saveSql } from './store.ts'
import type { ReplayTarget } from './target.ts'

export interface TableTargetOptions {
  readonly session: pg.Client
  readonly replayId: string
  readonly table: string
  /** The consumer's. */
  readonly like: string
  readonly topic: string
  readonly isNew: boolean
}

const own = '{specversion,id,source,type,subject,time,tenantid,data,data_base64}'

/** The time of the record is not part of an event: the event's own stands in its place. */
const insertSql = (table: string) => `
  INSERT INTO ${quoted(table)} (id, event_time, source, event_id, type, subject, tenant_id, data, data_bytes, extensions,
    kafka_topic, kafka_partition, kafka_offset, kafka_time)
  SELECT millrace_event_id(t, e ->> 'source', e ->> 'id'), t, e ->> 'source', e ->> 'id', e ->> 'type', e ->> 'subject', e ->> 'tenantid',
    e -> 'data', decode(e ->> 'data_base64', 'base64'), nullif(e - '${own}'::text[], '{}'), $2, p.partition, p.kafka_offset, t
  FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS j (e, at)
    JOIN unnest($3::int[], $4::bigint[]) WITH ORDINALITY AS p (partition, kafka_offset, at) USING (at)
    CROSS JOIN LATERAL (SELECT (e ->> 'time')::timestamptz) AS times (t)
  ON CONFLICT DO NOTHING`

export async function openTableTarget(options: TableTargetOptions): Promise<ReplayTarget> {
  const { session, replayId, table, like, topic, isNew } = options
  const insert = insertSql(table)
  const { rows: present } = await session.query('SELECT to_regclass($1) IS NOT NULL AS present', [quoted(table)])
  const made = isNew && !present[0].present
  try {
    if (made) await session.query(`CREATE TABLE ${quoted(table)} (LIKE ${quoted(like)} INCLUDING ALL)`)
    const { rows } = await session.query(`SELECT FROM ${quoted(table)} LIMIT 1`)
    if (isNew && rows.length > 0) {
      throw new FatalError('REPLAY_TARGET', `The table ${table} has rows already.`, 'Name another one, or empty it.')
    }
  } catch (error) {
    throw tableFailure(error, table)
  }
  return {
    rewinds: true,
    after: async () => undefined,
    async write(events, saved) {
      try {
        await transaction(session, async () => {
          await session.query(insert, [
            arrayOf(events),
            topic,
            events.map(({ partition }) => partition),
            events.map(({ offset }) => offset),
          ])
          await session.query(saveSql, [replayId, JSON.stringify({ ...saved, target: null })])
        })
      } catch (error) {
        throw tableFailure(error, table)
      }
    },
    settle: async () => null,
    finish: async () => {},
    // Rows stay, as entries and records do, for somebody may use them already; a table that holds nothing is of no use to anybody.
    async discard() {
      if (!made) return
      const { rows } = await session.query(`SELECT FROM ${quoted(table)} LIMIT 1`)
      if (rows.length === 0) await session.query(`DROP TABLE ${quoted(table)}`)
    },
    close: async () => {},
  }
}

function arrayOf(events: readonly ReplayEvent[]): string {
  return `[${events.map(({ entry }) => entry.toString('utf8')).join(',')}]`
}

function tableFailure(error: unknown, table: string): unknown {
  const { message } = error as Error
  switch (sqlState(error)) {
    case '42501': // insufficient_privilege
      return new FatalError(
        'POSTGRES_DENIED',
        `The user may not write to the table ${table}: ${message}.`,
        `Let the owner make it, CREATE TABLE ${table} (LIKE ... INCLUDING ALL), and grant select and insert on it.`,
        error,
      )
    case '53100': // disk_full
      return new FatalError(
        'POSTGRES_FULL',
        `PostgreSQL has no room for more of ${table}; what it holds is whole.`,
        'Make room, then go on with the replay.',
        error,
      )
    case '42703': // undefined_column
    case '42P10': // invalid_column_reference
    case '42P01': // undefined_table
    case '42809': // wrong_object_type
      return new FatalError(
        'REPLAY_TARGET',
        `${table} is not shaped like the table of the events: ${message}.`,
        'Name a table that is not there yet; it is made.',
        error,
      )
    default:
      return error
  }
}
