/**
 * Replays on real servers: what was sent is replayed from each source to each target and compared event by event; killed in the middle and gone on with;
 * and whatever happens, the live group's offsets, the ledger and the live streams stay as they are.
 *
 * MILLRACE_REPLAY_EVENTS=1000000 for more than the short run.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { openKafkaReader } from '../../src/records/kafka-reader.ts'
import { putOnSmallDisk, whyNoMount } from '../chaos/ground/small-disk.ts'
import { useStack, type World } from './harness.ts'
import { millrace } from './millrace.ts'
import { compare, type Events } from './replayed.ts'
import { batchOf, entriesOf, events, killed, linesOf, onAnswer, onItsWay, replay, start } from './replaying.ts'
import { until } from './until.ts'
import { openHook } from './webhook.ts'

const servers = useStack()
const unstored = Math.round(events / 10)

/** Everything stored, and the same with what is in Kafka only. */
interface Sent {
  readonly stored: Events
  readonly all: Events
}

async function sent(world: World): Promise<Sent> {
  const all: Events = new Map()
  const load = { rate: 20_000, duplicates: 0, poison: 0.005, binary: 0.3, onAnswer: onAnswer(all) }
  const replica = await world.replica()
  await world.load({ ...load, events }).done
  await world.untilDrained(300_000)
  await replica.stop()
  const stored = new Map(all)
  await world.load({ ...load, events: unstored }).done
  return { stored, all }
}

/** All that a replay may not touch. */
async function live(world: World): Promise<unknown> {
  const keys = (await world.redis.keys('events:*')).sort()
  const lengths = await Promise.all(keys.map(async (key) => [key, await world.redis.xlen(key)]))
  const { rows: ledger } = await world.sql.query('select * from ledger order by partition')
  const { rows: counts } = await world.sql.query('select count(*) from cloud_events')
  const { groups } = await world.admin.listGroups()
  return {
    lengths,
    ledger,
    counts,
    groups: groups.map(({ groupId }) => groupId).sort(),
    committed: [...(await world.committed())],
  }
}

test('replays', async (t) => {
  const world = await servers.world(t)
  const { stored, all } = await sent(world)
  const before = await live(world)
  const file = (name: string) => join(world.stack.folder, `${world.name}-${name}`)

  await t.test('what is stored, into a file', async () => {
    const path = file('stored.jsonl')
    const result = await replay(world, '--source', 'postgres', '--into', `file:${path}`, '--id', 'pg-file')
    assert.deepEqual([result.state, result.events, result.fromPostgres], ['done', stored.size, stored.size])
    compare(linesOf(path), stored, 'pg-file', { inOrder: true })
    assert(!existsSync(`${path}.part`))
  })

  await t.test('what Kafka holds, into a file', async () => {
    const path = file('kafka.jsonl')
    const result = await replay(world, '--source', 'kafka', '--into', `file:${path}`, '--id', 'kafka-file')
    assert.deepEqual([result.events, result.fromKafka], [all.size, all.size])
    compare(linesOf(path), all, 'kafka-file')
  })

  await t.test('both as one, joined where the ledger stands, as one batch of CloudEvents', async () => {
    const path = file('auto.json')
    const args = ['--into', `file:${path}`, '--format', 'batch', '--id', 'auto-file']
    const result = await replay(world, ...args)
    assert.deepEqual([result.fromPostgres, result.fromKafka], [stored.size, all.size - stored.size])
    compare(batchOf(path), all, 'auto-file')
  })

  for (const [source, expected] of [
    ['postgres', stored],
    ['kafka', all],
    ['auto', all],
  ] as const) {
    await t.test(`into a stream, from ${source}`, async () => {
      const id = `${source}-redis`
      await replay(world, '--source', source, '--into', `redis:replay:${id}`, '--id', id)
      compare(await entriesOf(world, `replay:${id}`), expected, id, { inOrder: source === 'postgres' })
    })

    await t.test(`killed in the middle and gone on with, into a stream, from ${source}`, async (t) => {
      const id = `${source}-redis-killed`
      await killed(world, t, id, '--source', source, '--into', `redis:replay:${id}`)
      const other = await millrace(world.env, 'replay', '--source', source, '--into', `redis:replay:${id}`)
      assert.equal(other.code, 1)
      assert.match(other.err, new RegExp(`REPLAY_BUSY: The replay ${id} .* --resume ${id}`))
      await replay(world, '--resume', id)
      compare(await entriesOf(world, `replay:${id}`), expected, id, { inOrder: source === 'postgres' })
    })

    await t.test(`killed in the middle and gone on with, into a file, from ${source}`, async (t) => {
      const id = `${source}-file-killed`
      const path = file(`${id}.jsonl`)
      await killed(world, t, id, '--source', source, '--into', `file:${path}`)
      assert(!existsSync(path))
      await replay(world, '--resume', id)
      compare(linesOf(path), expected, id)
    })
  }

  await t.test('into a table, killed in the middle and gone on with; data as it was, to the last digit', async (t) => {
    const same = async (table: string, replayId: string) => {
      // Where nothing differs, neither is more than the other.
      const columns =
        'id, event_time, source, event_id, type, subject, tenant_id, data, data_bytes, kafka_topic, kafka_partition, kafka_offset'
      const mark = JSON.stringify({ replayid: replayId })
      const { rows } = await world.sql.query(
        `(SELECT ${columns}, coalesce(extensions, '{}') || $1::jsonb FROM cloud_events EXCEPT SELECT ${columns}, extensions FROM ${table})
         UNION ALL (SELECT ${columns}, extensions FROM ${table} EXCEPT SELECT ${columns}, coalesce(extensions, '{}') || $1::jsonb FROM cloud_events)`,
        [mark],
      )
      assert.deepEqual(rows.slice(0, 3), [])
      const { rows: counts } = await world.sql.query(`SELECT count(*)::int FROM ${table}`)
      assert.equal(counts[0].count, stored.size)
    }
    await replay(world, '--source', 'postgres', '--into', 'table:shadow', '--id', 'pg-table')
    await same('shadow', 'pg-table')
    await killed(world, t, 'pg-table-killed', '--source', 'postgres', '--into', 'table:shadow_killed')
    await replay(world, '--resume', 'pg-table-killed')
    await same('shadow_killed', 'pg-table-killed')
    for (const source of ['kafka', 'auto']) {
      const result = await replay(
        world,
        '--source',
        source,
        '--into',
        `table:shadow_${source}`,
        '--id',
        `${source}-table`,
      )
      assert.equal(result.events, all.size)
      const { rows } = await world.sql.query(
        `SELECT count(*)::int, count(distinct (source, event_id))::int AS events FROM shadow_${source}`,
      )
      assert.deepEqual(rows, [{ count: all.size, events: all.size }])
    }
    const again = await millrace(world.env, 'replay', '--source', 'postgres', '--into', 'table:shadow')
    assert.match(again.err, /REPLAY_TARGET: The table shadow has rows already/)
  })

  await t.test('into a topic, each subject in order', async () => {
    const topic = `replayed-${world.name}`
    const missing = await millrace(world.env, 'replay', '--into', `kafka:${topic}`)
    assert.match(missing.err, /TOPIC_MISSING/)
    await world.admin.createTopics({ topics: [{ topic, numPartitions: 3 }], waitForLeaders: true })
    await replay(world, '--into', `kafka:${topic}`, '--id', 'auto-kafka')
    const reader = await openKafkaReader(
      { brokers: [world.stack.kafka], logLevel: 0 },
      topic,
      AbortSignal.timeout(600_000),
    )
    const entries: Buffer[] = []
    const last = new Map<string, number>()
    for (const { partition, high } of await world.admin.fetchTopicOffsets(topic)) {
      const feed = reader.read([{ partition, from: 0, to: Number(high) }], () => {})
      for (;;) {
        if (feed.empty) await feed.ready()
        const record = feed.head()
        if (record === undefined) break
        feed.take()
        entries.push(record.value as Buffer)
        const { subject } = JSON.parse(String(record.value)) as { subject: string }
        assert.equal(String(record.key), subject)
        assert.equal(last.get(subject) ?? partition, partition)
        last.set(subject, partition)
      }
    }
    await reader.close()
    compare(entries, all, 'auto-kafka')
  })

  await t.test('to a webhook that is busy now and then, in each mode, read back by the official SDK', async () => {
    const times = [...stored.values()]
      .map((event) => (JSON.parse(event) as { timeMs: number }).timeMs)
      .sort((a, b) => a - b)
    const to = times[Math.min(400, times.length - 1)] as number
    const expected = new Map([...stored].filter(([, event]) => (JSON.parse(event) as { timeMs: number }).timeMs < to))
    for (const mode of ['binary', 'structured', 'batch']) {
      await using hook = await openHook()
      const args = [
        '--source',
        'postgres',
        '--to',
        new Date(to).toISOString(),
        '--http-mode',
        mode,
        '--id',
        `hook-${mode}`,
      ]
      await replay(world, ...args, '--into', hook.url)
      compare(
        hook.events.map((event) => JSON.stringify(event)),
        expected,
        `hook-${mode}`,
      )
      assert(hook.refused > 0)
    }
    await using hook = await openHook(410)
    const gone = await millrace(world.env, 'replay', '--source', 'postgres', '--into', hook.url, '--id', 'hook-gone')
    assert.equal(gone.code, 1)
    assert.match(gone.err, /REPLAY_REFUSED: .* refuses the event \(.*\): 410 no more/)
    assert.equal((await millrace(world.env, 'replay', '--discard', 'hook-gone')).code, 0)
  })

  await t.test('a selection, the same from rows and from records', async () => {
    const select = [
      '--type',
      'com.bss.order.*',
      '--type',
      'com.bss.payment.captured',
      '--jsonpath',
      '$.amount > 50 || $.total > 50',
    ]
    const wanted = (event: string) => {
      const { type, data } = JSON.parse(event) as { type: string; data: { amount?: unknown; total?: unknown } | null }
      const above = (value: unknown) => typeof value === 'number' && value > 50
      return /^com\.bss\.(order\..*|payment\.captured)$/.test(type) && (above(data?.amount) || above(data?.total))
    }
    const expected = new Map([...stored].filter(([, event]) => wanted(event)))
    const expectedAll = new Map([...all].filter(([, event]) => wanted(event)))
    t.diagnostic(`${expected.size} of ${stored.size} fit`)
    for (const [source, events] of [
      ['postgres', expected],
      ['kafka', expectedAll],
      ['auto', expectedAll],
    ] as const) {
      const path = file(`selected-${source}.jsonl`)
      const id = `selected-${source}`
      await replay(world, '--source', source, ...select, '--into', `file:${path}`, '--id', id)
      compare(linesOf(path), events, id)
      const estimate = await replay(world, '--source', source, ...select, '--dry-run')
      assert(source === 'postgres' ? estimate.events === expected.size : (estimate.events as number) >= events.size)
    }
  })

  await t.test('a range of time, from each source', async () => {
    const times = [...stored.values()]
      .map((event) => (JSON.parse(event) as { timeMs: number }).timeMs)
      .sort((a, b) => a - b)
    const from = times[Math.floor(times.length / 3)] as number
    const to = times[Math.floor((times.length * 2) / 3)] as number
    const expected = new Map(
      [...all].filter(([, event]) => {
        const { timeMs } = JSON.parse(event) as { timeMs: number }
        return timeMs >= from && timeMs < to
      }),
    )
    const range = ['--from', new Date(from).toISOString(), '--to', new Date(to).toISOString()]
    for (const source of ['postgres', 'kafka', 'auto']) {
      const path = file(`range-${source}.jsonl`)
      await replay(world, '--source', source, ...range, '--into', `file:${path}`, '--id', `range-${source}`)
      compare(linesOf(path), expected, `range-${source}`)
    }
  })

  await t.test('wrong ones are told so, and leave nothing behind', async () => {
    const wrongs: [args: string[], code: number, pattern: RegExp][] = [
      [['--from', '2026-01-02', '--to', '2026-01-01'], 2, /USAGE: The range is empty/],
      [['--speed', '0'], 2, /USAGE: --speed reads '0'/],
      [['--rate', '-5'], 2, /USAGE: --rate/],
      [['--into', 'redis:events:cloud:{0}'], 2, /USAGE: .*might be a live one/],
      [['--into', 'table:cloud_events'], 1, /REPLAY_TARGET: cloud_events is the table that the fleet writes/],
      [['--into', 'kafka:cloud-events'], 1, /REPLAY_TARGET: cloud-events is a topic that a fleet reads/],
      [['--into', `file:${file('stored.jsonl')}`], 1, /REPLAY_TARGET: .* is there already/],
      [['--jsonpath', '$.a >'], 2, /USAGE: '\$\.a >' is no JSONPath/],
      [['--source', 'kafka', '--offsets', '0:0-99999999'], 2, /USAGE: Partition 0 ends at offset/],
      [['--source', 'kafka', '--offsets', '99'], 2, /USAGE: The topic has no partition 99/],
      [['--resume', 'nobody'], 1, /REPLAY_UNKNOWN: There is no replay nobody/],
      [['--resume', 'pg-file'], 1, /REPLAY_UNKNOWN: The replay pg-file is done/],
      [['--consumer', 'cloud-event'], 1, /CONSUMER_UNKNOWN: .*Did you mean 'cloud-events'/],
    ]
    for (const [args, code, pattern] of wrongs) {
      const found = await millrace(world.env, 'replay', ...args)
      assert.equal(found.code, code, `${args.join(' ')}: ${found.err}`)
      assert.match(found.err, pattern)
    }
    const old = await millrace(
      { ...world.env, MILLRACE_RETENTION_DAYS: '3', MILLRACE_EVENT_PAST_DAYS_MAX: '2' },
      'replay',
      '--source',
      'postgres',
      '--from',
      '30d',
    )
    assert.match(old.err, /HISTORY_EXPIRED: Days before/)
    const typo = await millrace(
      world.env,
      'replay',
      '--source',
      'postgres',
      '--type',
      'com.bss.order.creatd',
      '--dry-run',
    )
    assert.match(
      typo.err,
      /No stored event has the type 'com.bss.order.creatd'; did you mean 'com.bss.order.created'\?/,
    )
    const { rows } = await world.sql.query("select id from replays where state in ('running', 'failed')")
    assert.deepEqual(rows, [])
  })

  const noMount = await whyNoMount()
  await t.test(
    'a disk that is full: a clear word, whole events, and on when there is room',
    { skip: noMount ?? false },
    async () => {
      const folder = file('disk')
      mkdirSync(folder)
      const disk = await putOnSmallDisk(folder)
      try {
        const path = join(folder, 'full.jsonl')
        const child = start(
          world,
          '--id',
          'full',
          '--source',
          'postgres',
          '--rate',
          String(events / 4),
          '--into',
          `file:${path}`,
        )
        await onItsWay(world, 'full')
        await disk.fill()
        const [code] = await once(child.process, 'exit')
        assert.equal(code, 1)
        assert.match(child.err(), /DISK_FULL: No room for/)
        assert(!existsSync(path))
        for (const line of linesOf(`${path}.part`)) JSON.parse(line)
        assert(readFileSync(`${path}.part`, 'utf8').endsWith('\n'))
        await disk.free()
        await replay(world, '--resume', 'full')
        compare(linesOf(path), stored, 'full')
      } finally {
        await disk.putBack()
      }
    },
  )

  await t.test('given up, its file goes and its target is free', async (t) => {
    const path = file('given-up.jsonl')
    await killed(world, t, 'given-up', '--source', 'postgres', '--into', `file:${path}`)
    assert(existsSync(`${path}.part`))
    assert.equal((await millrace(world.env, 'replay', '--discard', 'given-up')).code, 0)
    assert(!existsSync(`${path}.part`))
    await replay(world, '--source', 'postgres', '--into', `file:${path}`, '--id', 'anew')
    compare(linesOf(path), stored, 'anew')
  })

  await t.test('Ctrl-C ends it so that it can be gone on with', async () => {
    const path = file('stopped.jsonl')
    const args = ['--source', 'postgres', '--rate', '2000', '--into', `file:${path}`, '--id', 'stopped']
    const child = start(world, ...args)
    await until('it to be on its way', 30_000, () => existsSync(`${path}.part`) || null)
    child.process.kill('SIGINT')
    const [code] = await once(child.process, 'exit')
    assert.equal(code, 1)
    assert.match(child.out(), /--resume stopped/)
    await replay(world, '--resume', 'stopped')
    compare(linesOf(path), stored, 'stopped')
  })

  await t.test('live offsets, marks and streams are as they were', async () => {
    assert.deepEqual(await live(world), before)
  })
})
