/** What a replay asks of PostgreSQL before it begins, on a real one: whose target it is, whether it is live, and what is stored. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { partitionName } from '../../src/core/day.ts'
import { loadConsumer } from '../../src/process/load-consumer.ts'
import { refuseLive } from '../../src/replay/open-target.ts'
import { planReplay } from '../../src/replay/plan.ts'
import { insertReplay, listReplays, lockTarget, requireFree } from '../../src/replay/store.ts'
import { ensurePartitions } from '../../src/schema/partitions.ts'
import { noSignal, useServer } from '../schema/database.ts'
import { describe } from './world.ts'

const server = useServer()
const code = (expected: string) => (error: Error & { code?: string }) => error.code === expected

test('a replay is held for as long as whoever runs it lives; its target stays its own', async () => {
  const database = await server.database()
  const [runs, looks] = [await database.connect(), await database.connect()]
  const target = { kind: 'redis', stream: 'replay:a' } as const
  const one = describe({ id: 'one', target })
  await lockTarget(runs, one)
  await requireFree(runs, one)
  await insertReplay(runs, one, { cuts: { 0: 5 }, kafka: [] }, 'a@b')
  // Another lock of the same key is another thing.
  await looks.query("select pg_advisory_lock(hashtext('something else'), hashtext('redis:replay:b'))")
  await insertReplay(
    looks,
    describe({ id: 'two', target: { kind: 'redis', stream: 'replay:b' } }),
    { cuts: null, kafka: [] },
    'a@b',
  )
  const held = async () =>
    Object.fromEntries((await listReplays(looks, 10)).map(({ description: { id }, held }) => [id, held]))
  assert.deepEqual(await held(), { one: true, two: false })
  await assert.rejects(lockTarget(looks, describe({ id: 'three', target })), code('REPLAY_BUSY'))
  await runs.end()
  for (let tries = 0; (await held()).one && tries < 100; tries++)
    await new Promise((resolve) => setTimeout(resolve, 20))
  assert.deepEqual(await held(), { one: false, two: false })
  await assert.rejects(requireFree(looks, describe({ id: 'three', target })), code('REPLAY_BUSY'))
})

test('a table that has parts, is one, or is a view is no target; rows are cut where something was stored, also behind a step back', async () => {
  const session = await (await server.database()).connect()
  const consumer = await loadConsumer('cloud-events')
  const { topic, table } = consumer.definition
  const day = 20_000
  await ensurePartitions(session, table, [day], { signal: noSignal })
  await session.query(`create view seen as select * from ${table}; create table plain (id int);
    create table other (id int) partition by range (id)`)
  for (const name of [table, partitionName(table, day), 'seen', 'other'])
    await assert.rejects(
      refuseLive(session, consumer, describe({ target: { kind: 'table', table: name } })),
      code('REPLAY_TARGET'),
      name,
    )
  for (const name of ['plain', 'not_there'])
    await refuseLive(session, consumer, describe({ target: { kind: 'table', table: name } }))
  await session.query(
    `insert into ledger (consumer, topic, partition, start_offset, next_offset, repeated_below)
     values ('cloud-events', $1, 0, 0, 50, null), ('cloud-events', $1, 1, 0, 50, 80)`,
    [topic],
  )
  const plan = await planReplay({
    description: describe({ source: 'postgres' }),
    session,
    consumer: consumer.name,
    topic,
    kafka: null,
    futureMs: 0,
    retentionDays: 0,
    nowMs: 0,
  })
  assert.deepEqual(plan.cuts, { 0: 50, 1: 80 })
})
