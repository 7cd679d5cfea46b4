/** Streams on a Redis Cluster of three masters: the same code, every entry at its place, also when a node goes away, comes back, or forgets. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { type RedisCluster, startRedisCluster } from '../chaos/ground/redis-cluster.ts'
import type { RedisServer } from '../chaos/ground/redis-server.ts'
import { root, useStack } from './harness.ts'
import { until } from './until.ts'

const servers = useStack({ servers: ['kafka', 'postgres'] })
let cluster: RedisCluster

before(async () => {
  cluster = await startRedisCluster({ root, name: `test-e2e-${randomUUID().slice(0, 8)}` })
})
after(() => cluster?.remove())

test('entries over three masters, one of which is killed, and one flushed', async (t) => {
  const world = await servers.world(t, { redis: cluster })
  await world.replica()
  await world.replica()
  const load = world.load({ rate: 1000 })
  await world.untilServing()
  await world.untilRows(2000)
  const sizes = await Promise.all(cluster.nodes.map(({ admin }) => admin.dbsize()))
  t.diagnostic(`streams per node: ${sizes.join(', ')}`)
  assert(sizes.every((size) => size > 0))

  const killed = cluster.nodes[world.random.below(3)] as RedisServer
  await killed.kill()
  await until('/readyz to answer 503', 45_000, async () => {
    const codes = await Promise.all(world.replicas.map(async (one) => (await one.get('/readyz')).code))
    return codes.includes(503) || null
  })
  await killed.start()
  await world.untilServing(undefined, 60_000)

  const flushed = cluster.nodes[world.random.below(3)] as RedisServer
  await flushed.admin.flushall()
  await flushed.admin.function('FLUSH')
  await world.untilServing(undefined, 60_000)
  await load.stop()
  await world.untilDrained()
  await world.proof()
})
