/** The ground itself: what it says it does to Redis really happens, or scenarios on it would prove nothing. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { until } from '../../e2e/until.ts'
import { startRedis } from './redis.ts'

const root = join(import.meta.dirname, '../../..')
const options = () => ({ root, name: `test-ground-${randomUUID().slice(0, 8)}` })

test('a server that loses power forgets what came after the mark, and only that', async (t) => {
  const ground = await startRedis('single', options())
  t.after(() => ground.remove())
  const [server] = ground.nodes
  assert(server)
  await ground.client.xadd('s', '1-0', 'event', 'kept')
  const mark = server.aofMark()
  await ground.client.xadd('s', '2-0', 'event', 'lost')
  assert((await server.losePower(mark)) > 0)
  assert.equal(server.isUp, false)
  await server.start()
  assert.deepEqual(await server.admin.xrange('s', '-', '+'), [['1-0', ['event', 'kept']]])
  await server.kill()
  await server.start()
  assert.equal(await until('the client to be back', 10_000, () => ground.client.xlen('s')), 1)
  server.stall()
  const answer = server.admin.ping()
  assert.equal(await Promise.race([answer, sleep(300, 'silence')]), 'silence')
  server.resume()
  assert.equal(await answer, 'PONG')
})

test('a replica kept behind is promoted, and what it had not heard is gone', async (t) => {
  const { pair, client, remove } = await startRedis('pair', options())
  t.after(remove)
  assert(pair)
  await client.xadd('s', '1-0', 'event', 'heard')
  await until('the replica to hear it', 10_000, async () => (await pair.replica.admin.xlen('s')) || null)
  pair.holdReplica()
  await client.xadd('s', '2-0', 'event', 'unheard')
  const old = pair.primary
  await old.kill()
  await pair.promote()
  assert.notEqual(pair.primary, old)
  assert.equal(await until('the address to lead there', 10_000, () => client.xlen('s')), 1)
  await old.start()
  await pair.follow()
  assert.equal(await old.admin.xlen('s'), 1)
  const staying = new Redis(pair.env.MILLRACE_REDIS as string)
  staying.on('error', () => {})
  t.after(() => staying.disconnect())
  await staying.ping()
  await pair.promote({ keepLines: true })
  await pair.follow()
  await assert.rejects(staying.set('k', 'v'), /READONLY/)
})

test('slots move with their keys, and a node that joins knows nothing', async (t) => {
  const { cluster, remove } = await startRedis('cluster', options())
  t.after(remove)
  assert(cluster)
  const [a, b] = cluster.nodes
  assert(a && b)
  await cluster.client.function('LOAD', "#!lua name=l\nredis.register_function('f', function() return 1 end)")
  for (let partition = 0; partition < 30; partition++)
    await cluster.client.xadd(`s:{${partition}}`, '7-0', 'event', 'x')
  const held = await a.admin.dbsize()
  assert(held > 0)
  const own = await cluster.slotsOf(a)
  assert.equal(await cluster.moveSlots(a, b), held)
  assert.deepEqual(await cluster.slotsOf(a), [])
  assert.equal(await a.admin.dbsize(), 0)
  await cluster.whole()
  const added = await cluster.addNode()
  assert.equal((await added.admin.function('LIST')).length, 0)
  await cluster.moveSlots(b, added, { slots: own })
  assert.equal(await added.admin.dbsize(), held)
  for (let partition = 0; partition < 30; partition++) assert.equal(await cluster.client.xlen(`s:{${partition}}`), 1)
})
