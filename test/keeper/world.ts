/** A database with days of events, a keeper's session for it, and what its catalog says. */
import type pg from 'pg'
import { dayMs, dayOf, dayText, partitionName } from '../../src/core/day.ts'
import { createMetrics } from '../../src/core/registry.ts'
import { type Keeper, type KeeperOptions, startKeeper } from '../../src/keeper/keeper.ts'
import { keeperSession } from '../../src/keeper/turn.ts'
import { ensurePartitions, readPartitions } from '../../src/schema/partitions.ts'
import type { Session } from '../../src/schema/sql.ts'
import { type Database, noSignal } from '../schema/database.ts'

export const table = 'cloud_events'
export const today = dayOf(Date.now())

export async function keeperClient(database: Database): Promise<pg.Client> {
  const client = await database.connect()
  await client.query(keeperSession)
  return client
}

/** Events of a day, one a second from its beginning, into the day itself as the fleet does. */
export async function put(session: Session, day: number, count: number, name = 'e'): Promise<void> {
  await session.query(
    `insert into ${partitionName(table, day)} (id, event_time, source, event_id, type, subject, tenant_id, kafka_topic, kafka_partition, kafka_offset, kafka_time)
     select millrace_event_id(at, 's', $2 || n), at, 's', $2 || n, 't' || n % 5, 'subject-' || n % 100, 'tenant-' || n % 10, 'k', 0, n, now()
     from generate_series(1, $3::int) n, lateral (select to_timestamp($1::float8 / 1000 + n % 86400) as at) made`,
    [day * dayMs, name, count],
  )
}

export async function makeDays(session: Session, days: readonly number[], rows = 1): Promise<void> {
  await ensurePartitions(session, table, days, { signal: noSignal })
  for (const day of days) await put(session, day, rows)
}

/** Day to state, sealed or not told apart by the number of valid indexes. */
export async function states(session: Session): Promise<Record<string, string>> {
  const { partitions } = await readPartitions(session, table)
  return Object.fromEntries(partitions.map(({ day, state }) => [dayText(day), state]))
}

/** A keeper as in a process, on connections of the test's. What it tells is kept. */
export function keep(database: Database, options: Partial<KeeperOptions> = {}) {
  const said: { level: string; text: string }[] = []
  const waiting = new Set<() => void>()
  const logger = Object.fromEntries(
    (['debug', 'info', 'warn'] as const).map((level) => [
      level,
      (_: object, text: string) => {
        said.push({ level, text })
        for (const look of waiting) look()
      },
    ]),
  ) as unknown as KeeperOptions['logger']
  const metrics = createMetrics({ processMetrics: false })
  const keeper: Keeper = startKeeper({
    table,
    policy: { aheadDays: 2, sealAfterHours: 6, retentionDays: 0, retention: 'drop' },
    connect: () => database.connect(),
    days: [],
    nowMs: Date.now,
    metrics,
    logger,
    roundMs: 50,
    ...options,
  })
  const actions = (action: string) => metrics.sum('keeper_actions_total', { action })
  return {
    keeper,
    metrics,
    said,
    actions,
    /** Something said fits. */
    async hear(pattern: RegExp): Promise<string> {
      for (;;) {
        const found = said.find(({ text }) => pattern.test(text))
        if (found) return found.text
        const heard = Promise.withResolvers<void>()
        waiting.add(heard.resolve)
        await heard.promise
        waiting.delete(heard.resolve)
      }
    },
  }
}

/** Asks until it is so; the server has no way to tell. */
export async function until(what: string, holds: () => Promise<boolean> | boolean, limitMs = 20_000): Promise<void> {
  const endMs = performance.now() + limitMs
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(`not within ${limitMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
