import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Arrivals } from '../../src/core/arrivals.ts'
import { Marks, type Room } from '../../src/core/marks.ts'
import type { PartitionState } from '../../src/flow/lane.ts'
import type { Assignment } from '../../src/process/assignment.ts'
import { partitionLags, roomLags, sumOf } from '../../src/process/lag.ts'

function stateOf(partition: number, marks: Partial<Record<Room, number>>, highWatermark: number): PartitionState {
  const own = new Marks(partition, 0)
  for (const room of ['consume', 'decode', 'persist', 'publish', 'settle'] as const) own.advance(room, marks[room] ?? 0)
  const arrivals = new Arrivals()
  return { partition, marks: own, streams: new Map(), noted: new Map(), arrivals, highWatermark, revoked: false }
}
const assignmentOf = (states: PartitionState[], watermarks: [number, { low: number; high: number }][] = []) =>
  ({ states: () => states, watermarks: new Map(watermarks) }) as unknown as Assignment

test('each room has the lag of what has not passed it, in records and as the age of the oldest', () => {
  const state = stateOf(0, { consume: 30, decode: 30, persist: 20, publish: 10, settle: 5 }, 40)
  state.arrivals.push({ nextOffset: 10, timestampMs: 1000, takenMs: 1001 }, 1900)
  state.arrivals.push({ nextOffset: 20, timestampMs: 2000, takenMs: 2001 }, 2900)
  state.arrivals.push({ nextOffset: 30, timestampMs: 3000, takenMs: 3001 }, 3900)
  const lags = Object.fromEntries(roomLags(assignmentOf([state]), 10_000).map(({ room, ...lag }) => [room, lag]))
  assert.deepEqual(lags, {
    // Ten are still in Kafka: at most as old as the last one taken in.
    consume: { records: 10, seconds: 6.1 },
    decode: { records: 10, seconds: 6.1 },
    persist: { records: 20, seconds: 7 },
    publish: { records: 30, seconds: 8 },
    settle: { records: 35, seconds: 9 },
  })
})

test('what a survey has told counts, and is no older than the last time Kafka was empty', () => {
  const state = stateOf(3, { consume: 30, decode: 30, persist: 30, publish: 30, settle: 30 }, 30)
  state.arrivals.push({ nextOffset: 30, timestampMs: 1000, takenMs: 1001 }, 1000)
  state.arrivals.caughtUp(60_000)
  const now = 62_000
  assert.deepEqual(partitionLags(assignmentOf([state]), now), [{ partition: 3, records: 0, seconds: 0 }])
  const told = assignmentOf([state], [[3, { low: 0, high: 34 }]])
  assert.deepEqual(partitionLags(told, now), [{ partition: 3, records: 4, seconds: 2 }])
})

test('of several partitions: all records, the oldest age; of none: nothing', () => {
  assert.deepEqual(
    sumOf([
      { partition: 0, records: 3, seconds: 1 },
      { partition: 1, records: 4, seconds: 9 },
    ]),
    { records: 7, seconds: 9 },
  )
  assert.deepEqual(sumOf([]), { records: 0, seconds: 0 })
})
