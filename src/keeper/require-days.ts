/** A process does not start without a place for today's and tomorrow's events: they are made now, or it says why not. */
import { dayOf, dayText, partitionName } from '../core/day.ts'
import { FatalError, TransientError } from '../core/errors.ts'
import { ensurePartitions, partitionDays } from '../schema/partitions.ts'
import { type Session, sqlState } from '../schema/sql.ts'

/** Answers the days that have a partition. Not to be called inside a transaction. */
export async function requireDays(
  session: Session,
  table: string,
  nowMs: number,
  signal: AbortSignal,
): Promise<number[]> {
  const today = dayOf(nowMs)
  // At midnight yesterday's last events are still on their way; but yesterday is no reason to refuse.
  const wanted = [today, today + 1, today - 1]
  try {
    for (const day of wanted) await ensurePartitions(session, table, [day], { signal })
  } catch (error) {
    signal.throwIfAborted()
    const present = new Set(await partitionDays(session, table))
    const absent = [today, today + 1].filter((day) => !present.has(day))
    if (absent.length > 0) throw await refusal(session, table, absent, error)
  }
  return partitionDays(session, table)
}

async function refusal(session: Session, table: string, absent: readonly number[], error: unknown): Promise<unknown> {
  const what = `There is no partition ${absent.map((day) => partitionName(table, day)).join(' and ')}`
  const said = (error as Error).message
  if (sqlState(error) === '42501') {
    return new FatalError(
      'POSTGRES_DENIED',
      `${what}, and this user may not make one: ${said}.`,
      'Run migrations/roles.sql as the owner of the schema, or `millrace partitions make` as the owner, every day.',
      error,
    )
  }
  if (error instanceof TransientError) {
    return new FatalError(
      'POSTGRES_BUSY',
      `${what}, and it cannot be made while others hold ${table}${await holders(session, table)}.`,
      'End what holds it, or start again when it has ended.',
      error,
    )
  }
  if (error instanceof FatalError) return error
  return new FatalError(
    'POSTGRES_FAILED',
    `${what}, and making it failed: ${said}.`,
    `Make it: \`millrace partitions make --from ${dayText(absent[0]!)}\` says more.`,
    error,
  )
}

/** Who holds a lock on the table that an ATTACH waits for. */
async function holders(session: Session, table: string): Promise<string> {
  const { rows } = await session.query(
    `select distinct a.pid, a.application_name as name from pg_locks l join pg_stat_activity a using (pid)
     where l.locktype = 'relation' and l.database = (select oid from pg_database where datname = current_database())
       and l.relation = $1::regclass and l.granted and l.mode not in ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')`,
    [table],
  )
  return rows.length === 0 ? '' : ` (${rows.map(({ pid, name }) => `pid ${pid}${name ? `, ${name}` : ''}`).join('; ')})`
}
