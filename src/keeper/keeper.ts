/**
 * The keeper of a table's days. Every process of the fleet runs one; whoever gets the turn works, the others only look.
 *
 *   every minute: look -> (in turn) make the days ahead, retire those beyond retention -> (in another turn, beside it) seal what is closed
 *
 * It has connections of its own, open only while it looks or works, and nothing waits for it: a day that is missing is made by whoever needs it. What
 * it cannot do it says once, counts, and tries again; only the horizon makes a process unready, and nothing here ends one.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { aheadDays, dayText } from '../core/day.ts'
import { explain, FatalError, TransientError } from '../core/errors.ts'
import type { Metrics } from '../core/registry.ts'
import { ensurePartitions, type Partitions, readPartitions } from '../schema/partitions.ts'
import { type Session, sqlState } from '../schema/sql.ts'
import { dueToRetire, dueToSeal, horizonDays, type Policy, type Retention } from './plan.ts'
import { retire } from './retire.ts'
import { seal } from './seal.ts'
import { inTurn, keeperSession } from './turn.ts'

export interface KeeperSession extends Session {
  /** Ends the connection, also in the middle of a query. */
  end(): Promise<void>
}

export interface KeeperOptions {
  readonly table: string
  readonly policy: Policy & { readonly retention: Retention }
  readonly connect: () => Promise<KeeperSession>
  /** The days known to have a partition as it starts. */
  readonly days: readonly number[]
  readonly nowMs: () => number
  readonly metrics: Metrics
  readonly logger: Pick<Logger, 'info' | 'warn' | 'debug'>
  readonly roundMs?: number
  /** After a failed sealing nothing is sealed for so long: half an index on a full disk need not be built every minute. */
  readonly sealPauseMs?: number
}

export interface Keeper {
  /** Days after today that have a partition, as of the last look. */
  horizonDays(): number
  stop(): Promise<void>
}

export function startKeeper(options: KeeperOptions): Keeper {
  const { table, policy, nowMs, metrics, logger, roundMs = 60_000, sealPauseMs = 15 * 60_000 } = options
  const stopping = new AbortController()
  const { signal } = stopping
  const open = new Set<KeeperSession>()
  /** What failed in this round and the one before: what is new is a warning, what goes on failing is not told every minute. */
  let told = { before: new Set<string>(), now: new Set<string>() }
  let days: ReadonlySet<number> = new Set(options.days)
  let sealing: Promise<void> | null = null
  let sealFromMs = 0

  const toSeal = metrics.gauge('partitions_to_seal')
  metrics.observe('partition_horizon_days', () => [[{}, horizonDays(days, nowMs())]])

  function failed(what: string, error: unknown): void {
    if (signal.aborted) return
    const code = error instanceof FatalError || error instanceof TransientError ? error.code : codeOf(error)
    metrics.counter('keeper_failures_total', { code }).add()
    const text = `${what}: ${explain(error)}`
    logger[told.before.has(text) || told.now.has(text) ? 'debug' : 'warn']({ table, code, err: error }, text)
    told.now.add(text)
  }

  const acted = (action: string, day: number) => {
    metrics.counter('keeper_actions_total', { action }).add()
    logger.info({ table, day: dayText(day) }, `partition: ${action}`)
  }

  /** Runs `work` on a connection of its own. */
  async function connected(work: (session: KeeperSession) => Promise<void>): Promise<void> {
    const session = await options.connect()
    open.add(session)
    try {
      signal.throwIfAborted()
      await session.query(keeperSession)
      await work(session)
    } finally {
      open.delete(session)
      await session.end().catch(() => {})
    }
  }

  async function look(session: Session): Promise<Partitions> {
    const found = await readPartitions(session, table)
    days = new Set(found.partitions.filter(({ state }) => state === 'attached').map(({ day }) => day))
    toSeal.set(dueToSeal(found, nowMs(), policy).length)
    return found
  }

  const missing = () => aheadDays(nowMs(), { ahead: policy.aheadDays }).filter((day) => !days.has(day))

  /** Owner's work, for who is not the owner: somebody has to do it by hand. */
  function mayWork({ owned, owner }: Partitions, what: string): boolean {
    if (!owned) {
      failed(
        what,
        new FatalError(
          'POSTGRES_DENIED',
          `Only ${owner}, the owner of ${table}, may do this.`,
          'Run `millrace partitions seal` and `millrace partitions drop` as the owner, say once a day.',
        ),
      )
    }
    return owned
  }

  async function keepDays(session: Session, found: Partitions): Promise<void> {
    for (const day of missing()) {
      try {
        if ((await ensurePartitions(session, table, [day], { signal })).length > 0) acted('made', day)
        days = new Set([...days, day])
      } catch (error) {
        failed(`partition of ${dayText(day)}`, error)
      }
    }
    const due = dueToRetire(found, nowMs(), policy)
    if (due.length === 0 || !mayWork(found, 'retention')) return
    for (const { day } of due) {
      await retire(session, table, day, { how: policy.retention, signal }).then(
        (how) => how !== null && acted(how === 'drop' ? 'dropped' : 'detached', day),
        (error: unknown) => failed(`retention of ${dayText(day)}`, error),
      )
    }
  }

  async function sealDays(session: Session): Promise<void> {
    await inTurn(session, table, 'seal', async () => {
      for (const { day } of dueToSeal(await look(session), nowMs(), policy)) {
        if (await seal(session, table, day, { signal })) acted('sealed', day)
      }
      await look(session)
    })
  }

  async function round(): Promise<void> {
    await connected(async (session) => {
      let found = await look(session)
      if (missing().length > 0 || dueToRetire(found, nowMs(), policy).length > 0) {
        await inTurn(session, table, 'days', async () => keepDays(session, await look(session)))
        found = await look(session)
      }
      if (sealing !== null || dueToSeal(found, nowMs(), policy).length === 0 || nowMs() < sealFromMs) return
      if (!mayWork(found, 'sealing')) return
      sealing = connected(sealDays)
        .catch((error: unknown) => {
          sealFromMs = nowMs() + sealPauseMs
          failed('sealing', error)
        })
        .finally(() => {
          sealing = null
        })
    })
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      told = { before: told.now, now: new Set() }
      await round().catch((error: unknown) => failed('the partition keeper', error))
      await sleep(roundMs, undefined, { signal, ref: false }).catch(() => {})
    }
  }
  const running = run()

  return {
    horizonDays: () => horizonDays(days, nowMs()),
    async stop() {
      stopping.abort(new Error('the keeper stops'))
      await Promise.all([...open].map((session) => session.end().catch(() => {})))
      // A connection that is only being made ends by itself; nobody has to wait for it.
      await Promise.race([Promise.all([running, sealing]), sleep(1000, undefined, { ref: false })])
    },
  }
}

const codeOf = (error: unknown) => (sqlState(error) === '42501' ? 'POSTGRES_DENIED' : 'POSTGRES_FAILED')
