/** Turns what the hallway and the gate tell into metrics. Everything here runs once per batch or once per scrape. */
import type { Decoded } from '../core/batch.ts'
import { stopCodes } from '../core/ledger.ts'
import { rooms } from '../core/marks.ts'
import type { Metrics } from '../core/registry.ts'
import { RoomClock } from '../core/stage.ts'
import type { Business } from '../core/tally.ts'
import type { Budget } from '../flow/budget.ts'
import type { PartitionState } from '../flow/lane.ts'
import type { Stored } from '../flow/persist/port.ts'
import type { Observer } from '../flow/pipeline.ts'
import type { Assignment } from './assignment.ts'
import type { Work } from './health.ts'
import { endOffsetOf, partitionLags, roomLags, sumOf } from './lag.ts'

const clockRooms = ['decode', 'persist', 'publish'] as const

export interface LaneObserver extends Observer {
  /** Books the clocks' seconds up to now. */
  flush(): void
}

export interface BatchSizes {
  last: number
}

export function observeLane(
  metrics: Metrics,
  clock: { nowMs: () => number; steadyMs: () => number },
  sizes: BatchSizes,
  retrying: Observer['retrying'],
  business: Business | null = null,
): LaneObserver {
  const clocks = {
    decode: new RoomClock(clock.steadyMs),
    persist: new RoomClock(clock.steadyMs),
    publish: new RoomClock(clock.steadyMs),
  }
  const booked = Object.fromEntries(clockRooms.map((room) => [room, { working: 0, input: 0, output: 0 }]))
  const records = (room: 'decode' | 'persist' | 'publish') => metrics.counter('records_total', { room })
  const batches = (room: 'decode' | 'persist' | 'publish') => metrics.counter('batches_total', { room })
  const bytes = metrics.counter('bytes_total', { room: 'persist' })
  const rows = metrics.counter('rows_total')
  const duplicates = metrics.counter('duplicates_total')
  const skips = metrics.counter('skips_total')
  const unlabelled = metrics.counter('unlabelled_total')
  const entriesTotal = metrics.counter('entries_total')
  const refilled = metrics.counter('refilled_entries_total')
  const batchRows = metrics.histogram('batch_rows')
  const stored = metrics.histogram('produced_to_stored_seconds')
  const published = metrics.histogram('produced_to_published_seconds')
  const eventStored = metrics.histogram('event_to_stored_seconds')
  const eventPublished = metrics.histogram('event_to_published_seconds')
  const copySeconds = metrics.counter('copy_seconds_total')
  let storingSinceMs = 0

  return {
    clocks,
    flush() {
      for (const room of clockRooms) {
        clocks[room].flush()
        const before = booked[room] as { working: number; input: number; output: number }
        for (const state of ['working', 'input', 'output'] as const) {
          const { seconds } = clocks[room]
          metrics.counter('room_seconds_total', { room, state }).add(seconds[state] - before[state])
          before[state] = seconds[state]
        }
      }
    },
    decoded(batch: Decoded) {
      records('decode').add(batch.records)
      batches('decode').add()
    },
    storing() {
      storingSinceMs = clock.steadyMs()
    },
    persisted(batch: Decoded, { known, certain }: Stored, states: readonly PartitionState[]) {
      records('persist').add(batch.records)
      batches('persist').add()
      if (batch.again || !certain) return
      const nowMs = clock.nowMs()
      const own = batch.rows.count - (known?.size ?? 0)
      sizes.last = own
      rows.add(own)
      duplicates.add(known?.size ?? 0)
      copySeconds.add((clock.steadyMs() - storingSinceMs) / 1000)
      unlabelled.add(batch.unlabelled)
      batchRows.record(own)
      for (const copy of batch.copies) bytes.add(copy.bytes.length)
      for (const slice of batch.slices) skips.add(slice.skips)
      for (const code in batch.rejects.codes) {
        metrics.counter('rejects_total', { code }).add(batch.rejects.codes[code])
      }
      const { timestampMs, eventMs, count } = batch.rows
      stored.recordAges(nowMs, timestampMs, 0, count, known)
      eventStored.recordAges(nowMs, eventMs, 0, count, known)
      const takenMs = batch.slices.map(
        ({ firstOffset }, index) => states[index]?.arrivals.beyond(firstOffset)?.takenMs ?? nowMs,
      )
      business?.stored(batch, known, takenMs, nowMs)
    },
    published(batch: Decoded, entries: number) {
      records('publish').add(batch.records)
      batches('publish').add()
      entriesTotal.add(entries)
      if (batch.again) refilled.add(entries)
      else if (entries > 0) {
        const nowMs = clock.nowMs()
        const { timestampMs, eventMs, count } = batch.rows
        published.recordAges(nowMs, timestampMs, 0, count)
        eventPublished.recordAges(nowMs, eventMs, 0, count)
      }
    },
    retrying,
  }
}

/** Records fetched or known to fetches and not stored yet; what a survey has told besides is workOf's. */
export const lagRecords = (assignment: Assignment): number =>
  [...assignment.states()].reduce(
    (sum, { marks, highWatermark }) => sum + Math.max(0, highWatermark - marks.get('persist')),
    0,
  )

/**
 * What waits here, by partition. Taken in and not yet through counts always; what is still at Kafka only where Kafka itself has told of it just now
 * (`surveyed`): a partition without a leader has to wait for the brokers, and a new process would wait just the same.
 */
export function workOf(
  assignment: Assignment,
  { publishing, surveyed }: { readonly publishing: boolean; readonly surveyed: boolean },
): Work[] {
  const gated = assignment.gatedPartitions.map((partition): Work => ({ partition, records: null, at: -1 }))
  const running = [...assignment.states()].map(({ partition, marks }): Work => {
    const stored = marks.get('persist')
    const published = marks.get('publish')
    const end = surveyed ? (assignment.watermarks.get(partition)?.high ?? 0) : 0
    const unpublished = publishing ? stored - published : 0
    const records = Math.max(marks.get('consume'), end) - stored + unpublished
    return { partition, records, at: stored + published }
  })
  return [...gated, ...running.filter(({ records }) => records !== 0)]
}

/** How far retention is from what is not stored yet; a partition that Kafka was not asked about yet is not told. */
function headroomOf(assignment: Assignment): { partition: number; records: number; lag: number }[] {
  const { watermarks } = assignment
  return [...assignment.states()].flatMap(({ partition, marks, highWatermark }) => {
    const low = watermarks.get(partition)?.low
    const stored = marks.get('persist')
    const lag = Math.max(0, endOffsetOf(assignment, { partition, highWatermark }) - stored)
    return low === undefined ? [] : [{ partition, records: Math.max(0, stored - low), lag }]
  })
}

export function observeProcess(
  metrics: Metrics,
  assignment: Assignment,
  budget: Budget,
  topic: string,
  nowMs: () => number,
  retentionMs: () => number | null,
): void {
  const lags = () => partitionLags(assignment, nowMs())
  metrics.observe('lag_records', () => [[{}, sumOf(lags()).records]])
  metrics.observe('lag_seconds', () => [[{}, sumOf(lags()).seconds]])
  metrics.observe('room_lag_records', () =>
    roomLags(assignment, nowMs()).map(({ room, records }) => [{ room }, records]),
  )
  metrics.observe('room_lag_seconds', () =>
    roomLags(assignment, nowMs()).map(({ room, seconds }) => [{ room }, seconds]),
  )
  metrics.observe('unpublished_records', () => [
    [{}, [...assignment.states()].reduce((sum, { marks }) => sum + marks.get('persist') - marks.get('publish'), 0)],
  ])
  metrics.observe('bytes_in_flight', () => [[{}, budget.bytes]])
  metrics.observe('assigned_partitions', () => [[{}, assignment.partitions.length]])
  metrics.observe('partition_lag_records', () =>
    lags().map(({ partition, records }) => [{ topic, partition }, records]),
  )
  metrics.observe('partition_lag_seconds', () =>
    lags().map(({ partition, seconds }) => [{ topic, partition }, seconds]),
  )
  metrics.observe('partitions_stopped', () =>
    stopCodes.map((code) => [{ code }, assignment.stopped.filter((one) => one.code === code).length]),
  )
  metrics.observe('partition_headroom_records', () =>
    headroomOf(assignment).map(({ partition, records }) => [{ topic, partition }, records]),
  )
  metrics.observe('retention_headroom_records', () => {
    const behind = headroomOf(assignment).filter(({ lag }) => lag > 0)
    return behind.length === 0 ? [] : [[{}, Math.min(...behind.map(({ records }) => records))]]
  })
  metrics.observe('retention_headroom_seconds', () => {
    const keptMs = retentionMs()
    return keptMs === null ? [] : [[{}, keptMs / 1000 - sumOf(lags()).seconds]]
  })
  metrics.observe('mark', () =>
    [...assignment.states()].flatMap(({ partition, marks }) =>
      rooms.map((room) => [{ room, topic, partition }, marks.get(room)] as const),
    ),
  )
}
