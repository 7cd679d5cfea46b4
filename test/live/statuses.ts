/** Statuses as replicas would tell them, made up by tests. */
import { LatencyHistogram } from '../../src/core/latency.ts'
import { type Room, rooms } from '../../src/core/marks.ts'
import type { PartitionStatus, Status, StatusFacts } from '../../src/core/status.ts'

export const perRoom = <T>(value: (room: Room) => T) =>
  Object.fromEntries(rooms.map((room) => [room, value(room)])) as Record<Room, T>

export function partitionStatus(partition: number, persist: number, end: number, lagSeconds = 0): PartitionStatus {
  const marks = { consume: end, decode: end, persist, publish: persist, settle: persist }
  return { topic: 'cloud-events', partition, lane: 0, marks, endOffset: end, lagSeconds }
}

const empty = () => new LatencyHistogram().snapshot()

/** What a process knows of itself beside its metrics. */
export const factsOf = (changes: Partial<StatusFacts> = {}): StatusFacts => ({
  version: '0',
  consumer: 'cloud-events',
  replica: 'replica-1',
  pid: 101,
  startedMs: 0,
  atMs: 1000,
  phase: 'running',
  live: true,
  ready: true,
  reasons: [],
  lagRecords: 0,
  lagSeconds: 0,
  bytesInFlight: 1000,
  inFlightBytesMax: 100_000,
  residentBytes: 150_000_000,
  lanes: 2,
  partitions: [],
  stopped: [],
  ...changes,
})

export function statusOf(changes: Partial<Status> = {}): Status {
  return {
    ...factsOf(),
    cpuSeconds: 0,
    publishes: true,
    topicPartitions: 4,
    rooms: perRoom(() => ({ records: 0, batches: 0, seconds: { working: 0, input: 0, output: 0 } })),
    totals: {
      rows: 0,
      rejects: 0,
      duplicates: 0,
      skips: 0,
      entries: 0,
      refilled_entries: 0,
      fenced: 0,
      lost: 0,
      retries: 0,
      rebalances: 0,
      gate_seeks: 0,
    },
    rejectsByCode: {},
    batchRows: empty(),
    storedMs: empty(),
    publishedMs: empty(),
    ...changes,
  }
}

/** A replica with a steady flow: each second so many rows, and persist works for so long. */
export function flowing(rowsPerSecond: number, working: number, changes: Partial<Status> = {}) {
  return (second: number): Status => {
    const rows = rowsPerSecond * second
    const storedMs = new LatencyHistogram()
    if (rows > 0) storedMs.record(12, rows)
    const seconds = {
      working: working * second,
      input: (1 - working) * second * 0.75,
      output: (1 - working) * second * 0.25,
    }
    return statusOf({
      atMs: 1000 + second * 1000,
      cpuSeconds: second * 0.4,
      rooms: perRoom((room) => ({
        records: rows,
        batches: second,
        seconds: room === 'persist' ? seconds : { working: 0, input: 0, output: 0 },
      })),
      totals: { ...statusOf().totals, rows, entries: rows },
      storedMs: storedMs.snapshot(),
      ...changes,
    })
  }
}
