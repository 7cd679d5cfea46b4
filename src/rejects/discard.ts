/** Judges rejects as not worth another attempt: their rows stay, in another state, and the audit says why. */
import { audit } from '../schema/audit.ts'
import { type Session, transaction } from '../schema/sql.ts'
import { condition, type RejectFilter } from './filter.ts'

export interface Discarded {
  readonly discarded: number
  /** The audit's row; null where there was nothing to do. */
  readonly run: string | null
}

export async function discard(
  session: Session,
  filter: RejectFilter,
  { actor, reason }: { readonly actor: string; readonly reason: string },
): Promise<Discarded> {
  const { sql, values } = condition(filter)
  return transaction(session, async () => {
    // Locked first, so that the audit's row has the count of what is then changed.
    const { rows } = await session.query(
      `select count(*)::int, array_agg(id::text) as ids from (select r.id from rejects r where ${sql} for no key update) picked`,
      [...values],
    )
    const { count, ids } = rows[0] as { count: number; ids: string[] | null }
    if (count === 0) return { discarded: 0, run: null }
    const detail = { filter, reason, discarded: count }
    const run = await audit(session, { actor, action: 'rejects discard', target: filter.consumer, detail })
    await session.query(
      "update rejects set state = 'discarded', state_at = now(), audit_id = $1 where id = any ($2::bigint[])",
      [run, ids],
    )
    return { discarded: count, run }
  })
}
