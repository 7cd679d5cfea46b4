/** A replay that was asked for: what is kept of it, what it can be told, and how it stands. */
import type { ReplayDescription } from '../replay/description.ts'
import type { Speed } from '../replay/pace.ts'
import type { Progress } from '../replay/port.ts'
import type { StoredState } from '../replay/store.ts'

export type Wanted = 'running' | 'paused' | 'stopped'

export interface StoredJob {
  readonly id: string
  readonly description: ReplayDescription
  readonly wanted: Wanted
  /** It could not be begun or gone on with. */
  readonly failure: string | null
  /** To the microsecond: its place in a list. */
  readonly madeAt: string
  /** Null: it has not begun. */
  readonly replay: {
    readonly state: StoredState
    readonly failure: string | null
    readonly events: number
    readonly bytes: number
    readonly atMs: number | null
    readonly savedAt: string
  } | null
}

export interface JobStore {
  /** False: there is one of that id. */
  insert(description: ReplayDescription, wanted: Wanted): Promise<boolean>
  remove(id: string): Promise<void>
  want(id: string, wanted: Wanted, more?: { description?: ReplayDescription; failure?: string | null }): Promise<void>
  find(id: string): Promise<StoredJob | null>
  /** Newest first, behind a place. */
  list(limit: number, after: { readonly madeAt: string; readonly id: string } | null): Promise<StoredJob[]>
  /** Those that are wanted and have come to no end; one that has not begun, only when whoever wrote it down must have died at it. */
  waiting(): Promise<StoredJob[]>
}

export type Command =
  | { readonly action: 'pause' | 'resume' | 'stop' | 'cancel' }
  | { readonly action: 'step'; readonly count: number }
  | { readonly action: 'speed'; readonly speed: Speed }
  | { readonly action: 'jump'; readonly toMs: number }

/** `waiting`: wanted, and nobody runs it here: after a restart it is taken up in a moment, or another server has it. */
export type JobState = Progress['state'] | 'waiting'

export interface Job extends StoredJob {
  readonly state: JobState
  /** Of one that runs here. */
  readonly progress: Progress | null
}

export function stateOf({ wanted, failure, replay }: StoredJob): JobState {
  const { state } = replay ?? { state: 'stopped' as const }
  if (state === 'done' || state === 'cancelled' || state === 'failed') return state
  if (failure !== null) return 'failed'
  return wanted === 'stopped' ? 'stopped' : 'waiting'
}

export const isOver = ({ state }: Pick<Job, 'state'>): boolean => state === 'done' || state === 'cancelled'
