/**
 * Whether a snapshot is still what a fold of all events would answer. Pure.
 *
 * Rows are only ever added, except that whole days are retired. So the subject has as many events up to the snapshot's instant as were folded, day by day, if
 * and only if they are the same events; whatever came late, wherever it came from, is one more. Counting is a look into the index of a sealed day, which has
 * subject and time and no need to read a row. A day that is gone is no objection: a snapshot may know what no fold can tell any more.
 */
import type { Counts, HistoryDay, Snapshot } from './history.ts'
import { dayOfInstant, type Instant, instantOfMicros, microsOf } from './instant.ts'

export type Standing =
  | { readonly kind: 'right' }
  /** So many events came after it was made and belong before its instant. */
  | { readonly kind: 'late'; readonly events: number }
  /** Events that it has are not there any more, though their day is: somebody deleted rows. */
  | { readonly kind: 'deleted'; readonly events: number }

export function standing(
  { counts: then }: Pick<Snapshot, 'counts'>,
  now: Counts,
  days: readonly Pick<HistoryDay, 'day'>[],
): Standing {
  const kept = new Set(days.map(({ day }) => day))
  let late = 0
  let deleted = 0
  for (const day of new Set([...Object.keys(then), ...Object.keys(now)])) {
    const more = (now[day] ?? 0) - (then[day] ?? 0)
    if (more > 0) late += more
    else if (more < 0 && kept.has(day)) deleted -= more
  }
  if (deleted > 0) return { kind: 'deleted', events: deleted }
  return late > 0 ? { kind: 'late', events: late } : { kind: 'right' }
}

/** Every event behind the snapshot is on a day that is kept: folding on from it misses none. */
export function leadsOn({ at }: Pick<Snapshot, 'at'>, days: readonly Pick<HistoryDay, 'day'>[]): boolean {
  const [oldest] = days
  return oldest === undefined || dayOfInstant(next(at)) >= oldest.day
}

/** A fold of all events that are kept has all that the snapshot has. */
export function isCheckable({ first }: Pick<Snapshot, 'first'>, days: readonly Pick<HistoryDay, 'day'>[]): boolean {
  const [oldest] = days
  return first === null || (oldest !== undefined && dayOfInstant(first) >= oldest.day)
}

const next = (at: Instant) => instantOfMicros(microsOf(at) + 1)
