/**
 * What a scenario is, and the world it harms. A scenario says what it does to whom and how long recovery may take; everything else (load, sampling,
 * waiting for recovery, the count of every event) is the runner's, so that no scenario can be lenient by itself.
 */
import type { Admin, Kafka } from 'kafkajs'
import type pg from 'pg'
import type { RedisClient } from '../../src/process/connect-redis.ts'
import type { Random } from '../../src/simulate/random.ts'
import type { Replica } from '../e2e/replica.ts'
import type { Ground } from './ground/ground.ts'
import type { ChaosLoad, ChaosLoadOptions } from './load.ts'
import type { Told } from './records.ts'

export interface Needs {
  readonly brokers?: 1 | 3
  readonly postgres?: 'single' | 'pair'
  readonly redis?: 'single' | 'pair' | 'cluster'
}

export interface Scenario {
  /** In kebab-case: for --scenario. */
  readonly name: string
  /** One line, for --list and the page. */
  readonly what: string
  /** Of --all: so many that the scenario takes 40 to 120 s. */
  readonly rounds: number
  /** The stated recovery time, from healed() to recovered. */
  readonly recoveryMsMax: number
  /** Three brokers, single PostgreSQL, single Redis unless it says otherwise. */
  readonly needs: Needs
  readonly replicas?: number
  readonly rate?: number
  readonly load?: Partial<ChaosLoadOptions>
  /** Settings of all replicas, over the suite's own. */
  readonly env?: Readonly<Record<string, string>>
  /** Its streams are trimmed: a row may be without its entry where the stream says that it was there. */
  readonly trims?: true
  /** Rounds in the short set, which is part of npm test; left out: not part of it. */
  readonly shortRounds?: number
  /** Why this machine cannot run it; null: it can. Then it is listed as not run. */
  notHere?(): Promise<string | null>
  /**
   * Once, when the servers are up and before replicas start; those that it starts itself, with settings of their own, are of their number. May change
   * world.env; what must be closed is given to world.defer().
   */
  prepare?(world: World): Promise<void>
  /** The harm. Answers a note for the log: whom it met. */
  // biome-ignore lint/suspicious/noConfusingVoidType: a round may have nothing to tell
  round(world: World, round: number): Promise<string | void>
  /** All rounds done, the load stopped, everything settled, the fleet still there: claims of its own (assert). */
  after?(world: World): Promise<void>
}

export interface World {
  readonly scenario: Scenario
  /** Every choice comes from here; the seed is logged. */
  readonly random: Random
  readonly seed: number
  /** Aborted by Ctrl-C; every long wait of the world's own ends with it. */
  readonly signal: AbortSignal
  readonly ground: Ground
  readonly topic: string
  readonly group: string
  readonly partitions: number
  /** Settings of replicas started from now on. */
  readonly env: Record<string, string>
  /** PostgreSQL as the replicas reach it, with this world's own database. The same database under another base address: databaseUrl(base). */
  databaseUrl(base?: string): string

  /** Those that run, in the order of their names. One that ends by itself is told, counted, and started again after a second, as a supervisor does. */
  readonly replicas: readonly Replica[]
  /** One more. `env` are its own settings, over the world's. */
  start(env?: Readonly<Record<string, string>>): Promise<Replica>
  /** Sees to it that this one ends (it may have been killed already), and starts its successor with the same name and settings (and `env`). */
  replace(replica: Replica, env?: Readonly<Record<string, string>>): Promise<Replica>
  /** Ended for good: no successor. SIGTERM unless said otherwise; answers its exit code. */
  end(replica: Replica, signal?: NodeJS.Signals): Promise<number | null>
  /** The next successors of a replica that ends by itself, as they come; for scenarios in which that is the point. */
  readonly endedByThemselves: readonly { readonly name: string; readonly code: number | null; readonly said: string }[]

  /** The main load; it runs all the while. */
  readonly load: ChaosLoad
  /** Another one beside it, in the same account. */
  startLoad(options: Partial<ChaosLoadOptions>): ChaosLoad

  /** These live through restarts of their servers: they connect again at the next use. */
  sql<R extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<R[]>
  readonly redis: RedisClient
  readonly kafka: Kafka
  admin<T>(ask: (admin: Admin) => Promise<T>): Promise<T>
  /** One past the last offset of every partition, asked of Kafka now. */
  ends(): Promise<Map<number, number>>
  /** The group's offsets in Kafka; where nothing was settled, where this world began. */
  settled(): Promise<Map<number, number>>
  ledger(): Promise<Map<number, number>>
  /** Rows of all partitions that this world's ledger has counted as done: the sum of next_offset. */
  stored(): Promise<number>
  /** The living replicas share all partitions, and each of `who` (all of them by default) has stored something since this was called. */
  untilServing(who?: readonly Replica[], limitMs?: number): Promise<void>
  /** Everything that Kafka holds at the moment of the call is settled; or everything up to these ends. */
  untilRecovered(limitMs: number, ends?: ReadonlyMap<number, number>): Promise<void>

  /** Ends with the world's signal. */
  sleep(ms: number): Promise<void>
  /** Runs at the world's end, the last one first. */
  defer(close: () => unknown): void
  /**
   * These records were taken away before they could be stored, and somebody decided to go on without them: they need not be there at the count. So
   * many others went from Kafka with them that were stored before.
   */
  declareLost(records: readonly Told[], storedToo: number): void
  /** A line in the log and in the view. */
  tell(text: string): void
  /** The harm is over: from here recovery is timed. Called for you when round() returns. */
  healed(): void
}
