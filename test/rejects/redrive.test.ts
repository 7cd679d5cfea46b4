/**
 * Redriving with a real broker, a real database and a real process of the fleet. The redrive is killed at every step, frozen and overtaken; whatever
 * happens, each reject comes to the topic exactly once more, and ends as a row or as a reject.
 */
import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import kafkajs, { type Message } from 'kafkajs'
import { topic, useStack, type World } from '../e2e/harness.ts'
import { until } from '../e2e/until.ts'
import { redriveUntil, rejects, start } from './run.ts'

const servers = useStack()
const few = 20
const dayMs = 86_400_000

/** To each partition as many old events, which a wider window will take, and as many that never can become events. */
async function produceBad(world: World, partitions: readonly number[], each: number): Promise<void> {
  const producer = world.kafka.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner })
  await producer.connect()
  const messages = partitions.flatMap((partition) =>
    Array.from({ length: each }, (_, n): Message[] => {
      const time = new Date(Date.now() - 5 * dayMs).toISOString()
      const event = {
        specversion: '1.0',
        id: randomUUID(),
        source: '/tests',
        type: 'com.bss.order.placed',
        time,
        data: { n },
      }
      const headers = { 'content-type': 'application/cloudevents+json', again: ['b', 'a'], 7: 'seven' }
      return [
        {
          partition,
          key: `key ${n}`,
          value: JSON.stringify(event),
          headers,
          timestamp: String(Date.now() - dayMs + n),
        },
        { partition, key: null, value: Buffer.from([0xff, 0xfe, n, partition]), headers },
      ]
    }).flat(),
  )
  await producer.send({ topic, messages })
  await producer.disconnect()
}

/** As many rejects as were produced, by a process with a narrow window; then one with a wide window takes over. */
async function rejectedWorld(t: TestContext, partitions: readonly number[], each = few): Promise<World> {
  const world = await servers.world(t, { env: { MILLRACE_LOG_LEVEL: 'debug' } })
  const narrow = await world.replica({
    MILLRACE_EVENT_PAST_DAYS_MAX: '1',
    MILLRACE_REJECT_PERCENT_MAX: '0',
    MILLRACE_REJECT_RUN_MAX: '0',
  })
  await produceBad(world, partitions, each)
  await world.untilDrained()
  await narrow.stop()
  await world.replica()
  return world
}

const counts = async (world: World, partition: number): Promise<Record<string, number>> => {
  const { rows } = await world.sql.query(
    `select state, count(*)::int from rejects where partition = $1 and attempts = 0 group by 1`,
    [partition],
  )
  return Object.fromEntries(rows.map(({ state, count }) => [state, count]))
}

/** Of these partitions: every old event is a row once, everything else a reject twice, as it was produced and as it was redriven. */
async function provedOnce(world: World, partitions: readonly number[], each = few): Promise<void> {
  await world.untilDrained()
  for (const partition of partitions) {
    assert.deepEqual(await counts(world, partition), { redriven: 2 * each })
    const { rows } = await world.sql.query(
      `select (select count(*)::int from cloud_events where kafka_partition = $1) as rows,
         (select count(*)::int from rejects r where partition = $1 and attempts = 1 and state = 'open'
           and exists (select from rejects o where o.id = r.redrive_of and o.value = r.value)) as again,
         (select count(distinct redrive_of)::int from rejects where partition = $1) as of,
         (select sum(duplicated)::int from ledger where partition = $1) as duplicated`,
      [partition],
    )
    assert.deepEqual(rows[0], { rows: each, again: each, of: each, duplicated: 0 }, `partition ${partition}`)
  }
}

const steps = ['marked', 'produced', 'noted', 'committed', 'done'] as const

test('killed at each step of its second batch, and gone on with: each is sent exactly once', async (t) => {
  const partitions = steps.map((_, at) => at)
  const world = await rejectedWorld(t, partitions)
  for (const [partition, step] of steps.entries()) {
    const killed = await redriveUntil(world.env, step, 2, 'KILL', partition).ended
    assert.equal(killed.signal, 'SIGKILL', `${step}: ${killed.err}`)
    const batch = 10
    const inDoubt = step === 'done' ? 0 : batch
    const before = step === 'done' ? 2 * batch : batch
    assert.deepEqual(
      await counts(world, partition),
      { open: 2 * few - before - inDoubt, ...(inDoubt > 0 && { redriving: inDoubt }), redriven: before },
      step,
    )
    const { code, out, err } = await rejects(world.env, 'redrive', '--resume', '--yes', '--json')
    assert.equal(code, 0, err)
    const told = JSON.parse(out)
    const sent = step === 'committed' ? batch : 0
    assert.deepEqual(told.settled, { sent, reopened: inDoubt - sent }, step)
    assert.equal(told.redriven, 2 * few - before - sent, step)
  }
  await provedOnce(world, partitions)
  const { rows } = await world.sql.query(
    "select detail->>'resumes' is not null as resumes, (detail->>'selected')::int as selected from audit where action = 'rejects redrive' order by id",
  )
  assert.equal(rows.filter(({ resumes }) => !resumes).length, steps.length)
  assert.equal(rows.length, 2 * steps.length)
  await world.proof({ poison: 0, events: few * partitions.length })
})

test('frozen with an open transaction: nobody else may, and once its session is gone it cannot any more', async (t) => {
  const world = await rejectedWorld(t, [6])
  const zombie = redriveUntil(world.env, 'noted', 2, 'STOP', 6)
  t.after(() => zombie.child.kill('SIGKILL'))
  await until('the redrive to freeze', 30_000, () =>
    / T /.test(readFileSync(`/proc/${zombie.child.pid}/stat`, 'utf8')) ? true : null,
  )
  const busy = await rejects(world.env, 'redrive', '--partition', '6', '--yes')
  assert.equal(busy.code, 1)
  assert.match(busy.err, /REDRIVE_BUSY/)

  await world.sql.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'test redrive'",
  )
  await until('its lock to be free', 10_000, async () => {
    const { rows } = await world.sql.query("select count(*)::int from pg_locks where locktype = 'advisory'")
    return rows[0].count === 0 || null
  })
  const heir = await rejects(world.env, 'redrive', '--resume', '--yes', '--json')
  assert.equal(heir.code, 0, heir.err)
  assert.deepEqual(JSON.parse(heir.out).settled, { sent: 0, reopened: 10 })
  zombie.child.kill('SIGCONT')
  const { code } = await zombie.ended
  assert.notEqual(code, 0)
  await provedOnce(world, [6])
})

test('told first, stopped by Ctrl-C after a batch, limited, and gone on with', async (t) => {
  const world = await rejectedWorld(t, [7])
  const told = await rejects(world.env, 'redrive', '--partition', '7', '--limit', '30')
  assert.equal(told.code, 0, told.err)
  assert.match(
    told.out,
    /^Would redrive 30 rejects of 'cloud-events' \(state open; partition 7\), in about 1 s at 1,000\/s\.\nNothing was changed/,
  )
  assert.deepEqual(await counts(world, 7), { open: 2 * few })

  const args = ['rejects', 'redrive', '--partition', '7', '--limit', '30', '--rate', '20', '--yes']
  const running = start(world.env, 'src/main.ts', args)
  await until('a batch to be sent', 20_000, async () => ((await counts(world, 7)).redriven ?? 0) > 0 || null)
  running.child.kill('SIGINT')
  const stopped = await running.ended
  assert.equal(stopped.code, 1, stopped.err)
  assert.match(
    stopped.out,
    /^Redrove \d+ of 30 rejects, audit 1\. Interrupted: `millrace rejects redrive --resume --yes` goes on\./,
  )
  assert.equal((await counts(world, 7)).redriving, undefined)
  const rest = await rejects(world.env, 'redrive', '--resume', '--yes')
  assert.equal(rest.code, 0, rest.err)
  assert.deepEqual(await counts(world, 7), { open: 2 * few - 30, redriven: 30 })
  assert.match((await rejects(world.env, 'redrive', '--resume', '--yes')).out, /^Redrove 0 of 0/)

  const wrong = await rejects(world.env, 'redrive', '--rate', 'fast')
  assert.deepEqual([wrong.code, wrong.out], [2, ''])
  assert.match(wrong.err, /^millrace: USAGE: --rate reads 'fast'/)
  assert.equal((await rejects(world.env, 'redrive', '--consumer', 'cloud-event', '--yes')).code, 1)
  const many = await rejects(
    world.env,
    'list',
    '--code',
    'not_json',
    '--code',
    'bad_utf8',
    '--by',
    'code',
    '--state',
    'all',
  )
  assert.match(many.out, /100\.0 % +not_json/)
})

test('the record that comes is the one that was, to the byte, with two headers more', async (t) => {
  const world = await rejectedWorld(t, [8])
  // What the test's own producer cannot send: headers without a value and in any order, an empty key, a time of its own.
  await world.sql.query(
    `insert into rejects (consumer, topic, partition, kafka_offset, kafka_time, key, value, headers, code, reason, decoder) values
     ('cloud-events', $1, 8, 1000000, '2026-11-20T01:02:03.004Z', '', '\xc0', $2, 'bad_utf8', '', '')`,
    [
      topic,
      JSON.stringify([
        ['10', 'YQ=='],
        ['z', null],
        ['9', ''],
        ['z', 'Yg=='],
        ['constructor', 'Yw=='],
        ['', null],
        ['z', null],
      ]),
    ],
  )
  const first = await rejects(world.env, 'redrive', '--partition', '8', '--yes')
  assert.equal(first.code, 0, first.err)
  await world.untilDrained()
  const again = await rejects(world.env, 'redrive', '--partition', '8', '--yes', '--json')
  assert.equal(again.code, 0, again.err)
  assert.equal(JSON.parse(again.out).redriven, few + 1)
  await world.untilDrained()
  const { rows } = await world.sql.query(
    `select a.id::text, a.key, a.value, a.headers, a.kafka_time, b.key as key2, b.value as value2, b.headers as headers2, b.kafka_time as time2,
       b.attempts, c.attempts as attempts3, c.headers as headers3, b.id::text as id2
     from rejects a join rejects b on b.redrive_of = a.id join rejects c on c.redrive_of = b.id where a.partition = 8 and a.attempts = 0`,
  )
  assert.equal(rows.length, few + 1)
  const base64 = (text: string) => Buffer.from(text).toString('base64')
  for (const row of rows) {
    assert.deepEqual([row.key2, row.value2, row.time2], [row.key, row.value, row.kafka_time])
    assert.deepEqual(row.headers2, [
      ...row.headers,
      ['millrace-redrive-of', base64(row.id)],
      ['millrace-attempts', base64('1')],
    ])
    assert.deepEqual(row.headers3, [
      ...row.headers,
      ['millrace-redrive-of', base64(row.id2)],
      ['millrace-attempts', base64('2')],
    ])
    assert.deepEqual([row.attempts, row.attempts3], [1, 2])
  }
  // Which of its records a redrive may send is told before it is asked to, and the loop ends.
  const third = await rejects(world.env, 'redrive', '--partition', '8', '--attempts-max', '2', '--yes', '--json')
  assert.deepEqual(JSON.parse(third.out).leftOut, { attempts: few + 1, unreadable: 0, partitionGone: 0 })
  assert.equal(JSON.parse(third.out).redriven, 0)
})

test('a topic that takes smaller records by now: what is too large for it stays open, told by its id', async (t) => {
  const world = await servers.world(t)
  const limit = (value: string) =>
    world.admin.alterConfigs({
      validateOnly: false,
      resources: [
        {
          type: kafkajs.ConfigResourceTypes.TOPIC,
          name: topic,
          configEntries: [{ name: 'max.message.bytes', value }],
        },
      ],
    })
  const values = [1, 2, 3, 4, 5].map((n) => (n === 4 ? randomBytes(50_000) : Buffer.from([0xff, n])))
  await world.sql.query(
    `insert into rejects (consumer, topic, partition, kafka_offset, kafka_time, value, code, reason, decoder)
     select 'cloud-events', $1, 11, 1000000 + n, now(), value, 'not_json', '', '' from unnest($2::bytea[]) with ordinality u (value, n)`,
    [topic, values],
  )
  await limit('20000')
  const { code, out, err } = await rejects(world.env, 'redrive', '--yes')
  await limit('1048588')
  assert.equal(code, 1, err)
  assert.equal(
    out + err,
    'Redrove 4 of 5 rejects, audit 1.\n1 left open: the topic does not take records of their size any more (4).\n',
  )
  assert.deepEqual(await counts(world, 11), { open: 1, redriven: 4 })
  const rest = await rejects(world.env, 'redrive', '--yes')
  assert.match(rest.out, /^Redrove 1 of 1 rejects, audit 2\.\n$/)
  await world.replica()
  await world.untilDrained()
  const { rows } = await world.sql.query('select value from rejects where attempts = 1 order by redrive_of')
  assert.deepEqual(
    rows.map(({ value }) => value),
    values,
  )
})

test('killed again and again at any moment, by the command line as it is: once all the same', async (t) => {
  const each = 1500
  const world = await rejectedWorld(t, [9, 10], each)
  const patience = AbortSignal.timeout(120_000)
  let kills = 0
  for (let begun = false; ; ) {
    patience.throwIfAborted()
    const which = begun ? ['--resume'] : ['--since', '1h']
    const running = start(world.env, 'src/main.ts', [
      'rejects',
      'redrive',
      ...which,
      '--rate',
      '2000',
      '--yes',
      '--json',
    ])
    // Later each time: a busy machine may take longer than this to start a process.
    const timer = setTimeout(() => running.child.kill('SIGKILL'), 600 + kills * 120 + world.random.below(900))
    const { code, err } = await running.ended
    clearTimeout(timer)
    // Killed before its row in the audit was there, it is no redrive that could be gone on with.
    begun ||= (await world.sql.query("select from audit where action = 'rejects redrive'")).rows.length > 0
    if (code === null) kills++
    else {
      assert.equal(code, 0, err)
      break
    }
  }
  t.diagnostic(`${kills} kills`)
  await provedOnce(world, [9, 10], each)
})
