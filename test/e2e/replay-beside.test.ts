/**
 * Replays beside a fleet that stores, and producers that repeat themselves: what there is when a replay begins is settled, and each event of it comes once. Besides,
 * the spacing at a factor, and what Kafka does not hold any more.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { useStack } from './harness.ts'
import { millrace } from './millrace.ts'
import { canonical, compare, type Events } from './replayed.ts'
import { entriesOf, linesOf, main, onAnswer, replay, start } from './replaying.ts'
import { cleanEnv } from './replica.ts'
import { until } from './until.ts'

const servers = useStack()

test('replays beside a fleet at work', async (t) => {
  const world = await servers.world(t, { env: { MILLRACE_BATCH_ROWS_MAX: '64' } })
  const file = (name: string) => join(world.stack.folder, `${world.name}-${name}`)
  await world.replica()
  const all: Events = new Map()
  const load = world.load({ rate: 1500, duplicates: 0.02, poison: 0.005, binary: 0.3, onAnswer: onAnswer(all) })
  await world.untilRows(3000)

  await t.test(
    'what there is when it begins, each event once, though the fleet stores more and producers repeat themselves',
    async () => {
      for (const turn of [1, 2, 3]) {
        const id = `beside-${turn}`
        const result = await replay(world, '--id', id, '--into', `redis:replay:${id}`)
        t.diagnostic(`${result.fromPostgres} from PostgreSQL, ${result.fromKafka} from Kafka`)
        const entries = await entriesOf(world, `replay:${id}`)
        const { rows } = await world.sql.query('select plan from replays where id = $1', [id])
        const plan = rows[0].plan as { cuts: Record<string, number>; kafka: { partition: number; to: number }[] }
        const ends = { ...plan.cuts, ...Object.fromEntries(plan.kafka.map(({ partition, to }) => [partition, to])) }
        await until('the fleet to get there', 30_000, async () => {
          const ledger = await world.ledger()
          return Object.entries(ends).every(([partition, end]) => (ledger.get(Number(partition)) ?? 0) >= end) || null
        })
        const { rows: stored } = await world.sql.query(
          `select source || ' ' || event_id as key from cloud_events join unnest($1::int[], $2::bigint[]) as e (part, ends)
         on kafka_partition = part where kafka_offset < ends`,
          [Object.keys(ends), Object.values(ends)],
        )
        compare(entries, new Map(stored.map(({ key }) => [key, all.get(key) as string])), id)
      }
    },
  )

  await t.test('two into one target', async () => {
    const path = file('two.jsonl')
    const first = start(world, '--id', 'first', '--rate', '500', '--into', `file:${path}`)
    await until('the first to be on its way', 30_000, () => existsSync(`${path}.part`) || null)
    const second = await millrace(world.env, 'replay', '--into', `file:${path}`)
    assert.equal(second.code, 1)
    assert.match(second.err, /REPLAY_BUSY: Another replay writes to file:/)
    const same = await millrace(world.env, 'replay', '--resume', 'first')
    assert.match(same.err, /REPLAY_BUSY: Another replay writes to file:/)
    first.process.kill('SIGKILL')
    await once(first.process, 'exit')
    assert.equal((await millrace(world.env, 'replay', '--discard', 'first')).code, 0)
  })

  await load.stop()
  await world.untilDrained()

  await t.test('at ten times the speed', async () => {
    const { rows } = await world.sql.query(
      `select extract(epoch from min(event_time))::float8 as first, extract(epoch from max(event_time))::float8 as last from cloud_events`,
    )
    const { first, last } = rows[0] as { first: number; last: number }
    const from = new Date(Math.floor(first * 1000) + 1000)
    const seconds = Math.min(10, last - first - 2)
    const to = new Date(from.getTime() + seconds * 1000)
    const path = file('paced.jsonl')
    const range = ['--source', 'postgres', '--from', from.toISOString(), '--to', to.toISOString()]
    const args = [main, 'replay', ...range, '--speed', '10x', '--into', 'stdout', '--id', 'paced']
    const child = spawn(process.execPath, args, {
      env: cleanEnv(world.env) as NodeJS.ProcessEnv,
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const arrived: { timeMs: number; ms: number }[] = []
    for await (const line of createInterface({ input: child.stdout })) {
      arrived.push({ timeMs: Date.parse((JSON.parse(line) as { time: string }).time), ms: performance.now() })
    }
    const head = arrived[0] as (typeof arrived)[number]
    const errors = arrived
      .map(({ timeMs, ms }) => Math.abs(ms - head.ms - (timeMs - head.timeMs) / 10))
      .sort((a, b) => a - b)
    const at = (share: number) => errors[Math.floor((errors.length - 1) * share)]?.toFixed(1)
    t.diagnostic(`${path}: ${arrived.length} events, off by ${at(0.5)} ms p50, ${at(0.99)} ms p99, ${at(1)} ms at most`)
    // The test's own process reads late as well; the exact figures are those of test/replay/pace.test.ts.
    assert((errors[Math.floor(errors.length * 0.5)] as number) < 20)
    const took = (arrived.at(-1)?.ms ?? 0) - head.ms
    assert(took > seconds * 100 * 0.9 && took < seconds * 100 * 1.3, `${took} ms for ${seconds} s`)
  })

  await world.proof()

  await t.test('offsets, and what Kafka has dropped', async () => {
    const { rows: starts } = await world.sql.query(
      'select start_offset::int as start from ledger where partition in (1, 2) order by partition',
    )
    const [one, two] = starts.map(({ start }) => start as number) as [number, number]
    const path = file('offsets.jsonl')
    const ranges = ['--offsets', `1:${one + 10}-${one + 60}`, '--offsets', `2:${two + 20}-${two + 30}`]
    await replay(world, '--source', 'kafka', ...ranges, '--into', `file:${path}`, '--id', 'offsets')
    const { rows } = await world.sql.query(
      `select source || ' ' || event_id as key from cloud_events
       where (kafka_partition = 1 and kafka_offset >= $1::int + 10 and kafka_offset < $1::int + 60)
         or (kafka_partition = 2 and kafka_offset >= $2::int + 20 and kafka_offset < $2::int + 30)`,
      [one, two],
    )
    assert(rows.length > 40, `${rows.length} rows`)
    const found = linesOf(path).map((line) => canonical(Buffer.from(line), {}, Number.NaN, 'offsets')?.[0])
    for (const { key } of rows) assert(found.includes(key), key)
    assert(found.length <= 60)

    const key = (JSON.parse([...all.values()][0] as string) as { subject: string }).subject
    const byKey = await replay(world, '--source', 'kafka', '--key', key, '--into', `file:${file('key.jsonl')}`)
    assert((byKey.events as number) > 0)
    assert(linesOf(file('key.jsonl')).every((line) => (JSON.parse(line) as { subject: string }).subject === key))

    await world.admin.deleteTopicRecords({
      topic: 'cloud-events',
      partitions: [{ partition: 1, offset: String(one + 40) }],
    })
    for (const args of [
      ['--offsets', '1:10-60'],
      ['--from', '2026-01-01'],
    ]) {
      const gone = await millrace(world.env, 'replay', '--source', 'kafka', ...args)
      assert.equal(gone.code, 1)
      assert.match(gone.err, /HISTORY_EXPIRED: Kafka (begins at offset \d+ of|holds) partition 1/)
    }
  })
})
