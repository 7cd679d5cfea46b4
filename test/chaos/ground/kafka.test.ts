/** The ground itself: brokers that die come back, one client alone can be cut off, and nothing outlives its owner. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import kafkajs from 'kafkajs'
import { identify } from '../../../src/stack/lock.mjs'
import { until } from '../../e2e/until.ts'
import { startKafkaCluster } from './kafka.ts'

const root = join(import.meta.dirname, '../../..')
const nameOf = (what: string) => `test-ground-${what}-${randomUUID().slice(0, 8)}`

test('three brokers: the controller dies and comes back, leaders move, a client of the proxies is cut off', async (t) => {
  const cluster = await startKafkaCluster({ root, name: nameOf('kafka') })
  t.after(() => cluster.stop())
  const admin = new kafkajs.Kafka(cluster.config).admin()
  await admin.connect()
  t.after(() => admin.disconnect())
  await admin.createTopics({ topics: [{ topic: 'ground', numPartitions: 6 }], waitForLeaders: true })
  await cluster.untilHealthy()
  const before = await cluster.partitions('ground')
  assert.ok(before.every(({ replicas }) => replicas.length === 3))
  await cluster.moveLeaders('ground')
  await until('other leaders', 20_000, async () => {
    const now = await cluster.partitions('ground')
    return (
      now.every(({ partition, leader }) => leader !== before.find((one) => one.partition === partition)?.leader) || null
    )
  })

  const controller = await cluster.controller()
  await cluster.kill(controller)
  assert.equal(cluster.isRunning(controller), false)
  await until('leaders elsewhere', 20_000, async () => (await cluster.leads('ground')).get(controller) === 0 || null)
  assert.notEqual(await cluster.controller(), controller)
  await cluster.start(controller)
  await cluster.untilHealthy()

  const client = (brokers: string) =>
    new kafkajs.Kafka({ ...cluster.config, brokers: brokers.split(','), requestTimeout: 1000, retry: { retries: 0 } })
  const topicsOf = async (brokers: string) => {
    const one = client(brokers).admin()
    try {
      await one.connect()
      return await one.listTopics()
    } finally {
      await one.disconnect().catch(() => {})
    }
  }
  assert.ok((await topicsOf(cluster.via)).includes('ground'))
  for (const how of ['silence', 'reset'] as const) {
    cluster.cut(how)
    await assert.rejects(topicsOf(cluster.via), how)
    assert.ok((await topicsOf(cluster.brokers)).includes('ground'))
    cluster.mend()
    assert.ok((await topicsOf(cluster.via)).includes('ground'))
  }
})

test('kill -9 of the owner ends the brokers', async () => {
  const script = `
    import { startKafkaCluster } from '${join(import.meta.dirname, 'kafka.ts')}'
    const cluster = await startKafkaCluster({ root: '${root}', name: '${nameOf('owned')}', brokers: 1 })
    console.log(cluster.pid(1))
    setInterval(() => {}, 1000)`
  const owner = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [bytes] = (await once(owner.stdout, 'data')) as [Buffer]
  const pid = Number(bytes.toString())
  assert.ok(identify(pid))
  owner.kill('SIGKILL')
  await until('the broker to be gone', 10_000, () => (identify(pid) === undefined ? true : null))
})
