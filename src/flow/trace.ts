/**
 * What the hallway tells of each batch where traces are on: what it went through, and that it has ended, in whatever way. Per batch, never per
 * record; where traces are off there is no tracer, and nothing is done but to see that.
 */
import type { Decoded, Packed } from '../core/batch.ts'
import type { TransientError } from '../core/errors.ts'
import type { TracedRoom } from '../core/trace-names.ts'
import type { PartitionState } from './lane.ts'
import type { Stored } from './persist/port.ts'

export interface LaneTracer {
  /** The lane has pulled this batch. */
  begin(packed: Packed, states: readonly PartitionState[]): BatchTrace
  /**
   * The hallway has thrown this: nothing of what was begun and has not ended will come to an end of its own. Answers the trace of the batch that
   * it was about, where that one is followed.
   */
  abandon(error: unknown): string | undefined
}

export interface BatchTrace {
  /** For lines of the log. */
  readonly traceId: string
  enter(room: TracedRoom): void
  leave(room: TracedRoom, error?: unknown): void
  /** Whether this batch is followed is known only now. null: it is not, and nothing more is to be told of it. */
  decoded(batch: Decoded): BatchTrace | null
  retrying(room: TracedRoom, error: TransientError, attempt: number): void
  persisted(stored: Stored): void
  published(entries: number): void
  /** It has left the last room. */
  end(): void
}

export function inRoom<T>(trace: BatchTrace | null, room: TracedRoom, work: () => Promise<T>): Promise<T> {
  return trace === null ? work() : traced(trace, room, work)
}

async function traced<T>(trace: BatchTrace, room: TracedRoom, work: () => Promise<T>): Promise<T> {
  trace.enter(room)
  try {
    const result = await work()
    trace.leave(room)
    return result
  } catch (error) {
    trace.leave(room, error)
    throw error
  }
}
