/** consume/: records of the partitions that the group has given this process, in order, from where it is told to read. */

import type { Watermarks } from '../../core/ledger.ts'
import type { RecordRun } from '../../core/record.ts'
import type { Settle } from '../settle/port.ts'

export interface Fetched {
  readonly partition: number
  /** The offset asked for: everything from here to `nextOffset` is either in the runs or does not exist. */
  readonly fetchedOffset: number
  readonly nextOffset: number
  readonly highWatermark: number
  /** In order. The first may begin below `fetchedOffset`: a broker hands out whole record batches. */
  readonly runs: readonly RecordRun[]
}

export interface ConsumeHandlers {
  /** The whole assignment, after every join; called before anything of the new generation is fetched. */
  assigned(partitions: readonly number[]): void
  /**
   * Takes one fetched batch. True: taken, read on behind it. False: not taken (not ours, or to be read from elsewhere; seek() was called).
   * May wait: nothing is pulled meanwhile, and the technology keeps the membership alive.
   */
  fetched(batch: Fetched): Promise<boolean>
  /** [firstOffset, nextOffset) held no record for us (control records, aborted transactions): reading went on behind it. */
  skipped(partition: number, firstOffset: number, nextOffset: number): void
  /** A sign of life: the client fetched, or the group took a heartbeat. */
  heard(): void
}

export interface Consume {
  /** Joins the group and feeds the handlers until stop(). Rejects when the client has given up. */
  run(handlers: ConsumeHandlers): Promise<void>
  /** The next fetch of this partition begins here. */
  seek(partition: number, nextOffset: number): void
  /** Nothing of this partition is fetched until it is resumed; seeks and rebalances do not end that, a new assignment of it after a loss may. */
  hold(partition: number): void
  resume(partition: number): void
  /** What Kafka holds of each partition of the topic. TransientError: nobody answered, ask again. */
  watermarks(): Promise<Map<number, Watermarks>>
  /** How long Kafka keeps records of the topic; null: for ever, or it does not say. */
  retentionMs(): Promise<number | null>
  /** Stops pulling, stays a member: what was taken can still be settled. */
  pause(): void
  /** Stops pulling and leaves the group; what was taken stays the caller's. */
  stop(): Promise<void>
  readonly settle: Settle
}
