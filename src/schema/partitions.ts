/**
 * Partitions of days, made ahead or on demand, by any number of processes at once, while others read and COPY.
 *
 * Each partition is one short transaction: made alone, then attached (millrace_make_partition in migrations/). What it
 * waits for is bounded, because whoever queues behind a waiting ATTACH would wait too: after `lockTimeoutMs` it lets go
 * and comes back. There is no default partition: attaching beside one would scan it under an exclusive lock.
 *
 * Not to be called inside a transaction.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { dayText, parseDay, partitionName } from '../core/day.ts'
import { FatalError, TransientError } from '../core/errors.ts'
import { type Session, sqlState, transaction } from './sql.ts'

export interface EnsureOptions {
  signal: AbortSignal
  lockTimeoutMs?: number
  attempts?: number
}

/** Makes the partitions that `table` lacks among `days`, and returns the days this very call made. */
export async function ensurePartitions(
  session: Session,
  table: string,
  days: readonly number[],
  options: EnsureOptions,
): Promise<number[]> {
  const present = new Set(await partitionDays(session, table))
  const missing = [...new Set(days)].filter((day) => !present.has(day)).sort((a, b) => a - b)
  const made: number[] = []
  for (const day of missing) {
    if (await makePatiently(session, table, day, options)) made.push(day)
  }
  return made
}

/** The days `table` has partitions for, ascending. Reads the catalog only. */
export async function partitionDays(session: Session, table: string): Promise<number[]> {
  const { partitions } = await readPartitions(session, table)
  return partitions.filter(({ state }) => state === 'attached').map(({ day }) => day)
}

export interface PartitionIndex {
  readonly name: string
  readonly valid: boolean
  /** Its comment. */
  readonly note: string | null
}

export interface Partition {
  readonly day: number
  /** Bare, as in the catalog. */
  readonly name: string
  /** pending: a DETACH ... CONCURRENTLY was begun and has not ended. detached: a table with the name of a day. */
  readonly state: 'attached' | 'pending' | 'detached'
  /** The table's comment. */
  readonly note: string | null
  readonly indexes: readonly PartitionIndex[]
}

export interface Partitions {
  /** The table's name and its schema's, bare. */
  readonly table: string
  readonly schema: string
  readonly owner: string
  /** This user may do what only the owner may: detach, drop, make indexes. */
  readonly owned: boolean
  /** The server's clock. */
  readonly serverMs: number
  /** By day. */
  readonly partitions: readonly Partition[]
}

/** Every table that has the name of a day of `table`, attached or not. Reads the catalog only, and locks nothing. */
export async function readPartitions(session: Session, table: string): Promise<Partitions> {
  const { rows } = await session.query(
    `with parent as (
       select c.oid, c.relname, c.relnamespace, n.nspname, c.relowner::regrole::text as owner,
         pg_has_role(c.relowner, 'USAGE') as owned
       from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = $1::regclass
     ), child as (
       select c.oid, c.relname, replace(right(c.relname, 10), '_', '-') as day,
         case when i.inhparent is null then 'detached' when i.inhdetachpending then 'pending' else 'attached' end as state
       from parent join pg_class c on c.relnamespace = parent.relnamespace and c.relkind = 'r'
       left join pg_inherits i on i.inhrelid = c.oid
       where c.relname ~ '_\\d{4}_\\d\\d_\\d\\d$' and c.relname = parent.relname || right(c.relname, 11)
         and (i.inhparent is null or i.inhparent = parent.oid)
     )
     select parent.relname as table, parent.nspname as schema, parent.owner, parent.owned,
       (extract(epoch from clock_timestamp()) * 1000)::float8 as "serverMs",
       (select coalesce(jsonb_agg(jsonb_build_object(
           'day', child.day, 'name', child.relname, 'state', child.state, 'note', obj_description(child.oid, 'pg_class'),
           'indexes', (
             select coalesce(jsonb_agg(jsonb_build_object(
               'name', x.relname, 'valid', k.indisvalid, 'note', obj_description(x.oid, 'pg_class'))), '[]')
             from pg_index k join pg_class x on x.oid = k.indexrelid where k.indrelid = child.oid)
         ) order by child.day), '[]') from child) as partitions
     from parent`,
    [table],
  )
  const { partitions, ...parent } = rows[0]
  return {
    ...parent,
    partitions: partitions.flatMap((found: Omit<Partition, 'day'> & { day: string }) => {
      const day = parseDay(found.day)
      return day === undefined ? [] : [{ ...found, day }]
    }),
  }
}

async function makePatiently(session: Session, table: string, day: number, options: EnsureOptions): Promise<boolean> {
  const { signal, lockTimeoutMs = 1000, attempts = 8 } = options
  for (let attempt = 1; ; attempt++) {
    signal.throwIfAborted()
    try {
      return await transaction(session, async () => {
        await session.query(`set local lock_timeout = ${Math.trunc(lockTimeoutMs)}`)
        const { rows } = await session.query('select millrace_make_partition($1, $2) as made', [table, dayText(day)])
        return rows[0].made as boolean
      })
    } catch (error) {
      const state = sqlState(error)
      const name = partitionName(table, day)
      if (state === 'MR003') {
        throw new FatalError(
          'SCHEMA_MISSING',
          `There is a table ${name} that is no partition of ${table}.`,
          'Attach it again, or rename it so that a partition of that day can be made.',
          error,
        )
      }
      if (state !== '55P03' && state !== '40P01') throw error
      if (attempt === attempts) {
        throw new TransientError('POSTGRES_BUSY', `Partition ${name} waits for a lock that others hold.`, error)
      }
      await sleep(100 * attempt, undefined, { signal })
    }
  }
}
