/**
 * One at a time: work under an advisory lock of the table, held by the session, so that it is free again as soon as the session is gone.
 *
 * The lock is tried, never waited for: a session that waits has a snapshot, and CREATE INDEX CONCURRENTLY, run by the one who holds the lock, waits
 * for all older snapshots. Each would wait for the other.
 */
import type { Session } from '../schema/sql.ts'

/** days: making and retiring. seal: sealing, which may take hours and must not hold the days up. */
export type Duty = 'days' | 'seal'

/** Answers undefined, and does nothing, where another session has the turn. */
export async function inTurn<T>(
  session: Session,
  table: string,
  duty: Duty,
  work: () => Promise<T>,
): Promise<{ readonly done: T } | undefined> {
  const key = `hashtext('millrace_keeper_${duty}'), hashtext($1::regclass::oid::text)`
  const { rows } = await session.query(`select pg_try_advisory_lock(${key}) as mine`, [table])
  if (!rows[0].mine) return undefined
  try {
    return { done: await work() }
  } finally {
    // A session that is gone has given it back already.
    await session.query(`select pg_advisory_unlock(${key})`, [table]).catch(() => {})
  }
}

/**
 * What a keeper's session is told first. Waits for locks are short, because others queue behind whoever waits; a client that is gone is noticed in
 * the middle of a statement; timeouts meant for users' queries must not end an index that takes an hour. The bounds on memory and I/O are for sealing.
 */
export const keeperSession = `set lock_timeout = '1s'; set statement_timeout = 0; set transaction_timeout = 0;
  set client_connection_check_interval = '5s'; set timezone = 'UTC'; set datestyle = 'ISO, YMD';
  set maintenance_work_mem = '128MB'; set max_parallel_maintenance_workers = 0;
  set vacuum_cost_delay = '2ms'; set vacuum_cost_limit = 400; set synchronous_commit = on`
