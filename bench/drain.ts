/**
 * One drain, measured from outside and for every contender alike: from the first commit to the last, as PostgreSQL itself has noted them
 * (track_commit_timestamp), or to the last entry in Redis where there are streams. Starting up counts for nobody.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Contender, Started } from './contenders/contender.ts'
import { cpuSeconds, peakMiB, type Servers, serverCpu } from './used.ts'
import type { World } from './world.ts'

export interface Drained {
  readonly perSecond: number
  readonly rows: number
  readonly seconds: number
  /** CPU seconds per million events, by process. */
  readonly cpu: Readonly<Record<'contender' | keyof Servers, number>>
  /** Highest resident memory of the contender, all its processes added up. */
  readonly residentMiB: number
  readonly walBytes: number
  readonly diskBytes: number
}

/** Kafka Connect takes more than a minute to start on a machine that has other things to do. */
const stillMs = 120_000
const lookMs = 100
const diskBytes = "(SELECT sum(pg_total_relation_size(relid))::float8 FROM pg_partition_tree('cloud_events'))"

export async function drain(
  world: World,
  contender: Contender,
  events: number,
  { keepRows = false } = {},
): Promise<Drained> {
  const { sql } = world
  await world.reset({ keepRows })
  const beginning = (
    await sql.query<{ lsn: string; disk: number; now: Date }>(
      `SELECT pg_current_wal_lsn() AS lsn, ${diskBytes} AS disk, clock_timestamp() AS now`,
    )
  ).rows[0]!
  const there = { rows: await stored(world), inserted: await insertedRows(world) }
  const before = serverCpu(world)
  const started = await contender.start(world)
  // Starting up counts for nobody, a virtual machine's least of all.
  const startedCpu = cpuSeconds(started.pids)
  let own: { readonly cpu: number; readonly residentMiB: number }
  let publishedMs = 0
  let took: { rows: number; seconds: number }
  try {
    if (contender.stores) publishedMs = await untilStored(world, contender, started, events, there)
    else await until(world, started, () => started.took?.()?.records ?? 0, events)
    own = { cpu: cpuSeconds(started.pids) - startedCpu, residentMiB: peakMiB(started.pids) }
    const told = started.took?.()
    took = told ? { rows: events, seconds: told.seconds } : await tookOf(world, beginning.now, publishedMs)
  } finally {
    await started.stop()
  }
  const perMillion = (seconds: number) => (seconds / events) * 1e6
  const after = serverCpu(world)
  const of = (name: keyof Servers) => perMillion(after[name] - before[name])
  const cpu = { contender: perMillion(own.cpu), kafka: of('kafka'), postgres: of('postgres'), redis: of('redis') }
  const [sizes] = (
    await sql.query(
      `SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), $1)::float8 AS wal,
              ${diskBytes} - $2::float8 AS disk`,
      [beginning.lsn, beginning.disk],
    )
  ).rows
  const { rows, seconds } = took
  return {
    perSecond: rows / seconds,
    rows,
    seconds,
    cpu,
    residentMiB: own.residentMiB,
    walBytes: sizes.wal,
    diskBytes: sizes.disk,
  }
}

/** Waits until `count` has reached `events`; an end of the contender, or two minutes without any progress, is an error. */
export async function until(
  world: World,
  { ended, log }: Pick<Started, 'ended' | 'log'>,
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
      throw new Error(`nothing has moved for two minutes: ${found} of ${events}; see ${log}`)
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
  before: { readonly rows: number; readonly inserted: number },
): Promise<number> {
  let publishedMs = 0
  if (contender.publishes) {
    await until(world, started, () => entries(world), events)
    publishedMs = Date.now()
  } else {
    // The server's own statistics are free, and up to ten seconds late; a count is neither, so it is asked for at the end only.
    const isNear = async () => Math.min(events, Math.ceil(((await insertedRows(world)) - before.inserted) / 0.9))
    await until(world, started, isNear, events)
  }
  await until(world, started, async () => (await stored(world)) - before.rows, events)
  if (started.took !== undefined) await until(world, started, () => (started.took?.() ? 1 : 0), 1)
  return publishedMs
}

export async function stored({ sql }: World): Promise<number> {
  const { rows } = await sql.query<{ rows: number }>('SELECT count(*)::int AS rows FROM cloud_events')
  return rows[0]?.rows ?? 0
}

/** Ever, of all daily partitions. */
export async function insertedRows({ sql }: World): Promise<number> {
  const { rows } = await sql.query<{ rows: number }>(
    "SELECT coalesce(sum(n_tup_ins), 0)::int AS rows FROM pg_stat_user_tables WHERE relname ~ '^cloud_events_'",
  )
  return rows[0]?.rows ?? 0
}

export async function entries({ redis }: World): Promise<number> {
  const keys = await redis.keys('events:*')
  const pipeline = redis.pipeline()
  for (const key of keys) pipeline.xlen(key)
  const lengths = (await pipeline.exec()) ?? []
  return lengths.reduce((sum, [, length]) => sum + Number(length), 0)
}

/** The rows of the first commit came in before the clock. */
async function tookOf({ sql }: World, since: Date, publishedMs: number): Promise<{ rows: number; seconds: number }> {
  const [found] = (
    await sql.query<{ rows: number; first: number; last: number; begun: number }>(
      `WITH commits AS (SELECT xmin, count(*)::int AS rows FROM cloud_events GROUP BY xmin),
            timed AS (SELECT rows, pg_xact_commit_timestamp(xmin) AS at FROM commits),
            ours AS (SELECT rows, extract(epoch FROM at)::float8 AS at FROM timed WHERE at >= $1)
       SELECT sum(rows)::int AS rows, min(at) AS first, max(at) AS last, (SELECT rows FROM ours ORDER BY at LIMIT 1) AS begun FROM ours`,
      [since],
    )
  ).rows
  if (found === undefined) throw new Error('there is no row')
  const { rows, first, last, begun } = found
  return { rows: rows - begun, seconds: Math.max(last, publishedMs / 1000) - first }
}
