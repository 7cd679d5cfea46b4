/** A replay at work, as whoever steers or watches it sees it: a terminal, a server. */
import type { ReplayDescription } from './description.ts'
import type { Speed } from './pace.ts'
import type { CoreTimes } from './yielding.ts'

export type ReplayState = 'running' | 'paused' | 'done' | 'stopped' | 'cancelled' | 'failed'

export interface Progress {
  readonly id: string
  readonly state: ReplayState
  readonly speed: Speed
  readonly events: number
  readonly bytes: number
  readonly fromPostgres: number
  readonly fromKafka: number
  /** Time of the last event, in milliseconds since 1970. */
  readonly atMs: number | null
  /** 0 to 1. */
  readonly share: number
  readonly perSecond: number
  readonly elapsedMs: number
  /** Null: nobody can tell, or it is paused. */
  readonly etaMs: number | null
  /** How far behind its own time the replay is, because the target or the rate does not let it go faster. */
  readonly lateMs: number
  /** It could go faster, and leaves the cores to others. */
  readonly givesWay: boolean
}

export interface ReplayClock {
  /** Goes steadily. */
  steadyMs(): number
  sleep(ms: number, signal: AbortSignal): Promise<unknown>
  /** Of the thread that replays; null where nobody tells. */
  coreTimes(): CoreTimes | null
}

export interface Replay {
  readonly description: ReplayDescription
  snapshot(): Progress
  pause(): void
  resume(): void
  setSpeed(speed: Speed): void
  /** So many events more, at once, and then it stands still again. */
  step(count?: number): void
  /** On with the first event at or after this time; back as well where the target takes an event twice. */
  jump(toMs: number): void
  /** Ends it so that it can be gone on with. */
  stop(): void
  /** Ends it for good. */
  cancel(): void
  /** How it ended; rejects where it failed, after what there is was made safe. */
  readonly done: Promise<Progress>
}
