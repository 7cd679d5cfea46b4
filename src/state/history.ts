/**
 * What state at a time needs to know of the past of a subject, whoever keeps it.
 *
 * The order of events is their own time, then the key of their row: the time because it is what happened first in the world, not what arrived first; the key
 * because times can be equal, and it is the same in every process and every replay. All answers of one history are of one moment.
 */
import type { Json } from '../core/json.ts'
import type { ReducedEvent } from '../define.ts'
import type { Instant } from './instant.ts'

export interface StoredEvent {
  readonly event: ReducedEvent
  /** When the transaction that stored it began. */
  readonly stored: Instant
  /** The record it came in: topic/partition@offset. */
  readonly place: string
}

/** A place in the order of events. Without a key: behind all events of that time. */
export interface Place {
  readonly time: Instant
  readonly key?: string
}

export interface Span {
  readonly subject?: string
  readonly types?: readonly string[]
  /** Events behind it; null: from the beginning. */
  readonly after: Place | null
  /** Events up to it, itself included. */
  readonly to: Place
  /** Only what was stored by then. */
  readonly known?: Instant
  /** About so many from the first one on, for whoever comes back for more; at least one, where there is one. */
  readonly limit?: number
}

export interface HistoryDay {
  /** 2026-11-21 */
  readonly day: string
  /** A subject is found by an index. Else the day is read from end to end. */
  readonly indexed: boolean
  /** Estimated. */
  readonly rows: number
}

/** Events of a subject, by day. */
export type Counts = Readonly<Record<string, number>>

export interface Snapshot {
  readonly reducer: string
  readonly hash: string
  readonly subject: string
  /** All events up to this instant, itself included. */
  readonly at: Instant
  /** Of the first event in it; null: there was none. */
  readonly first: Instant | null
  readonly events: number
  /** Of the days that were kept when it was made. */
  readonly counts: Counts
  readonly madeAt: Instant
  readonly madeBy: string
}

export interface History {
  /** The days that are kept, oldest first. */
  days(): Promise<readonly HistoryDay[]>
  counts(subject: string, to: Instant): Promise<Counts>
  /** In order, some at a time. Only one may be under way. */
  events(span: Span): AsyncGenerator<readonly StoredEvent[], void, void>
  /** The time of the subject's first event after this one. */
  firstAfter(subject: string, time: Instant): Promise<Instant | null>
  /** Newest first; of one reducer as it is now, or of all. */
  snapshots(of: SnapshotQuery): Promise<readonly Snapshot[]>
  stateOf(snapshot: Snapshot): Promise<Json>
}

export interface SnapshotQuery {
  readonly reducer?: string
  readonly hash?: string
  readonly subject?: string
  readonly to?: Instant
  readonly limit: number
}
