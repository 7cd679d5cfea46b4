/**
 * One drain, measured from outside and for every contender alike: from the first commit to the last, as PostgreSQL itself has noted them
 * (track_commit_timestamp), or to the last entry in Redis where there are streams. Starting up counts for nobody.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Contender, Started } from './contenders/contender.ts'
import { type Usage, usageOf } from './usage.ts'
import type { World } from './world.ts'

export interface Drained {
  readonly perSecond: number
  readonly rows: number
  readonly seconds: number
  /** CPU seconds per million events, by process. */
  readonly cpu: Readonly<Record<'contender' | 'kafka' | 'postgres' | 'redis', number>>
  /** Highest resident memory of the contender. */
  readonly residentMiB: number
  readonly walBytes: number
  readonly diskBytes: number
}

const stillMs = 60_000
const lookMs = 100

export async function drain(world: World, contender: Contender, events: number): Promise<Drained> {
  const { sql, stack } = world
  await world.reset()
  const [{ lsn }] = (await sql.query('SELECT pg_current_wal_lsn() AS lsn')).rows
  const inserted = await insertedRows(world)
  const servers = Object.entries(stack.pids) as ['kafka' | 'postgres' | 'redis', number][]
  const before = new Map(servers.map(([name, pid]) => [name, usageOf(pid)]))
  const started = await contender.start(world)
  let usage: Usage
  let publishedMs = 0
  let took: { rows: number; seconds: number }
  try {
    if (contender.stores) publishedMs = await untilStored(world, contender, started, events, inserted)
    else await until(world, started, () => started.took?.()?.records ?? 0, events)
    usage = usageOf(started.pid)
    const own = started.took?.()
    took = own ? { rows: events, seconds: own.seconds } : await tookOf(world, publishedMs)
  } finally {
    await started.stop()
  }
  const perMillion = (seconds: number) => (seconds / events) * 1e6
  const cpu = { contender: perMillion(usage.cpuSeconds), kafka: 0, postgres: 0, redis: 0 }
  for (const [name, pid] of servers)
    cpu[name] = perMillion(usageOf(pid).cpuSeconds - (before.get(name)?.cpuSeconds ?? 0))
  const [sizes] = (
    await sql.query(
      `SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), $1)::float8 AS wal,
              (SELECT sum(pg_total_relation_size(relid))::float8 FROM pg_partition_tree('cloud_events')) AS disk`,
      [lsn],
    )
  ).rows
  const { rows, seconds } = took
  return {
    perSecond: rows / seconds,
    rows,
    seconds,
    cpu,
    residentMiB: usage.residentMiB,
    walBytes: sizes.wal,
    diskBytes: sizes.disk,
  }
}

/** Waits until `count` has reached `events`; an end of the contender, or a minute without any progress, is an error. */
async function until(
  world: World,
  { ended, log }: Started,
  count: () => Promise<number> | number,
  events: number,
): Promise<void> {
  let isOver = false
  void ended.then(() => {
    isOver = true
  })
  let last = -1
  let movedMs = performance.now()
  for (;;) {
    const found = await count()
    if (found >= events) return
    if (isOver) throw new Error(`it ended at ${found} of ${events}; see ${log}`)
    if (found !== last) movedMs = performance.now()
    else if (performance.now() - movedMs > stillMs)
      throw new Error(`nothing has moved for a minute: ${found} of ${events}; see ${log}`)
    last = found
    await sleep(lookMs, undefined, { signal: world.signal })
  }
}

/** Answers when the last entry was seen; 0 without streams. */
async function untilStored(
  world: World,
  contender: Contender,
  started: Started,
  events: number,
  inserted: number,
): Promise<number> {
  const { sql } = world
  // The server's own statistics are free, and a second late; a count is neither, so it is asked for at the end only.
  const isNear = async () => Math.min(events, Math.ceil(((await insertedRows(world)) - inserted) / 0.98))
  await until(world, started, isNear, events)
  const count = 'SELECT count(*)::int AS rows FROM cloud_events'
  await until(world, started, async () => (await sql.query<{ rows: number }>(count)).rows[0]?.rows ?? 0, events)
  if (started.took !== undefined) await until(world, started, () => (started.took?.() ? 1 : 0), 1)
  if (!contender.publishes) return 0
  await until(world, started, () => entries(world), events)
  return Date.now()
}

/** Ever, of all daily partitions. */
async function insertedRows({ sql }: World): Promise<number> {
  const { rows } = await sql.query<{ rows: number }>(
    "SELECT coalesce(sum(n_tup_ins), 0)::int AS rows FROM pg_stat_user_tables WHERE relname ~ '^cloud_events_'",
  )
  return rows[0]?.rows ?? 0
}

async function entries({ redis }: World): Promise<number> {
  const keys = await redis.keys('events:*')
  const pipeline = redis.pipeline()
  for (const key of keys) pipeline.xlen(key)
  const lengths = (await pipeline.exec()) ?? []
  return lengths.reduce((sum, [, length]) => sum + Number(length), 0)
}

/** The rows of the first commit came in before the clock. */
async function tookOf({ sql }: World, publishedMs: number): Promise<{ rows: number; seconds: number }> {
  const [found] = (
    await sql.query<{ rows: number; first: number; last: number; begun: number }>(
      `WITH commits AS (SELECT xmin, count(*)::int AS rows FROM cloud_events GROUP BY xmin),
            timed AS (SELECT rows, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 AS at FROM commits)
       SELECT sum(rows)::int AS rows, min(at) AS first, max(at) AS last, (SELECT rows FROM timed ORDER BY at LIMIT 1) AS begun FROM timed`,
    )
  ).rows
  if (found === undefined) throw new Error('there is no row')
  const { rows, first, last, begun } = found
  return { rows: rows - begun, seconds: Math.max(last, publishedMs / 1000) - first }
}
