/**
 * A fixed rate into one contender: how long an event takes from when it was due to the commit of its row, as PostgreSQL has noted it, the same for
 * everybody. The server notes a commit just before it syncs it; where the contender has a clock of its own (Millrace: from due to the answer to
 * COMMIT, and to the answer of Redis), that is told too.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { LatencyHistogram } from '../src/core/latency.ts'
import { median } from '../src/core/median.ts'
import type { Status } from '../src/core/status.ts'
import type { Contender, Started } from './contenders/contender.ts'
import { stored, until } from './drain.ts'
import { produce } from './produce.ts'
import { cpuSeconds, peakMiB, type Servers, serverCpu } from './used.ts'
import type { World } from './world.ts'

export interface SteadyOptions {
  readonly rate: number
  readonly warmMs: number
  readonly seconds: number
}

export interface Floor {
  readonly acknowledgedMs: Quantiles
  readonly kafkaCpu: number
}

export interface Quantiles {
  readonly p50: number
  readonly p95: number
  readonly p99: number
}

export interface Steady {
  readonly rate: number
  readonly committedMs: Quantiles
  /** Of the seconds' quantiles the median: on a shared machine one bad second in thirty decides the p99 of all. */
  readonly medianSecond: Quantiles
  /** From due to the broker's answer to the load, of all that was sent, the warm-up too: nobody can read a record before. */
  readonly acknowledgedMs: Quantiles
  readonly own: { readonly storedMs: Quantiles; readonly publishedMs: Quantiles | null } | null
  /** Shares of one core. */
  readonly cpu: Readonly<Record<'contender' | keyof Servers, number>>
  readonly residentMiB: number
  readonly lateMsP99: number
}

const primed = 2000

const quantilesOf = (all: LatencyHistogram): Quantiles => ({
  p50: all.percentile(0.5),
  p95: all.percentile(0.95),
  p99: all.percentile(0.99),
})

/** What the load and the broker take with nobody behind them: the floor for whatever reads. */
export async function nobody(world: World, { rate, warmMs, seconds }: SteadyOptions): Promise<Floor> {
  world.say(`steady: ${rate} events/s for ${seconds} s, with nobody to read them`)
  await world.emptyTopic()
  await produce(world, { seed: 2, rate, forMs: warmMs })
  const before = serverCpu(world)
  const sent = await produce(world, { seed: 3, rate, forMs: seconds * 1000 })
  return {
    acknowledgedMs: quantilesOf(LatencyHistogram.from(sent.acknowledged)),
    kafkaCpu: (serverCpu(world).kafka - before.kafka) / seconds,
  }
}

export async function steady(world: World, contender: Contender, options: SteadyOptions): Promise<Steady> {
  const { signal, say } = world
  const { rate, warmMs, seconds } = options
  say(`steady: ${rate} events/s for ${seconds} s into ${contender.title}`)
  await world.emptyTopic()
  await world.reset()
  const started = await contender.start(world)
  try {
    await produce(world, { seed: 1, rate: primed, events: primed })
    await until(world, started, () => stored(world), primed)
    const used = () => ({ contender: cpuSeconds(started.pids), ...serverCpu(world) })
    const fromMs = Date.now() + warmMs
    const sending = produce(world, { seed: 2, rate, forMs: warmMs + seconds * 1000 })
    sending.catch(() => {})
    await sleep(warmMs, undefined, { signal })
    const before = { used: used(), statuses: await started.statuses?.() }
    await sleep(seconds * 1000, undefined, { signal })
    const after = used()
    const sent = await sending
    await until(world, started, () => stored(world), primed + sent.produced)
    const share = (name: keyof typeof after) => (after[name] - before.used[name]) / seconds
    return {
      rate: sent.produced / (sent.elapsedMs / 1000),
      ...(await committed(world, fromMs, fromMs + seconds * 1000)),
      acknowledgedMs: quantilesOf(LatencyHistogram.from(sent.acknowledged)),
      own: await ownLatencies(started, before.statuses, contender.publishes),
      cpu: {
        contender: share('contender'),
        kafka: share('kafka'),
        postgres: share('postgres'),
        redis: share('redis'),
      },
      residentMiB: peakMiB(started.pids),
      lateMsP99: sent.lateMsP99,
    }
  } finally {
    await started.stop()
  }
}

/** Of what was due in this time. */
export async function committed(
  { sql }: World,
  fromMs: number,
  toMs: number,
): Promise<Pick<Steady, 'committedMs' | 'medianSecond'>> {
  const { rows } = await sql.query<{ second: number | null; of: [number, number, number] }>(
    `WITH seen AS (
       SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin) - kafka_time)::float8 * 1000 AS ms, extract(epoch FROM kafka_time)::int AS second
       FROM cloud_events WHERE kafka_time >= to_timestamp($1) AND kafka_time < to_timestamp($2))
     SELECT second, percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY ms) AS of FROM seen GROUP BY GROUPING SETS ((), (second))`,
    [fromMs / 1000, toMs / 1000],
  )
  const quantiles = (at: (place: 0 | 1 | 2) => number): Quantiles => ({ p50: at(0), p95: at(1), p99: at(2) })
  const all = rows.find(({ second }) => second === null)?.of
  if (!all) throw new Error('nothing was stored in that time')
  const each = rows.filter(({ second }) => second !== null)
  return {
    committedMs: quantiles((place) => all[place]),
    medianSecond: quantiles((place) => median(each.map(({ of }) => of[place]))),
  }
}

async function ownLatencies(
  started: Started,
  before: readonly Status[] | undefined,
  publishes: boolean,
): Promise<Steady['own']> {
  const after = await started.statuses?.()
  if (before === undefined || after === undefined) return null
  const quantiles = (of: 'storedMs' | 'publishedMs'): Quantiles => {
    const all = new LatencyHistogram()
    for (const [index, status] of after.entries()) {
      all.merge(LatencyHistogram.from(status[of]).since((before[index] as Status)[of]))
    }
    return quantilesOf(all)
  }
  return { storedMs: quantiles('storedMs'), publishedMs: publishes ? quantiles('publishedMs') : null }
}
