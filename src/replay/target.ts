/** Where the events of a replay go. */
import { FatalError } from '../core/errors.ts'
import type { ReplayEvent } from './entry.ts'
import { compareKeys, type Key, type Position } from './key.ts'

/** What is remembered of a replay besides its description: enough to go on. */
export interface Saved {
  readonly position: Position
  /** The last event written: the same as the position's, save behind a jump. */
  readonly last: Key | null
  /** What the target itself has to know, say the length of a file. */
  readonly target: TargetState
  readonly events: number
  readonly bytes: number
}

export type TargetState = Readonly<Record<string, unknown>> | null

export interface ReplayTarget {
  /** It may be given an event again, as a jump backwards does. */
  readonly rewinds: boolean
  /** It is given no more at a time: where each event takes long, whoever steers need not wait for a thousand. */
  readonly eventsMax?: number
  /** The last event that it holds, where it knows by itself; undefined: what was saved counts. */
  after(): Promise<Key | null | undefined>
  /**
   * All of them, in order, or an error. TransientError: call again with the same ones. `saved` is how the replay stands behind them; a target that
   * has transactions keeps it in the same one. `ending` aborts when the replay is to end: what waits for an answer need not wait on.
   */
  write(events: readonly ReplayEvent[], saved: Omit<Saved, 'target'>, ending: AbortSignal): Promise<void>
  /** What was written survives a crash from now on, also where the last write has failed half-way. */
  settle(): Promise<TargetState>
  /** Everything was written. */
  finish(): Promise<void>
  /** It is not wanted any more: what only a finished replay may leave behind goes. */
  discard(): Promise<void>
  close(): Promise<void>
}

/** What the target says it holds counts: it may be ahead of what was saved last, never behind. */
export function agreed(position: Position, last: Key | null, own: Key | null): Position {
  const { after } = position
  if (own === null && last === null) return position
  if (own !== null && (last === null || compareKeys(own, last) >= 0))
    return after !== null && compareKeys(after, own) >= 0 ? position : { ...position, after: own }
  throw new FatalError(
    'REPLAY_TARGET',
    'The target holds less than was written to it: it was emptied, or went back to an earlier point.',
    'Begin another replay, into an empty target.',
  )
}
