/**
 * Lag, by room: what Kafka holds and the room has not seen pass, in records, and in seconds as the age of the oldest of it. Exact for what was taken in (to
 * the answer of a fetch); of what is still in Kafka only the records are known, and their age is told as at most what it can be.
 */
import { type Room, rooms } from '../core/marks.ts'
import type { PartitionState } from '../flow/lane.ts'
import type { Assignment } from './assignment.ts'

type Lagging = Pick<PartitionState, 'marks' | 'arrivals'>

export const lagRecordsOf = ({ marks }: Lagging, room: Room, endOffset: number): number =>
  Math.max(0, endOffset - marks.get(room))

export function lagSecondsOf(state: Lagging, room: Room, endOffset: number, nowMs: number): number {
  if (lagRecordsOf(state, room, endOffset) === 0) return 0
  const oldestMs = state.arrivals.oldestMs(state.marks.get(room)) ?? nowMs
  return Math.max(0, nowMs - oldestMs) / 1000
}

/** How far a partition reaches: by what was fetched, or by what Kafka has told since. */
export const endOffsetOf = (
  assignment: Pick<Assignment, 'watermarks'>,
  { partition, highWatermark }: Pick<PartitionState, 'partition' | 'highWatermark'>,
): number => Math.max(highWatermark, assignment.watermarks.get(partition)?.high ?? 0)

export interface PartitionLag {
  readonly partition: number
  readonly records: number
  readonly seconds: number
}

/** Of every partition assigned here: what is not stored yet. */
export function partitionLags(assignment: Assignment, nowMs: number, room: Room = 'persist'): PartitionLag[] {
  return [...assignment.states()].map((state) => {
    const endOffset = endOffsetOf(assignment, state)
    return {
      partition: state.partition,
      records: lagRecordsOf(state, room, endOffset),
      seconds: lagSecondsOf(state, room, endOffset, nowMs),
    }
  })
}

export function sumOf(lags: readonly PartitionLag[]): { records: number; seconds: number } {
  return {
    records: lags.reduce((sum, { records }) => sum + records, 0),
    seconds: lags.reduce((worst, { seconds }) => Math.max(worst, seconds), 0),
  }
}

export const roomLags = (assignment: Assignment, nowMs: number) =>
  rooms.map((room) => ({ room, ...sumOf(partitionLags(assignment, nowMs, room)) }))
