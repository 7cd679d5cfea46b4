/** The events of a subject in their order, some at a time, and on request what each of them made of its state; and what lies between two instants. */
import type { Json } from '../core/json.ts'
import type { LoadedReducer } from '../process/load-reducer.ts'
import { type Change, diff } from './diff.ts'
import { createFold } from './fold.ts'
import type { History, Place, StoredEvent } from './history.ts'
import { type Instant, justBefore } from './instant.ts'
import { type Folded, foldOn, foldTo } from './state-at.ts'

export interface TimelineItem extends StoredEvent {
  readonly before?: Json
  readonly after?: Json
}

export interface Timeline {
  readonly items: readonly TimelineItem[]
  /** Behind it there is more; null: that was all. */
  readonly next: Place | null
}

export interface TimelineOptions {
  /** The first instant; null: from the beginning. */
  readonly from: Instant | null
  readonly to: Instant
  /** Where the page before ended. */
  readonly after?: Place
  readonly limit: number
  readonly states?: boolean
  readonly known?: Instant
}

export async function timeline(
  history: History,
  reducer: LoadedReducer,
  subject: string,
  { from, to, after, limit, states = false, known }: TimelineOptions,
): Promise<Timeline> {
  const start = after ?? (from === null ? null : { time: justBefore(from) })
  const option = known === undefined ? {} : { known }
  let state = states ? (await foldTo(history, reducer, subject, start, option)).state : null
  const fold = createFold(reducer)
  const items: TimelineItem[] = []
  // One more than asked for tells whether there is more.
  const span = { subject, after: start, to: { time: to }, limit: limit + 1, ...option }
  for await (const page of history.events(span)) {
    for (const one of page) {
      const last = items.at(-1)
      if (items.length === limit && last !== undefined) return { items, next: placeOf(last) }
      if (!states) items.push(one)
      else {
        const before = state
        state = fold(state, one.event)
        items.push({ ...one, before, after: state })
      }
    }
  }
  return { items, next: null }
}

export const placeOf = ({ event }: StoredEvent): Place => ({ time: event.time, key: event.key })

export interface Between {
  readonly before: Json
  readonly after: Json
  readonly changes: readonly Change[]
  /** Behind the one instant and up to the other. */
  readonly events: number
  readonly start: Folded
}

export async function between(
  history: History,
  reducer: LoadedReducer,
  subject: string,
  from: Instant,
  to: Instant,
  known?: Instant,
): Promise<Between> {
  const option = known === undefined ? {} : { known }
  const start = await foldTo(history, reducer, subject, { time: from }, option)
  const span = { subject, after: { time: from }, to: { time: to }, ...option }
  const { state: after, read } = await foldOn(history, createFold(reducer), start.state, span)
  return { before: start.state, after, changes: diff(start.state, after), events: read, start }
}
