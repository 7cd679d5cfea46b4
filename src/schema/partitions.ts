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
import { dayOf, dayText, partitionName } from '../core/day.ts'
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
  const { rows } = await session.query(
    `select to_date(right(child.relname, 10), 'YYYY_MM_DD')::text as day
     from pg_inherits i join pg_class child on child.oid = i.inhrelid join pg_class parent on parent.oid = i.inhparent
     where parent.oid = $1::regclass and not i.inhdetachpending
       and right(child.relname, 11) ~ '^_\\d{4}_\\d\\d_\\d\\d$' and child.relname = parent.relname || right(child.relname, 11)
     order by child.relname`,
    [table],
  )
  return rows.map(({ day }) => dayOf(Date.parse(day)))
}

async function makePatiently(session: Session, table: string, day: number, options: EnsureOptions): Promise<boolean> {
  const { signal, lockTimeoutMs = 2000, attempts = 5 } = options
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
