/** The state of a subject at a place in its history: from the newest snapshot that is right, and the events behind it; or from all its events. */
import { FatalError } from '../core/errors.ts'
import type { Json } from '../core/json.ts'
import type { LoadedReducer } from '../process/load-reducer.ts'
import { createFold, type Fold } from './fold.ts'
import type { History, HistoryDay, Place, Snapshot, Span, StoredEvent } from './history.ts'
import { dayOfInstant, type Instant, justBefore, showInstant } from './instant.ts'
import { leadsOn, type Standing, standing } from './standing.ts'

export interface FoldOptions {
  /** Only what was stored by then. Snapshots hold what was known when they were made, so none is used. */
  readonly known?: Instant
  /** All events, no snapshot. */
  readonly full?: boolean
}

export interface PassedOver {
  readonly snapshot: Snapshot
  readonly standing: Standing
}

export interface Folded {
  readonly state: Json
  /** Folded into it, those of the snapshot included. */
  readonly events: number
  /** Read for it. */
  readonly read: number
  readonly first: Instant | null
  readonly last: StoredEvent | null
  readonly snapshot: Snapshot | null
  /** Snapshots that are not right any more. */
  readonly passedOver: readonly PassedOver[]
  readonly days: readonly HistoryDay[]
}

/** So many snapshots are looked at; behind them a fold of everything is no worse. */
const snapshotsMax = 8

/** Null as `to`: before everything. */
export async function foldTo(
  history: History,
  reducer: LoadedReducer,
  subject: string,
  to: Place | null,
  { known, full = false }: FoldOptions = {},
): Promise<Folded> {
  const days = await history.days()
  if (to === null)
    return { state: null, events: 0, read: 0, first: null, last: null, snapshot: null, passedOver: [], days }
  const { snapshot, passedOver } =
    full || known !== undefined
      ? { snapshot: null, passedOver: [] }
      : await newestRight(history, reducer, subject, to, days)
  const start = snapshot === null ? null : await history.stateOf(snapshot)
  const after = snapshot === null ? null : { time: snapshot.at }
  const span = { subject, after, to, ...(known !== undefined && { known }) }
  const on = await foldOn(history, createFold(reducer), start, span)
  return {
    ...on,
    events: (snapshot?.events ?? 0) + on.read,
    first: snapshot?.first ?? on.first,
    snapshot,
    passedOver,
    days,
  }
}

/** From a state on, through a span of events. */
export async function foldOn(history: History, fold: Fold, start: Json, span: Span) {
  let state = start
  let read = 0
  let first: Instant | null = null
  let last: StoredEvent | null = null
  for await (const page of history.events(span)) {
    for (const one of page) {
      state = fold(state, one.event)
      first ??= one.event.time
      last = one
      read++
    }
  }
  return { state, read, first, last }
}

async function newestRight(
  history: History,
  { name, hash }: LoadedReducer,
  subject: string,
  to: Place,
  days: readonly HistoryDay[],
) {
  // A snapshot has all events of its instant; a place with a key may lie before some of them.
  const latest = to.key === undefined ? to.time : justBefore(to.time)
  const passedOver: PassedOver[] = []
  for (const snapshot of await history.snapshots({ reducer: name, hash, subject, to: latest, limit: snapshotsMax })) {
    if (snapshot.at !== to.time && !leadsOn(snapshot, days)) break
    const found = standing(snapshot, await history.counts(subject, snapshot.at), days)
    if (found.kind === 'right') return { snapshot, passedOver }
    passedOver.push({ snapshot, standing: found })
  }
  return { snapshot: null, passedOver }
}

export interface StateAt extends Folded {
  readonly at: Instant
  /** When the subject began to be, where that is later than the instant. */
  readonly begins: Instant | null
}

/** As `foldTo`, for somebody who asks about a subject that should be there. */
export async function stateAt(
  history: History,
  reducer: LoadedReducer,
  subject: string,
  at: Instant,
  options: FoldOptions = {},
): Promise<StateAt> {
  const folded = await foldTo(history, reducer, subject, { time: at }, options)
  if (folded.events > 0) return { ...folded, at, begins: null }
  requireKept(folded.days, at)
  const begins = options.known === undefined ? await history.firstAfter(subject, at) : null
  if (begins !== null) return { ...folded, at, begins }
  throw new FatalError(
    'SUBJECT_UNKNOWN',
    options.known === undefined
      ? `No event has the subject '${subject}'.`
      : `No event of '${subject}' up to ${showInstant(at)} was known at ${showInstant(options.known)}.`,
    `Subjects are written as their producer writes them; events are kept since ${folded.days[0]?.day}.`,
  )
}

/** Refuses an instant of which nothing can be known. */
export function requireKept(days: readonly HistoryDay[], at: Instant): void {
  const [oldest] = days
  if (oldest !== undefined && dayOfInstant(at) >= oldest.day) return
  throw new FatalError(
    'HISTORY_EXPIRED',
    oldest === undefined
      ? 'No day of events is kept.'
      : `${showInstant(at)} is before ${oldest.day}, the oldest day that is kept.`,
    'Ask for a later time; what a retired day held is known from snapshots alone.',
  )
}
