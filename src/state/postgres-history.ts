/**
 * The past as PostgreSQL has it. A sealed day has an index on (subject, event_time): a subject's events are found by it, and counted in it without a look at
 * the rows. A day that is not sealed has none, for COPY would pay for it, and is read from end to end (docs/state.md); between two times by the key at best.
 *
 * Everything is asked in one REPEATABLE READ transaction, so what is counted and what is folded are the same rows.
 */
import type { Json } from '../core/json.ts'
import { quoted, type Session } from '../schema/sql.ts'
import type { Counts, History, HistoryDay, Snapshot, SnapshotQuery, Span, StoredEvent } from './history.ts'
import type { Instant } from './instant.ts'

const rowsPerFetch = 2000

const text = (column: string) => `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`

/** `write`: a snapshot may be kept in the same transaction. */
export async function withHistory<T>(
  session: Session,
  table: string,
  work: (history: History) => Promise<T>,
  { write = false } = {},
): Promise<T> {
  await session.query(`begin isolation level repeatable read ${write ? '' : 'read only'}`)
  try {
    // A cursor is planned for its first tenth by default; all of it will be read.
    await session.query("set local cursor_tuple_fraction = 1; set local jit = off; set local datestyle = 'ISO'")
    const result = await work(postgresHistory(session, table))
    await session.query('commit')
    return result
  } catch (error) {
    await session.query('rollback').catch(() => {})
    throw error
  }
}

/** In a transaction. */
function postgresHistory(session: Session, table: string): History {
  const events = quoted(table)
  let cursors = 0
  return {
    async days() {
      const { rows } = await session.query(
        `select replace(right(c.relname, 10), '_', '-') as day, greatest(c.reltuples, pg_stat_get_live_tuples(c.oid), 0)::float8 as rows,
           exists (select from pg_index i join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0]
             where i.indrelid = c.oid and i.indisvalid and a.attname = 'subject') as indexed
         from pg_inherits h join pg_class c on c.oid = h.inhrelid
         where h.inhparent = $1::regclass and not h.inhdetachpending and c.relname ~ '_\\d{4}_\\d\\d_\\d\\d$'
         order by 1`,
        [events],
      )
      return rows as HistoryDay[]
    },

    async counts(subject, to) {
      const { rows } = await session.query(
        `select to_char(event_time at time zone 'UTC', 'YYYY-MM-DD') as day, count(*)::int as events
         from ${events} where subject = $1 and event_time <= $2::timestamptz group by 1`,
        [subject, to],
      )
      return Object.fromEntries(rows.map((row) => [row.day, row.events])) as Counts
    },

    async *events(span) {
      const { where, values } = condition(span)
      const columns = `id::text as key, ${text('event_time')} as time, source, event_id as id, type, coalesce(subject, '') as subject, tenant_id as tenant,
        data, replace(encode(data_bytes, 'base64'), E'\\n', '') as "dataBase64", coalesce(extensions, '{}') as extensions,
        ${text('ingested_at')} as stored, kafka_topic || '/' || kafka_partition || '@' || kafka_offset as place`
      // A subject's events are few, and sorted. Those of all come in the order of the key, which is there already, and only within a millisecond is it not theirs.
      // With the table's name: a bare id would be the column of that name in the answer, which is the event's.
      const order = span.subject === undefined ? 'e.id' : 'e.event_time, e.id'
      const query = `select ${columns} from ${events} e where ${where} order by ${order}`
      if (span.limit !== undefined) {
        for (let limit = span.limit; ; limit *= 4) {
          const { rows } = await session.query(`${query} limit ${limit}`, values)
          const isAll = rows.length < limit
          const { ready } = byTime([], rows.map(storedEvent), isAll || span.subject !== undefined)
          if (ready.length > 0) yield ready
          if (ready.length > 0 || isAll) return
        }
      }
      const name = `state_events_${cursors++}`
      await session.query(`declare ${name} no scroll cursor for ${query}`, values)
      try {
        for (let held: readonly StoredEvent[] = [], isLast = false; !isLast; ) {
          const { rows } = await session.query(`fetch ${rowsPerFetch} from ${name}`)
          isLast = rows.length < rowsPerFetch
          const page = byTime(held, rows.map(storedEvent), isLast || span.subject !== undefined)
          held = page.held
          if (page.ready.length > 0) yield page.ready
        }
      } finally {
        // In a transaction that failed it is gone already.
        await session.query(`close ${name}`).catch(() => {})
      }
    },

    async firstAfter(subject, time) {
      const { rows } = await session.query(
        `select ${text('min(event_time)')} as first from ${events} where subject = $1 and event_time > $2::timestamptz`,
        [subject, time],
      )
      return rows[0].first as Instant | null
    },

    async snapshots({ reducer, hash, subject, to, limit }: SnapshotQuery) {
      const { rows } = await session.query(
        `select reducer, hash, subject, ${text('at')} as at, ${text('first_time')} as first, events::float8 as events, counts,
           ${text('made_at')} as "madeAt", made_by as "madeBy"
         from state_snapshots
         where events_table = $1 and ($2::text is null or reducer = $2) and ($3::text is null or hash = $3)
           and ($4::text is null or subject = $4) and ($5::timestamptz is null or state_snapshots.at <= $5)
         order by state_snapshots.at desc, reducer, subject, hash limit $6`,
        [table, reducer ?? null, hash ?? null, subject ?? null, to ?? null, limit],
      )
      return rows as Snapshot[]
    },

    async stateOf({ reducer, hash, subject, at }) {
      const { rows } = await session.query(
        `select state from state_snapshots where events_table = $1 and reducer = $2 and hash = $3 and subject = $4 and at = $5::timestamptz`,
        [table, reducer, hash, subject, at],
      )
      return rows[0].state as Json
    },
  }
}

const storedEvent = ({ stored, place, ...event }: StoredEvent['event'] & Omit<StoredEvent, 'event'>): StoredEvent => ({
  event,
  stored,
  place,
})

/** The time part of a key: events of one millisecond lie together, in the order of a hash. */
const millisecond = ({ event }: StoredEvent) => event.key.slice(0, 13)

/** From the order of the key to that of time, then key. The last millisecond may not be complete, unless nothing comes behind it. */
export function byTime(held: readonly StoredEvent[], rows: readonly StoredEvent[], isLast: boolean) {
  const all = [...held, ...rows]
  const last = all.at(-1)
  const cut = isLast || last === undefined ? all.length : all.findIndex((one) => millisecond(one) === millisecond(last))
  const ready = all.slice(0, cut).sort((a, b) => {
    const [x, y] = [a.event, b.event]
    return x.time < y.time ? -1 : x.time > y.time ? 1 : x.key < y.key ? -1 : 1
  })
  return { ready, held: all.slice(cut) }
}

/** Bounds of the key beside those of the time: the days they exclude are not even planned, and a day without an index is read by the key where that is less. */
function condition({ subject, types, after, to, known }: Span): { where: string; values: unknown[] } {
  const values: unknown[] = []
  const value = (one: unknown) => `$${values.push(one)}`
  const parts: string[] = []
  if (subject !== undefined) parts.push(`subject = ${value(subject)}`)
  if (types !== undefined) parts.push(`type = any (${value(types)}::text[])`)
  const bound = ({ time, key }: { time: Instant; key?: string }, way: '>' | '<') => {
    const at = `${value(time)}::timestamptz`
    if (key === undefined) return `event_time ${way === '<' ? '<=' : '>'} ${at}`
    return `event_time ${way}= ${at} and (event_time ${way} ${at} or id ${way === '<' ? '<=' : '>'} ${value(key)}::uuid)`
  }
  if (after !== null) {
    parts.push(bound(after, '>'), `id >= millrace_id_floor(${value(after.time)}::timestamptz)`)
  }
  parts.push(bound(to, '<'), `id < millrace_id_floor(${value(to.time)}::timestamptz + interval '1 ms')`)
  if (known !== undefined) parts.push(`ingested_at <= ${value(known)}::timestamptz`)
  return { where: parts.join(' and '), values }
}
