/** Snapshots: made in the transaction that counts and folds, given back, compared with a fold of everything, and dropped when they are of no use. */
import { FatalError } from '../core/errors.ts'
import { canonicalJson, type Json } from '../core/json.ts'
import type { LoadedReducer } from '../process/load-reducer.ts'
import { audit } from '../schema/audit.ts'
import { type Session, sqlState, transaction } from '../schema/sql.ts'
import { createFold } from './fold.ts'
import type { History, HistoryDay, Snapshot } from './history.ts'
import { type Instant, showInstant } from './instant.ts'
import { withHistory } from './postgres-history.ts'
import { isCheckable, standing } from './standing.ts'
import { type Folded, foldOn, stateAt } from './state-at.ts'

/** Where they are kept: the events' table, and who is at it. */
export interface Shelf {
  readonly session: Session
  readonly table: string
  readonly actor: string
}

export interface Made extends Folded {
  readonly at: Instant
  /** False: it was there, and right. */
  readonly isNew: boolean
}

/** One transaction: a row that comes while it folds is not counted by it, and makes the snapshot `late` from then on. */
export async function makeSnapshot(shelf: Shelf, reducer: LoadedReducer, subject: string, at: Instant): Promise<Made> {
  const { session, table, actor } = shelf
  const work = async (history: History): Promise<Made> => {
    const folded = await stateAt(history, reducer, subject, at)
    if (folded.snapshot?.at === at) return { ...folded, at, isNew: false }
    await session.query(
      `insert into state_snapshots (events_table, reducer, subject, hash, at, first_time, events, counts, state, made_by)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
       on conflict (events_table, reducer, subject, hash, at) do update set first_time = excluded.first_time, events = excluded.events,
         counts = excluded.counts, state = excluded.state, made_at = now(), made_by = excluded.made_by`,
      [
        table,
        reducer.name,
        subject,
        reducer.hash,
        at,
        folded.first,
        folded.events,
        JSON.stringify(await history.counts(subject, at)),
        JSON.stringify(folded.state),
        actor,
      ],
    )
    return { ...folded, at, isNew: true }
  }
  for (let attempt = 1; ; attempt++) {
    try {
      return await withHistory(session, table, work, { write: true })
    } catch (error) {
      // Somebody has just made the same one: 40001, could not serialize. Then it is there.
      if (sqlState(error) !== '40001' || attempt === 3) throw error
    }
  }
}

/** The newest snapshot up to an instant, as it was kept; refused where it is not right any more. */
export async function restoreSnapshot(
  history: History,
  reducer: LoadedReducer,
  subject: string,
  to: Instant,
): Promise<{ readonly snapshot: Snapshot; readonly state: Json }> {
  const { name, hash } = reducer
  const [snapshot] = await history.snapshots({ reducer: name, hash, subject, to, limit: 1 })
  const missing = (what: string, remedy: string) => new FatalError('SNAPSHOT_MISSING', what, remedy)
  if (snapshot === undefined) {
    const others = await history.snapshots({ reducer: name, subject, to, limit: 1 })
    throw missing(
      `There is no snapshot of ${subject} up to ${showInstant(to)}${others.length > 0 ? ` by reducers/${name}.ts as it is now` : ''}.`,
      '`millrace state snapshot` makes one, `state show` folds the events.',
    )
  }
  const found = standing(snapshot, await history.counts(subject, snapshot.at), await history.days())
  if (found.kind === 'right') return { snapshot, state: await history.stateOf(snapshot) }
  throw missing(
    `The snapshot of ${subject} at ${showInstant(snapshot.at)} is not right any more: ${found.kind === 'late' ? `${found.events} events came later and belong before it` : `${found.events} of its events were deleted`}.`,
    '`millrace state snapshot` makes it anew.',
  )
}

export type Verdict =
  /** Counted only, or compared with a fold of everything where that was asked for. */
  | 'right'
  | 'late'
  | 'deleted'
  | 'another reducer'
  /** Days it has are gone: nothing is left to compare it with. */
  | 'not to be checked'
  /** The same events, another state: the reducer is not pure, or somebody changed rows or the snapshot. */
  | 'WRONG'

export interface Judged {
  readonly snapshot: Snapshot
  readonly verdict: Verdict
  readonly events: number
}

export interface JudgeOptions {
  readonly subject?: string
  readonly limit: number
  /** Fold everything, and compare. */
  readonly check: boolean
  readonly reducerOf: (name: string) => Promise<LoadedReducer | null>
  readonly signal: AbortSignal
}

export async function judgeSnapshots(
  history: History,
  { subject, limit, check, reducerOf, signal }: JudgeOptions,
): Promise<Judged[]> {
  const days = await history.days()
  const judged: Judged[] = []
  for (const snapshot of await history.snapshots({ ...(subject !== undefined && { subject }), limit })) {
    signal.throwIfAborted()
    const reducer = await reducerOf(snapshot.reducer)
    const tell = (verdict: Verdict, events = 0) => judged.push({ snapshot, verdict, events })
    if (reducer?.hash !== snapshot.hash) {
      tell('another reducer')
      continue
    }
    const found = standing(snapshot, await history.counts(snapshot.subject, snapshot.at), days)
    if (found.kind !== 'right') tell(found.kind, found.events)
    else tell(check ? await checkSnapshot(history, snapshot, reducer, days) : 'right')
  }
  return judged
}

/** Of one that counts right: against a fold of all its events. */
export async function checkSnapshot(
  history: History,
  snapshot: Snapshot,
  reducer: LoadedReducer,
  days: readonly HistoryDay[],
): Promise<'right' | 'not to be checked' | 'WRONG'> {
  if (!isCheckable(snapshot, days)) return 'not to be checked'
  const span = { subject: snapshot.subject, after: null, to: { time: snapshot.at } }
  const full = await foldOn(history, createFold(reducer), null, span)
  const kept = await history.stateOf(snapshot)
  return canonicalJson(full.state) === canonicalJson(kept) && full.read === snapshot.events ? 'right' : 'WRONG'
}

const useless: readonly Verdict[] = ['late', 'deleted', 'another reducer', 'WRONG']

export const isUseless = ({ verdict }: Judged): boolean => useless.includes(verdict)

export async function dropSnapshots({ session, table, actor }: Shelf, judged: readonly Judged[]): Promise<void> {
  await transaction(session, async () => {
    for (const { snapshot, verdict } of judged) {
      const { reducer, subject, hash, at, events } = snapshot
      await session.query(
        'delete from state_snapshots where events_table = $1 and reducer = $2 and subject = $3 and hash = $4 and at = $5::timestamptz',
        [table, reducer, subject, hash, at],
      )
      await audit(session, {
        actor,
        action: 'state snapshots --drop',
        target: subject,
        detail: { table, reducer, hash, at, events, verdict },
      })
    }
  })
}
