/**
 * What operators do is written down: one row of `audit` for each action of the command line that changes something, in the transaction that does it
 * wherever there is one. The database's own user is noted beside the actor, who only is whom the machine of the command line knew.
 */
import { hostname, userInfo } from 'node:os'
import type { Session } from './sql.ts'

export interface AuditEntry {
  /** user@host. */
  readonly actor: string
  /** As on the command line: "rejects discard". */
  readonly action: string
  /** A consumer, a partition of a topic, a table. */
  readonly target: string
  /** What was asked for and what came of it: filters, counts, before and after. Nothing secret. */
  readonly detail?: Readonly<Record<string, unknown>>
}

/** Answers the id of the row, for the person who looks for it later. */
export async function audit(session: Session, { actor, action, target, detail = {} }: AuditEntry): Promise<string> {
  const { rows } = await session.query(
    'insert into audit (actor, action, target, detail) values ($1, $2, $3, $4) returning id::text',
    [actor, action, target, JSON.stringify(detail)],
  )
  return rows[0].id
}

/** The actor on this machine. */
export function operator(): string {
  const host = hostname()
  try {
    return `${userInfo().username}@${host}`
  } catch {
    // A container may run under a number that has no name.
    return `${process.getuid?.() ?? 'unknown'}@${host}`
  }
}
