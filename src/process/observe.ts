/** Turns what the hallway and the gate tell into metrics. Everything here runs once per batch or once per scrape. */
import type { Decoded } from '../core/batch.ts'
import { stopCodes } from '../core/ledger.ts'
import type { Metrics } from '../core/metrics.ts'
import { RoomClock } from '../core/stage.ts'
import type { Budget } from '../flow/budget.ts'
import type { Foreign } from '../flow/persist/port.ts'
import type { Observer } from '../flow/pipeline.ts'
import type { Assignment } from './assignment.ts'
import type { Work } from './health.ts'

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
    persisted(batch: Decoded, foreign: Foreign) {
      records('persist').add(batch.records)
      batches('persist').add()
      if (batch.again) return
      const own = batch.rows.count - (foreign?.size ?? 0)
      sizes.last = own
      rows.add(own)
      duplicates.add(foreign?.size ?? 0)
      unlabelled.add(batch.unlabelled)
      batchRows.record(own)
      for (const copy of batch.copies) bytes.add(copy.bytes.length)
      for (const slice of batch.slices) skips.add(slice.skips)
      for (const code in batch.rejects.codes) {
        metrics.counter('rejects_total', { code }).add(batch.rejects.codes[code])
      }
      stored.recordAges(clock.nowMs(), batch.rows.timestampMs, 0, batch.rows.count)
    },
    published(batch: Decoded, entries: number) {
      records('publish').add(batch.records)
      batches('publish').add()
      entriesTotal.add(entries)
      if (batch.again) refilled.add(entries)
      else if (entries > 0) published.recordAges(clock.nowMs(), batch.rows.timestampMs, 0, batch.rows.count)
    },
    retrying,
  }
}

/** Lag of what is assigned here: stored or not is the question, since that is what must not be late. */
export function lagOf(assignment: Assignment, nowMs: number): { records: number; seconds: number } {
  let records = 0
  let oldest = nowMs
  for (const { marks, pending, highWatermark, lastTimestampMs } of assignment.states()) {
    const behind = Math.max(0, highWatermark - marks.get('persist'))
    records += behind
    const first = pending[0]
    if (first !== undefined) oldest = Math.min(oldest, first.timestampMs)
    // Not even fetched yet: at least as old as the last one that was.
    else if (behind > 0 && lastTimestampMs > 0) oldest = Math.min(oldest, lastTimestampMs)
  }
  return { records, seconds: Math.max(0, nowMs - oldest) / 1000 }
}

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
    return low === undefined
      ? []
      : [{ partition, records: Math.max(0, stored - low), lag: Math.max(0, highWatermark - stored) }]
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
  metrics.observe('lag_records', () => [[{}, lagOf(assignment, nowMs()).records]])
  metrics.observe('lag_seconds', () => [[{}, lagOf(assignment, nowMs()).seconds]])
  metrics.observe('unpublished_records', () => [
    [{}, [...assignment.states()].reduce((sum, { marks }) => sum + marks.get('persist') - marks.get('publish'), 0)],
  ])
  metrics.observe('bytes_in_flight', () => [[{}, budget.bytes]])
  metrics.observe('assigned_partitions', () => [[{}, assignment.partitions.length]])
  metrics.observe('partition_lag_records', () =>
    [...assignment.states()].map(({ partition, marks, highWatermark }) => [
      { topic, partition },
      Math.max(0, highWatermark - marks.get('persist')),
    ]),
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
    return keptMs === null ? [] : [[{}, keptMs / 1000 - lagOf(assignment, nowMs()).seconds]]
  })
  metrics.observe('mark', () =>
    [...assignment.states()].flatMap(({ partition, marks }) =>
      (['consume', 'decode', 'persist', 'publish', 'settle'] as const).map(
        (room) => [{ room, topic, partition }, marks.get(room)] as const,
      ),
    ),
  )
}
