/**
 * Replays as PostgreSQL keeps them: described, planned, and how far they are. Whoever runs one holds an advisory lock on its target for as long as the
 * connection lives, so two never write to one target at a time; and a target belongs to a replay until that is done or discarded.
 */
import { FatalError } from '../core/errors.ts'
import type { Session } from '../schema/sql.ts'
import { type ReplayDescription, targetName } from './description.ts'
import type { ReplayPlan } from './plan.ts'
import type { Saved } from './target.ts'

export type StoredState = 'running' | 'stopped' | 'failed' | 'done' | 'cancelled'

export interface StoredReplay {
  readonly description: ReplayDescription
  readonly plan: ReplayPlan
  readonly state: StoredState
  readonly saved: Saved | null
  readonly failure: string | null
  readonly actor: string
  readonly begunAt: Date
  readonly savedAt: Date
  /** Somebody holds the lock of its target: whoever ran it lives. */
  readonly held: boolean
}

const columns = `description, plan, state, saved, failure, actor, begun_at as "begunAt", saved_at as "savedAt",
  exists (select from pg_locks l join pg_database d on d.oid = l.database
    where d.datname = current_database() and l.locktype = 'advisory' and l.objsubid = 2 and l.granted
      and l.classid::int8 = hashtext('millrace replay')::int8 & 4294967295 and l.objid::int8 = hashtext(target)::int8 & 4294967295) as held`

/** Its text, for a target that keeps the position in its own transactions: id, saved. */
export const saveSql = 'update replays set saved = $2, saved_at = now() where id = $1'

export async function lockTarget(session: Session, description: ReplayDescription): Promise<void> {
  const target = targetName(description)
  const { rows } = await session.query(
    "select pg_try_advisory_lock(hashtext('millrace replay'), hashtext($1)) as locked",
    [target],
  )
  if (rows[0].locked) return
  throw new FatalError(
    'REPLAY_BUSY',
    `Another replay writes to ${target} at this moment.`,
    'Wait for it, or choose another target.',
  )
}

/** A target belongs to a replay that has not come to its end. Needs the lock. */
export async function requireFree(session: Session, description: ReplayDescription): Promise<void> {
  const target = targetName(description)
  const { rows } = await session.query(
    `select id from replays where id = $1 or (target = $2 and state in ('running', 'stopped', 'failed'))`,
    [description.id, target],
  )
  const id = rows[0]?.id as string | undefined
  if (id === undefined) return
  if (id === description.id)
    throw new FatalError('REPLAY_BUSY', `There is a replay ${id} already.`, 'Choose another id.')
  throw new FatalError(
    'REPLAY_BUSY',
    `The replay ${id} into ${target} was interrupted and has not come to its end.`,
    `Go on with it: millrace replay --resume ${id}; or give it up: millrace replay --discard ${id}.`,
  )
}

export async function insertReplay(
  session: Session,
  description: ReplayDescription,
  plan: ReplayPlan,
  actor: string,
): Promise<void> {
  await session.query('insert into replays (id, target, description, plan, actor) values ($1, $2, $3, $4, $5)', [
    description.id,
    targetName(description),
    JSON.stringify(description),
    JSON.stringify(plan),
    actor,
  ])
}

async function findReplay(session: Session, id: string): Promise<StoredReplay | null> {
  const { rows } = await session.query(`select ${columns} from replays where id = $1`, [id])
  return rows[0] ?? null
}

/** One that has not come to its end. */
export async function requireReplay(session: Session, id: string): Promise<StoredReplay> {
  const found = await findReplay(session, id)
  if (found !== null && found.state !== 'done' && found.state !== 'cancelled') return found
  throw new FatalError(
    'REPLAY_UNKNOWN',
    found === null ? `There is no replay ${id}.` : `The replay ${id} is ${found.state}.`,
    '`millrace replay --list` shows the ones there are.',
  )
}

export async function listReplays(session: Session, limit: number): Promise<StoredReplay[]> {
  const { rows } = await session.query(`select ${columns} from replays order by begun_at desc, id limit $1`, [limit])
  return rows
}

export async function saveReplay(session: Session, id: string, saved: Saved): Promise<void> {
  await session.query(saveSql, [id, JSON.stringify(saved)])
}

export async function markReplay(
  session: Session,
  id: string,
  state: StoredState,
  failure: string | null = null,
): Promise<void> {
  await session.query('update replays set state = $2, failure = $3, saved_at = now() where id = $1', [
    id,
    state,
    failure,
  ])
}
