/** Positions saved under a name: where a consumer stood, or the offsets of a time, to go back to by `offsets restore`. Saved and forgotten with a row in audit. */
import { FatalError } from '../core/errors.ts'
import { nearest } from '../core/nearest.ts'
import { audit } from '../schema/audit.ts'
import { type Session, sqlState, transaction } from '../schema/sql.ts'
import type { Target } from './read.ts'

export interface SavedPosition {
  readonly name: string
  readonly savedAt: string
  readonly actor: string
  /** `ledger`, or the time that was asked for. */
  readonly source: string
  /** Offsets mean nothing in another topic, though it may have the same name. */
  readonly topicId: string | null
  /** Partition to the offset of the record that comes next. */
  readonly offsets: ReadonlyMap<number, number>
}

const nameRule = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/

export function checkName(name: string): void {
  if (!nameRule.test(name))
    throw new FatalError(
      'USAGE',
      `A position cannot be named '${name}'.`,
      'Use letters, digits, dots, dashes and underscores.',
    )
}

const targetText = ({ consumer, topic }: Target) => `${consumer} ${topic}`

export async function savePosition(
  session: Session,
  target: Target,
  position: Omit<SavedPosition, 'savedAt'>,
): Promise<void> {
  const { name, actor, source, topicId, offsets } = position
  const positions = Object.fromEntries(offsets)
  try {
    await transaction(session, async () => {
      await session.query(
        'insert into saved_positions (consumer, topic, name, actor, source, topic_id, positions) values ($1, $2, $3, $4, $5, $6, $7)',
        [target.consumer, target.topic, name, actor, source, topicId, JSON.stringify(positions)],
      )
      const detail = { name, source, positions }
      await audit(session, { actor, action: 'offsets save', target: targetText(target), detail })
    })
  } catch (error) {
    if (sqlState(error) !== '23505') throw error
    throw new FatalError(
      'USAGE',
      `There is a position '${name}' already.`,
      'Choose another name, or `millrace offsets forget` it first.',
      error,
    )
  }
}

/** Newest first. */
export async function listPositions(session: Session, { consumer, topic }: Target): Promise<SavedPosition[]> {
  const { rows } = await session.query(
    'select name, saved_at, actor, source, topic_id, positions from saved_positions where consumer = $1 and topic = $2 order by saved_at desc, name',
    [consumer, topic],
  )
  return rows.map((row) => ({
    name: row.name,
    savedAt: (row.saved_at as Date).toISOString(),
    actor: row.actor,
    source: row.source,
    topicId: row.topic_id,
    offsets: new Map(
      Object.entries(row.positions as Record<string, number>).map(([partition, at]) => [Number(partition), at]),
    ),
  }))
}

export async function readPosition(session: Session, target: Target, name: string): Promise<SavedPosition> {
  const all = await listPositions(session, target)
  const found = all.find((one) => one.name === name)
  if (found !== undefined) return found
  const guess = nearest(
    name,
    all.map((one) => one.name),
  )
  throw new FatalError(
    'POSITION_MISSING',
    `No position '${name}' of ${target.consumer} in ${target.topic} was saved.`,
    guess === null ? '`millrace offsets positions` lists what there is.' : `Did you mean '${guess}'?`,
  )
}

export async function forgetPosition(session: Session, target: Target, name: string, actor: string): Promise<void> {
  const { offsets, source, savedAt } = await readPosition(session, target, name)
  await transaction(session, async () => {
    await session.query('delete from saved_positions where consumer = $1 and topic = $2 and name = $3', [
      target.consumer,
      target.topic,
      name,
    ])
    const detail = { name, source, savedAt, positions: Object.fromEntries(offsets) }
    await audit(session, { actor, action: 'offsets forget', target: targetText(target), detail })
  })
}
