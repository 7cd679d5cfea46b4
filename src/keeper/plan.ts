/**
 * What is to be done with the days of a table, decided from the catalog and a clock alone.
 *
 *   made ahead -> hot (today, and what is still late) -> closed: sealed -> beyond retention: retired
 *
 * Pure. A day is closed or beyond retention only when both clocks, ours and the server's, say so: a clock that has jumped ahead must not cost data.
 */
import { dayMs, dayOf } from '../core/day.ts'
import type { Partition, Partitions } from '../schema/partitions.ts'

export interface Policy {
  readonly aheadDays: number
  /** 0: never. */
  readonly sealAfterHours: number
  /** Days kept besides today; 0: all. */
  readonly retentionDays: number
}

const hourMs = 3_600_000

/** How many days after today have a partition, without a gap; -1: today itself has none. */
export function horizonDays(days: ReadonlySet<number>, nowMs: number): number {
  const today = dayOf(nowMs)
  let next = today
  while (days.has(next)) next++
  return next - today - 1
}

/** What investigators and replay ask a closed day for, beside the key and (type, event_time) that every day has. */
export const sealIndexes = [
  { suffix: 'subject', columns: 'subject, event_time' },
  { suffix: 'source', columns: 'source, event_id' },
  { suffix: 'tenant', columns: 'tenant_id, event_time' },
] as const

export const sealIndexName = (partition: string, suffix: string) => `${partition}_${suffix}`

/** The comment that says so, on the last of the indexes: the end of a sealing is remembered where a dropped index forgets it. */
export const sealedNote = 'millrace: the day is sealed'

/** Indexes are there and valid, and the last step was done. Rows that came later do not change that. */
export function isSealed({ name, indexes }: Partition): boolean {
  return sealIndexes.every(({ suffix }, at) => {
    const index = indexes.find((one) => one.name === sealIndexName(name, suffix))
    return index?.valid === true && (at < sealIndexes.length - 1 || index.note === sealedNote)
  })
}

/** The day ended so many hours ago. */
export function isClosed(day: number, nowMs: number, hours: number): boolean {
  return (day + 1) * dayMs + hours * hourMs <= nowMs
}

/** Attached days that are closed and not sealed, oldest first. */
export function dueToSeal(
  { partitions, serverMs }: Partitions,
  nowMs: number,
  { sealAfterHours }: Policy,
): Partition[] {
  if (sealAfterHours === 0) return []
  const closedMs = Math.min(nowMs, serverMs)
  return partitions.filter(
    (one) => one.state === 'attached' && isClosed(one.day, closedMs, sealAfterHours) && !isSealed(one),
  )
}

/** Comments on a table that is being retired: whoever finds it knows how to go on. */
export const retireNotes = {
  drop: 'millrace: retiring, to be dropped',
  detach: 'millrace: retiring, to be kept',
} as const
export type Retention = keyof typeof retireNotes

/** What became of a retirement that was interrupted; undefined: nobody began one. */
export function begun({ note }: Partition): Retention | undefined {
  return (Object.keys(retireNotes) as Retention[]).find((how) => retireNotes[how] === note)
}

/** Attached days beyond retention, and whatever was begun and is half done, oldest first. What somebody detached by hand is his. */
export function dueToRetire(
  { partitions, serverMs }: Partitions,
  nowMs: number,
  { retentionDays }: Policy,
): Partition[] {
  const first = dayOf(Math.min(nowMs, serverMs)) - retentionDays
  return partitions.filter(
    (one) =>
      one.state === 'pending' ||
      (one.state === 'detached' && begun(one) !== undefined) ||
      (one.state === 'attached' && retentionDays > 0 && one.day < first),
  )
}
