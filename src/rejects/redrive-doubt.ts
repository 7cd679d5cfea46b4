/** What becomes of a batch of a redrive that was interrupted: Kafka remembers whether it went out (redrive.ts has the steps), or somebody has to decide. */
import { setTimeout as sleep } from 'node:timers/promises'
import { FatalError } from '../core/errors.ts'
import type { Session } from '../schema/sql.ts'
import type { RedriveLog } from './redrive.ts'

export const askAgainMsDefault = 1000

export interface Settled {
  readonly sent: number
  readonly reopened: number
}

/** What an interrupted redrive has left: its last batch, in doubt. Answers null where there is none. */
export async function doubtful(session: Session, consumer: string): Promise<{ from: number; next: number } | null> {
  const { rows } = await session.query(
    `select min(redrive_seq)::float8 as "from", max(redrive_seq)::float8 + 1 as next
     from rejects where consumer = $1 and state = 'redriving'`,
    [consumer],
  )
  return rows[0].from === null ? null : rows[0]
}

export interface SettleOptions {
  /** A person's decision, where Kafka has forgotten. */
  readonly inDoubt?: 'sent' | 'open' | undefined
  /** Kafka 3 applies the end of a transaction to its groups a moment after it has said that it is over: "not sent" is asked twice. */
  readonly askAgainMs?: number
}

/** Asks Kafka, and makes PostgreSQL say what it answers. */
export async function settle(
  session: Session,
  consumer: string,
  log: RedriveLog,
  { inDoubt, askAgainMs = askAgainMsDefault }: SettleOptions = {},
): Promise<Settled> {
  const left = await doubtful(session, consumer)
  if (left === null) return { sent: 0, reopened: 0 }
  let committed = await log.committed()
  if (committed === left.from && askAgainMs > 0) {
    await sleep(askAgainMs)
    committed = await log.committed()
  }
  let sent = committed === left.next
  if (!sent && committed !== left.from) {
    if (inDoubt === undefined) {
      throw new FatalError(
        'REDRIVE_IN_DOUBT',
        `A redrive was interrupted with ${left.next - left.from} rejects under way, and Kafka no longer remembers whether they were sent ` +
          `(its group holds ${committed ?? 'nothing'}, ${left.from} or ${left.next} would tell).`,
        'Look in the topic for records whose header millrace-redrive-of names them (`millrace rejects list --state redriving`), then repeat with --in-doubt sent or --in-doubt open.',
      )
    }
    sent = inDoubt === 'sent'
  }
  const count = sent ? await finish(session, consumer, left) : await reopen(session, consumer)
  return sent ? { sent: count, reopened: 0 } : { sent: 0, reopened: count }
}

/** Sent: this batch is over. */
export async function finish(session: Session, consumer: string, { from, next }: { from: number; next: number }) {
  const { rows } = await session.query(
    `with done as (update rejects set state = 'redriven', state_at = now()
       where consumer = $1 and state = 'redriving' and redrive_seq >= $2 and redrive_seq < $3 returning 1)
     select count(*)::int from done`,
    [consumer, from, next],
  )
  return rows[0].count as number
}

/** Not sent: whatever is under way is open again. */
async function reopen(session: Session, consumer: string): Promise<number> {
  const { rows } = await session.query(
    `with done as (update rejects set state = 'open', state_at = now(), audit_id = null, redrive_seq = null
       where consumer = $1 and state = 'redriving' returning 1)
     select count(*)::int from done`,
    [consumer],
  )
  return rows[0].count as number
}
