/**
 * Look-ups by key, by time and by (type, time) use an index and touch only the days in question: read from EXPLAIN.
 * 120,000 events of 20 types, spread evenly over ten whole days, today the last.
 */
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { aheadDays, dayOf, dayText, partitionName } from '../../src/core/day.ts'
import { ensurePartitions } from '../../src/schema/partitions.ts'
import type { Session } from '../../src/schema/sql.ts'
import { noSignal, useServer } from './database.ts'
import { explain, type Plan } from './plan.ts'

const server = useServer()
let session: Session
let nowMs: number

/** Names of partitions by how long ago their day was. */
const ago = (days: number) => partitionName('cloud_events', dayOf(nowMs) - days)
const hour = (days: number, text: string) => `timestamptz '${dayText(dayOf(nowMs) - days)} ${text}Z'`

before(async () => {
  session = await (await server.database()).connect()
  nowMs = Date.now()
  await ensurePartitions(session, 'cloud_events', aheadDays(nowMs, { behind: 9, ahead: 0 }), { signal: noSignal })
  await session.query(`
    insert into cloud_events (id, event_time, source, event_id, type, data, kafka_topic, kafka_partition, kafka_offset, kafka_time)
    select millrace_event_id(t, 's', n::text), t, 's', n::text, 'com.example.type' || n % 20, '{"some": "data"}', 'k', n % 100, n / 100, t
    from generate_series(0, 119999) n,
      lateral (select ${hour(9, '00:00')} + n * interval '7.2 s' as t) spread`)
  await session.query('analyze cloud_events')
})

/** Exactly these partitions were read, each through an index of this kind; whatever else planning kept was never run. */
function assertReads(plan: Plan, index: 'pkey' | 'type_event_time_idx', tables: string[]): void {
  const read = plan.scans.filter(({ executed }) => executed)
  assert.deepEqual(read.map(({ table }) => table).sort(), [...tables].sort())
  for (const { table, index: used } of read) assert.equal(used, `${table}_${index}`)
}

const rowsOf = (plan: Plan) => plan.scans.reduce((sum, { rows }) => sum + rows, 0)

test('one event by its id: one day, its key', async () => {
  const { rows } = await session.query(`select id from cloud_events where event_time > ${hour(3, '12:00')} limit 1`)
  const plan = await explain(session, `select * from cloud_events where id = '${rows[0].id}'`)
  assertReads(plan, 'pkey', [ago(3)])
  assert.deepEqual([rowsOf(plan), plan.scans.length], [1, 1])
})

test('one event by what its id is made of', async () => {
  const query = `select * from cloud_events where id = millrace_event_id(${hour(3, '12:00')}, 's', 'x')`
  assertReads(await explain(session, query), 'pkey', [ago(3)])
})

test('a range of event_time: the days it meets, skipping over the types', async () => {
  const within = await explain(
    session,
    `select * from cloud_events where event_time >= ${hour(3, '10:00')} and event_time < ${hour(3, '10:05')}`,
  )
  assertReads(within, 'type_event_time_idx', [ago(3)])
  assert.equal(within.scans.length, 1, 'the check on each day prunes while planning')
  assert.ok(within.scans[0]!.searches >= 20, 'a search for each of the 20 types')
  assert.ok(rowsOf(within) > 30)

  const across = await explain(
    session,
    `select * from cloud_events where event_time >= ${hour(3, '23:50')} and event_time < ${hour(2, '00:10')}`,
  )
  assertReads(across, 'type_event_time_idx', [ago(3), ago(2)])
})

test('a range of event_time up to now(): an index everywhere, but every day is asked', async () => {
  // now() is not known while planning, and a check is of no use to the executor. The next test is the remedy.
  const plan = await explain(
    session,
    `select * from cloud_events where event_time >= now() - interval '10 minutes' and event_time < now()`,
  )
  assertReads(
    plan,
    'type_event_time_idx',
    Array.from({ length: 10 }, (_, days) => ago(days)),
  )
})

test('a range of ids by millrace_id_floor: the days it meets, by key, also up to now()', async () => {
  const fixed = await explain(
    session,
    `select * from cloud_events where id >= millrace_id_floor(${hour(3, '10:00')}) and id < millrace_id_floor(${hour(3, '16:00')})`,
  )
  assertReads(fixed, 'pkey', [ago(3)])
  assert.equal(fixed.scans.length, 1)
  const counted = await session.query(
    `select count(*)::integer as n from cloud_events where event_time >= ${hour(3, '10:00')} and event_time < ${hour(3, '16:00')}`,
  )
  assert.equal(rowsOf(fixed), counted.rows[0].n, 'a range of ids holds the same events as the range of times')

  const moving = await explain(
    session,
    `select * from cloud_events where id >= millrace_id_floor(now() - interval '10 minutes') and id < millrace_id_floor(now())`,
  )
  assertReads(
    moving,
    'pkey',
    moving.scans.map(({ table }) => table),
  )
  assert.ok(
    moving.removed >= 8 && moving.scans.length <= 2,
    `${moving.removed} days were removed as the executor started`,
  )
  assert.ok(rowsOf(moving) > 0)
})

test('a type and a range of time: the days it meets, one search each', async () => {
  const plan = await explain(
    session,
    `select * from cloud_events where type = 'com.example.type3' and event_time >= ${hour(3, '10:00')} and event_time < ${hour(3, '16:00')}`,
  )
  assertReads(plan, 'type_event_time_idx', [ago(3)])
  assert.equal(plan.scans[0]!.searches, 1)
  assert.match(plan.scans[0]!.condition, /type = .*event_time >= .*event_time </)
})

test('a type and a range of time up to now(), with the id beside it: the last day only', async () => {
  const since = `now() - interval '10 minutes'`
  const plan = await explain(
    session,
    `select * from cloud_events where type = 'com.example.type3' and event_time >= ${since} and id >= millrace_id_floor(${since})`,
  )
  // Both indexes begin where the range does; which of them is the cheaper one changes with the hour of the day.
  for (const { table, index } of plan.scans.filter(({ executed }) => executed))
    assert.ok([`${table}_pkey`, `${table}_type_event_time_idx`].includes(index ?? ''), `${table} by ${index}`)
  assert.ok(plan.scans.length <= 2, `${plan.scans.length} days`)
})

test('the newest events: the last day only', async () => {
  assertReads(await explain(session, 'select * from cloud_events order by id desc limit 20'), 'pkey', [ago(0)])
})

test('no index of the parent or of a day is invalid', async () => {
  const { rows } = await session.query(`select indexrelid::regclass::text as name from pg_index where not indisvalid`)
  assert.deepEqual(rows, [])
})
