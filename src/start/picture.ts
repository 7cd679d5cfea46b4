/** Everything the live view shows at one moment, as plain values: made by start.ts, drawn by frame.ts and line.ts. */
import type { Room } from '../core/marks.ts'
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
}

export interface RoomPicture {
  readonly room: Room
  readonly perSecond: number
  readonly working: number | null
}

export interface Picture {
  readonly consumer: string
  readonly phase: string
  /** What to press, or where to look. */
  readonly hint: string
  readonly elapsedMs: number
  /** null: until somebody stops it. */
  readonly forMs: number | null
  readonly seed: number
  readonly addresses: readonly (readonly [name: string, address: string])[]
  readonly load: {
    readonly perSecond: number
    readonly produced: number
    readonly waiting: number
    readonly failed: number
    readonly lateMsP99: number
    readonly ackMsP50: number
    readonly ackMsP99: number
  }
  readonly rooms: readonly RoomPicture[]
  readonly bottleneck: Room | 'source' | null
  readonly publishes: boolean
  readonly storedPerSecond: number
  readonly publishedPerSecond: number
  /** One value per second, the newest last. */
  readonly storedHistory: readonly number[]
  readonly p99History: readonly number[]
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
  /** What happened, oldest first. */
  readonly events: readonly { readonly elapsedMs: number; readonly text: string }[]
}
