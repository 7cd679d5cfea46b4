/** What takes part in a bench: it empties the topic into the database, into Redis too or not, and everybody is measured from outside, alike. */
import type { Status } from '../../src/core/status.ts'
import type { World } from '../world.ts'

export interface Contender {
  /** For --only. */
  readonly name: string
  readonly title: string
  /** Stores nothing: only what it has consumed counts. */
  readonly stores: boolean
  readonly publishes: boolean
  /** Before the first round: what must be fetched from elsewhere. */
  install?(world: World): Promise<void>
  start(world: World): Promise<Started>
}

export interface Started {
  readonly pids: readonly number[]
  readonly log: string
  /** Resolves when a process of it is gone. */
  readonly ended: Promise<number | null>
  /** Of those with a clock of their own: in how many seconds so far, and of those that store nothing, how many records; null before the first. */
  took?(): { readonly records?: number; readonly seconds: number } | null
  /** What it says itself: Millrace only. */
  statuses?(): Promise<Status[]>
  stop(): Promise<void>
}
