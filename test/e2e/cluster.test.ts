/** Streams on a Redis Cluster of three masters: the same code, every entry at its place, also when a node goes away, comes back, or forgets. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { Cluster, Redis } from 'ioredis'
import { type Stack, startStack } from '../../src/stack/stack.ts'
import { root, useStack } from './harness.ts'
import { until } from './until.ts'

const servers = useStack({ servers: ['kafka', 'postgres'] })
const nodes: Stack[] = []
let client: Cluster

before(async () => {
  const starting = [0, 1, 2].map((index) =>
    startStack({
      root,
      name: `test-e2e-node${index}-${randomUUID().slice(0, 8)}`,
      servers: ['redis'],
      temporary: true,
      quick: true,
      redis: {
        'cluster-enabled': 'yes',
        'cluster-announce-ip': '127.0.0.1',
        'cluster-node-timeout': '2000',
        'cluster-config-file': 'nodes.conf',
      },
    }),
  )
  for (const started of await Promise.allSettled(starting)) {
    if (started.status === 'rejected') throw started.reason
    nodes.push(started.value)
  }
  const admins = nodes.map(({ redis }) => new Redis(redis))
  const portOf = ({ redis }: Stack) => Number(new URL(redis).port)
  const bounds = [0, 5461, 10_923, 16_384]
  for (const [index, admin] of admins.entries()) {
    await admin.cluster('ADDSLOTSRANGE', bounds[index] as number, (bounds[index + 1] as number) - 1)
    if (index > 0) await admin.cluster('MEET', '127.0.0.1', portOf(nodes[0] as Stack))
  }
  for (const admin of admins) {
    await until('the cluster to be whole', 45_000, async () => {
      const info = String(await admin.cluster('INFO'))
      return (info.includes('cluster_state:ok') && info.includes('cluster_known_nodes:3')) || null
    })
    admin.disconnect()
  }
  client = new Cluster(nodes.map((node) => ({ host: '127.0.0.1', port: portOf(node) })))
  client.on('error', () => {})
})

after(async () => {
  client?.disconnect()
  await Promise.all(nodes.map((node) => node.remove()))
})

test('entries over three masters, one of which is killed, and one flushed', async (t) => {
  const world = await servers.world(t, {
    redis: {
      client,
      env: { MILLRACE_REDIS: nodes.map(({ redis }) => redis).join(','), MILLRACE_REDIS_CLUSTER: 'on' },
    },
  })
  await world.replica()
  await world.replica()
  const load = world.load({ rate: 1000 })
  await world.untilServing()
  await world.untilRows(2000)
  const sizes = await Promise.all(client.nodes('master').map((node) => node.dbsize()))
  t.diagnostic(`streams per node: ${sizes.join(', ')}`)
  assert(sizes.every((size) => size > 0))

  const killed = nodes[world.random.below(3)] as Stack
  await killed.stopServer('redis', { signal: 'SIGKILL' })
  await until('/readyz to answer 503', 45_000, async () => {
    const codes = await Promise.all(world.replicas.map(async (one) => (await one.get('/readyz')).code))
    return codes.includes(503) || null
  })
  await killed.startServer('redis')
  await world.untilServing(undefined, 60_000)

  const flushed = new Redis((nodes[world.random.below(3)] as Stack).redis)
  await flushed.flushall()
  await flushed.function('FLUSH')
  flushed.disconnect()
  await world.untilServing(undefined, 60_000)
  await load.stop()
  await world.untilDrained()
  await world.proof()
})
