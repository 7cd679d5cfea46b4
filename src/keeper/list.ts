/** What `millrace partitions list` tells: the catalog's view of each day, and its first and last event. */
import { count } from '../core/count.ts'
import { dayMs, dayText, parseDay } from '../core/day.ts'
import { showBytes } from '../core/settings-kinds.ts'
import { type Partition, readPartitions } from '../schema/partitions.ts'
import type { Session } from '../schema/sql.ts'
import { horizonDays, isSealed } from './plan.ts'

export interface ListedDay {
  readonly day: string
  readonly name: string
  /** kept: retired, and not dropped. */
  readonly state: Partition['state'] | 'kept'
  /** Estimated. */
  readonly rows: number
  /** With indexes. */
  readonly bytes: number
  /** The times of the first and the last event, or null: there is none, or the day is not attached. */
  readonly oldest: string | null
  readonly newest: string | null
  readonly sealed: boolean
  /** The share of its pages that no VACUUM needs to look at again. */
  readonly frozen: number
}

export interface Listed {
  readonly table: string
  readonly horizonDays: number
  readonly rows: number
  readonly bytes: number
  readonly partitions: readonly ListedDay[]
}

export async function listPartitions(session: Session, table: string, nowMs: number): Promise<Listed> {
  const { schema, table: name, partitions } = await readPartitions(session, table)
  const { rows: sizes } = await session.query(
    `select relname as name, greatest(c.reltuples, pg_stat_get_live_tuples(c.oid))::float8 as rows,
       coalesce(pg_total_relation_size(c.oid), 0)::float8 as bytes,
       case when relpages = 0 then 0 else relallfrozen::float8 / relpages end as frozen
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = $1 and c.relkind = 'r' and (c.relname = any ($2) or c.relname ~ ('^' || $3 || '_detached_\\d{4}_\\d\\d_\\d\\d$'))
     order by relname`,
    [schema, partitions.map((one) => one.name), name],
  )
  const size = new Map(sizes.map((one) => [one.name as string, one as { rows: number; bytes: number; frozen: number }]))
  const none = { rows: 0, bytes: 0, frozen: 0 }
  const listed: ListedDay[] = []
  for (const partition of partitions) {
    const { rows, bytes, frozen } = size.get(partition.name) ?? none
    const ends = partition.state === 'attached' ? await endsOf(session, table, partition.day) : nothing
    const { name, state } = partition
    listed.push({ day: dayText(partition.day), name, state, rows, bytes, ...ends, sealed: isSealed(partition), frozen })
  }
  for (const [kept, { rows, bytes, frozen }] of size) {
    const day = parseDay(kept.slice(-10).replaceAll('_', '-'))
    if (day === undefined || partitions.some((one) => one.name === kept)) continue
    listed.push({ day: dayText(day), name: kept, state: 'kept', rows, bytes, ...nothing, sealed: false, frozen })
  }
  const attached = listed.filter(({ state }) => state === 'attached')
  return {
    table: name,
    horizonDays: horizonDays(new Set(attached.map(({ day }) => parseDay(day) as number)), nowMs),
    rows: attached.reduce((sum, { rows }) => sum + rows, 0),
    bytes: attached.reduce((sum, { bytes }) => sum + bytes, 0),
    partitions: listed.sort((a, b) => (a.day < b.day ? -1 : 1)),
  }
}

const nothing = { oldest: null, newest: null }

/** By the key, whose ends lie in the order of time; asked of the whole table, on which whoever may read has the right. */
async function endsOf(session: Session, table: string, day: number) {
  const { rows } = await session.query(
    `select (select uuid_extract_timestamp(id) from ${table} where id >= millrace_id_floor($1) and id < millrace_id_floor($2) order by id limit 1) as oldest,
       (select uuid_extract_timestamp(id) from ${table} where id >= millrace_id_floor($1) and id < millrace_id_floor($2) order by id desc limit 1) as newest`,
    [new Date(day * dayMs), new Date((day + 1) * dayMs)],
  )
  const text = (at: Date | null) => at?.toISOString() ?? null
  return { oldest: text(rows[0].oldest), newest: text(rows[0].newest) }
}

const clock = (time: string | null) => time?.slice(11, 23) ?? '-'

export function size(bytes: number): string {
  const unit = [1024 ** 3, 1024 ** 2, 1024].find((one) => bytes >= one) ?? 1
  return `${(bytes / unit).toFixed(unit === 1 ? 0 : 1)} ${showBytes(unit).replace(/^1/, '') || 'B'}`
}

export function renderList({ table, horizonDays, rows, bytes, partitions }: Listed): string {
  const cells = partitions.map((one) => [
    one.day,
    one.state,
    count(one.rows),
    size(one.bytes),
    clock(one.oldest),
    clock(one.newest),
    one.sealed ? `yes, ${Math.floor(one.frozen * 100)} % frozen` : 'no',
  ])
  const head = ['day', 'state', 'rows', 'size', 'oldest', 'newest', 'sealed']
  const widths = head.map((title, at) => Math.max(title.length, ...cells.map((row) => row[at]!.length)))
  const line = (row: readonly string[]) =>
    `  ${row.map((cell, at) => (at === 2 || at === 3 ? cell.padStart(widths[at]!) : cell.padEnd(widths[at]!))).join('  ')}`.trimEnd()
  const days = horizonDays < 0 ? 'TODAY HAS NO PARTITION' : `${horizonDays} days ahead`
  return `${table}: ${days}; some ${count(rows)} rows, ${size(bytes)} with indexes (times in UTC)\n\n${[head, ...cells].map(line).join('\n')}\n`
}
