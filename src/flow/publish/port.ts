/** publish/: entries into streams, under ids made from their offsets; a repeat adds nothing. */
import type { Decoded } from '../../core/batch.ts'
import type { Foreign } from '../persist/port.ts'

/** The streams of one slice as this process knows them: family -> last offset published there + 1. Moved on by publish(). */
export type Streams = Map<string, number>

export interface Publish {
  /** What each of these streams holds: the last id's offset + 1; 0 for a missing stream. */
  last(streams: readonly { readonly partition: number; readonly family: string }[]): Promise<number[]>
  /**
   * Adds the entries of all rows except the foreign ones, in order, each once. `streams` has one map per slice.
   * LostError STREAM_LOST: a stream holds less than `streams` says. TransientError: call again, what was added is skipped.
   * Answers how many entries were really added.
   */
  publish(batch: Decoded, foreign: Foreign, streams: readonly Streams[], signal: AbortSignal): Promise<number>
  /** Resolves when publish() could write now; rejects as it would. Writes nothing. */
  probe(): Promise<void>
  close(): Promise<void>
}
