/**
 * Everything that is shown of a fleet at one moment, as plain values: made by watch.ts, drawn in a terminal by frame.ts and line.ts, as a page by
 * page.ts, and told as it is by `millrace top --json`. A fleet may be one replica that looks at itself.
 */
import type { Room } from '../core/marks.ts'
import type { RoomState } from '../core/metrics.ts'
import type { Quantiles } from '../core/status.ts'

export interface ReplicaPicture {
  readonly name: string
  /** What it does where it does not simply serve: `starting`, `starts again in 2 s`. */
  readonly state: string | null
  readonly adminUrl: string | null
  readonly partitions: number
  readonly lagRecords: number | null
  readonly lagSeconds: number | null
  readonly storedPerSecond: number
  /** Of one core. */
  readonly cpuShare: number | null
  readonly residentBytes: number | null
  readonly restarts: number
  /** Why it is not ready, in its own words. */
  readonly reasons: readonly string[]
}

export interface RoomPicture {
  readonly room: Room
  readonly perSecond: number
  readonly working: number | null
  /** Shares of the room's time that add up to 1; null where it keeps no clock. */
  readonly times: Readonly<Record<RoomState, number>> | null
  /** What Kafka holds of the assigned partitions and has not passed this room yet. */
  readonly lagRecords: number
}

export interface PartitionPicture {
  readonly topic: string
  readonly partition: number
  readonly replica: string
  /** null of one that was stopped before its marks could be believed. */
  readonly marks: Readonly<Record<Room, number>> | null
  readonly endOffset: number | null
  /** What each room has before it. */
  readonly behind: Readonly<Record<Room, number>> | null
  /** Age of the oldest record not stored yet. */
  readonly lagSeconds: number | null
  /** Why it stands still until an operator decides. */
  readonly stopped: { readonly code: string; readonly reason: string } | null
}

export interface LoadPicture {
  readonly perSecond: number
  readonly produced: number
  readonly waiting: number
  readonly failed: number
  readonly lateMsP99: number
  readonly ackMsP50: number
  readonly ackMsP99: number
}

export interface Picture {
  readonly consumer: string
  readonly phase: string
  /** What to press, or where to look. */
  readonly hint: string
  readonly atMs: number
  readonly elapsedMs: number
  /** null: until somebody stops it. */
  readonly forMs: number | null
  readonly seed: number | null
  readonly addresses: readonly (readonly [name: string, address: string])[]
  /** null where nobody here makes load. */
  readonly load: LoadPicture | null
  readonly rooms: readonly RoomPicture[]
  /** The busiest room; `source` when all have time to spare. */
  readonly bottleneck: Room | 'source' | null
  /** The room that keeps a fleet that is behind from being faster; `none` where it keeps up, null where nobody says. */
  readonly limits: Room | 'none' | null
  /** How many replicas would help now; null where nobody says. */
  readonly usefulReplicas: number | null
  readonly publishes: boolean
  readonly storedPerSecond: number
  readonly publishedPerSecond: number
  readonly lagRecords: number
  readonly lagSeconds: number
  /** One value per second, the newest last. */
  readonly storedHistory: readonly number[]
  readonly p99History: readonly number[]
  readonly lagHistory: readonly number[]
  readonly stored: Quantiles
  readonly published: Quantiles
  readonly batchRows: Quantiles
  readonly bytesInFlight: number
  readonly inFlightBytesMax: number
  readonly totals: {
    readonly rows: number
    readonly entries: number
    readonly duplicates: number
    readonly rejects: number
    readonly skips: number
    readonly fenced: number
    readonly retries: number
    readonly rebalances: number
  }
  readonly restarts: number
  /** Partitions that no replica carries at the moment: their lag is in nobody's figures. */
  readonly unassigned: number
  readonly rejectsByCode: Readonly<Record<string, number>>
  readonly replicas: readonly ReplicaPicture[]
  /** By topic and number. */
  readonly partitions: readonly PartitionPicture[]
  /** What happened, oldest first. */
  readonly events: readonly { readonly elapsedMs: number; readonly text: string }[]
}
