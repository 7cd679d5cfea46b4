/** The server beside a fleet at work, with Kafka and Redis: offsets, positions, and a replay into a stream that a kill does not hurt. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { topic, useStack } from '../e2e/harness.ts'
import { compare, type Events } from '../e2e/replayed.ts'
import { entriesOf, onAnswer } from '../e2e/replaying.ts'
import { until } from '../e2e/until.ts'
import { startServing } from './serving.ts'

const servers = useStack()

test('offsets and positions; a replay into a stream, its server killed in the middle; the fleet stays as it is', async (t) => {
  const world = await servers.world(t)
  const all: Events = new Map()
  const first = await world.replica()
  await world.load({ rate: 5000, events: 6000, duplicates: 0, poison: 0, onAnswer: onAnswer(all) }).done
  await world.untilDrained()
  const open = async () => {
    const serving = await startServing(world.env)
    t.after(() => serving.end('SIGKILL'))
    return serving
  }
  const serving = await open()

  const shown = (await serving.get('/offsets')).body
  assert.equal(shown.members, 1)
  const ledger = await world.ledger()
  for (const { partition, nextOffset, lagRecords } of shown.partitions)
    assert.deepEqual([nextOffset, lagRecords], [ledger.get(partition), 0])
  const at = (await serving.get(`/offsets/${topic}?at=1970-01-01T00:00:00Z&partitions=0,3`)).body
  assert.deepEqual(
    at.partitions.map(({ partition }: { partition: number }) => partition),
    [0, 3],
  )
  assert.equal((await serving.get('/offsets/no.such.topic?at=2026-11-21T00:00:00Z')).body.code, 'TOPIC_MISSING')

  const saved = await serving.post('/snapshot', { kind: 'position', name: 'here' })
  assert.deepEqual([saved.status, Object.keys(saved.body.partitions).length], [201, ledger.size])
  assert.equal((await serving.get('/snapshot?kind=position')).body.items[0].name, 'here')
  const back = { kind: 'position', name: 'here' }
  assert.equal((await serving.post('/restore', back)).body.done, false)
  assert.equal((await serving.post('/restore', { ...back, name: 'nowhere' })).body.code, 'POSITION_MISSING')
  await world.load({ rate: 5000, events: 1000, duplicates: 0, poison: 0, onAnswer: onAnswer(all) }).done
  await world.untilDrained()
  const before = { ledger: await world.ledger(), committed: await world.committed() }
  const live = await serving.post('/restore', { ...back, dryRun: false })
  assert.deepEqual([live.status, live.body.code], [409, 'USAGE'])
  assert.match(live.body.detail, /the group has 1 members/)

  const target = { kind: 'redis', stream: 'replay:served' }
  const begun = await serving.post('/replay', { id: 'served', target, rate: 2000 })
  assert.equal(begun.status, 201, JSON.stringify(begun.body))
  const busy = await serving.post('/replay', { id: 'other', target })
  assert.deepEqual([busy.status, busy.body.code], [409, 'REPLAY_BUSY'])
  const family = await serving.post('/replay', { target: { kind: 'kafka', topic } })
  assert.deepEqual([family.status, family.body.code], [409, 'REPLAY_TARGET'])
  await until('the replay to be noted on its way', 30_000, async () => {
    const { rows } = await world.sql.query("select (saved->'events')::int as n from replays where id = 'served'")
    return rows[0]?.n > 500 || null
  })
  await serving.end('SIGKILL')
  const next = await open()
  await until(
    'the next server to end it',
    60_000,
    async () => (await next.get('/replay/served')).body.state === 'done' || null,
  )
  compare(await entriesOf(world, 'replay:served'), all, 'served')
  assert.deepEqual({ ledger: await world.ledger(), committed: await world.committed() }, before)
  assert.equal(await next.end('SIGTERM'), 0)
  assert.equal((await first.stop()).code, 0)
})
