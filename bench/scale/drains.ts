/** Drains into both stores, in several sizes of one thing. */
import { count } from '../../src/core/count.ts'
import { ensurePartitions } from '../../src/schema/partitions.ts'
import { millrace } from '../contenders/millrace.ts'
import { type Drained, drain } from '../drain.ts'
import { fill } from '../produce.ts'
import { medianOf, number, table } from '../report.ts'
import { openWorld, type World } from '../world.ts'
import type { Part } from './scale.ts'

interface Size {
  readonly title: string
  measure(round: number): Promise<Drained>
}

interface Compared {
  readonly what: string
  readonly rounds: number
  readonly say: (text: string) => void
  /** In rounds of alternating order, where a size can be had at any time. */
  readonly alternate: boolean
}

async function compare(
  { what, rounds, say, alternate }: Compared,
  sizes: readonly Size[],
): Promise<{ table: string; found: object }> {
  const all = sizes.map((size) => ({ size, runs: [] as Drained[] }))
  const measure = async ({ size, runs }: (typeof all)[number], round: number) => {
    const run = await size.measure(round)
    runs.push(run)
    say(`  ${size.title}, round ${round + 1}: ${Math.round(run.perSecond)} events/s`)
  }
  const turns = Array.from({ length: rounds }, (_, round) => round)
  if (alternate) {
    for (const round of turns) for (const one of round % 2 === 0 ? all : all.toReversed()) await measure(one, round)
  } else {
    for (const one of all) for (const round of turns) await measure(one, round)
  }
  const [first] = all
  const usual = first === undefined ? Number.NaN : medianOf(first, (run) => run.perSecond)
  return {
    table: table(
      [what, 'events/s', 'CPU s/million: its own', 'PostgreSQL', 'peak MiB', 'WAL B/event', 'of the first'],
      all.map((entry) => {
        const of = (value: (run: Drained) => number) => medianOf(entry, value)
        const rate = of((run) => run.perSecond)
        return [
          entry.size.title,
          count(Math.round(rate)),
          number(
            of(({ cpu }) => cpu.contender),
            1,
          ),
          number(
            of(({ cpu }) => cpu.postgres),
            1,
          ),
          number(of((run) => run.residentMiB)),
          number(of((run) => run.walBytes / run.rows)),
          number(rate / usual, 2),
        ]
      }),
    ),
    found: Object.fromEntries(all.map(({ size, runs }) => [size.title, runs])),
  }
}

const both = millrace({ publishes: true })

export const replicas: Part = async (options, { events, rounds }) => {
  await using world = await openWorld(options)
  await fill(world, events)
  await drain(world, both, events)
  return await compare(
    { ...options, what: 'replicas', rounds, alternate: true },
    [1, 2, 4].map((replicas) => ({
      title: String(replicas),
      measure: () => drain(world, millrace({ publishes: true, replicas }), events),
    })),
  )
}

export const partitions: Part = async (options, { events, rounds }) => {
  await using world = await openWorld(options)
  return await compare(
    { ...options, what: 'partitions', rounds, alternate: true },
    [100, 10, 1000].map((wanted) => ({
      title: String(wanted),
      async measure() {
        await world.emptyTopic(wanted)
        await fill(world, events)
        return drain(world, both, events)
      },
    })),
  )
}

/** As many events or as many bytes, whichever is less: a topic of gigabytes would measure the disk. */
const usualBytes = 500

export const bytes: Part = async (options, { events, rounds }) => {
  await using world = await openWorld(options)
  return await compare(
    { ...options, what: 'bytes of an event', rounds, alternate: true },
    [usualBytes, 200, 2000, 20_000].map((size) => ({
      title: count(size),
      async measure() {
        const some = Math.min(events, Math.ceil((events * 2 * usualBytes) / size))
        await world.emptyTopic()
        await fill(world, some, { size: [size, size] })
        return drain(world, both, some)
      },
    })),
  )
}

/** Into a table that has so many rows of today; it grows with every round. */
export const rows: Part = async (options, { events, rounds, rows: wanted }) => {
  await using world = await openWorld(options)
  return await compare(
    { ...options, what: 'rows of today before', rounds, alternate: false },
    [0, ...wanted].map((before) => ({
      title: count(before),
      async measure(round) {
        if (before === 0) await world.reset()
        else if (round === 0) await growTable(world, before)
        await world.emptyTopic()
        await fill(world, events, { seed: before + round })
        return drain(world, both, events, { keepRows: true })
      },
    })),
  )
}

/** So many daily partitions, all but one of them without a row. */
export const days: Part = async (options, { events, rounds }) => {
  await using world = await openWorld(options)
  await fill(world, events)
  await drain(world, both, events)
  return await compare(
    { ...options, what: 'daily partitions', rounds, alternate: false },
    [3, 30, 400].map((wanted) => ({
      title: String(wanted),
      async measure() {
        const before = Array.from({ length: wanted - 3 }, (_, n) => world.today - 2 - n)
        await ensurePartitions(world.sql, 'cloud_events', before, { signal: world.signal })
        return drain(world, both, events)
      },
    })),
  )
}

const growRowsMax = 1_000_000

/** Rows about as large as the topic's, under keys of the last hours. */
async function growTable(world: World, wanted: number): Promise<void> {
  const { sql, signal, say } = world
  const { rows } = await sql.query<{ rows: number }>('SELECT count(*)::int AS rows FROM cloud_events')
  let found = rows[0]?.rows ?? 0
  say(`  growing the table from ${count(found)} to ${count(wanted)} rows`)
  for (; found < wanted; found += growRowsMax) {
    signal.throwIfAborted()
    await sql.query(
      `INSERT INTO cloud_events (id, event_time, source, event_id, type, subject, tenant_id, data, kafka_topic, kafka_partition, kafka_offset, kafka_time)
       SELECT uuidv7(earlier), now() + earlier, '/grown', $2::text || n, 'com.bss.usage.recorded', 'sub_' || n % 8000, 'northwind',
         jsonb_build_object('n', n, 'filler', repeat(md5(n::text), 9)), 'grown', n % 100, n, now()
       FROM generate_series(1, $1::int) AS n,
         LATERAL (SELECT make_interval(secs => -random() * n / n * least(extract(epoch FROM now() - date_trunc('day', now(), 'UTC')), 36000)::float8) AS earlier) AS e`,
      [Math.min(growRowsMax, wanted - found), `${found}-`],
    )
  }
  // Else autovacuum does it while we measure.
  await sql.query('VACUUM (FREEZE, ANALYZE) cloud_events')
  await sql.query('CHECKPOINT')
}
