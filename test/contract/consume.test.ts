import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import kafkajs, { type Admin, type Kafka, type KafkaConfig, type Producer } from 'kafkajs'
import { TransientError } from '../../src/core/errors.ts'
import { registerCodecs } from '../../src/flow/consume/codecs.ts'
import { openKafkajs } from '../../src/flow/consume/kafkajs.ts'
import { mendKafkajs } from '../../src/flow/consume/kafkajs-mend.ts'
import { createMemoryKafka, openMemoryConsume } from '../../src/flow/consume/memory.ts'
import type { Consume, Fetched } from '../../src/flow/consume/port.ts'
import { openMemorySettle } from '../../src/flow/settle/memory.ts'
import { openSocket } from '../../src/process/connect-kafka.ts'
import { type Stack, startStack } from '../../src/stack/stack.ts'
import { until, within } from '../e2e/until.ts'
import { type ConsumeWorld, consumeContract, partitionCount, valuesOf } from './consume.ts'

// --- memory -------------------------------------------------------------------------------------------------------------------------------------

consumeContract('memory', async (): Promise<ConsumeWorld> => {
  const kafka = createMemoryKafka({ partitions: partitionCount })
  const { committed } = kafka.group('tests')
  const opened: Consume[] = []
  const produce = (partition: number, values: readonly string[]) =>
    kafka.produce(
      partition,
      values.map((value) => ({ key: null, value: Buffer.from(value), headers: {}, timestampMs: 1 })),
    )
  return {
    open() {
      const consume = openMemoryConsume(kafka, { group: 'tests', settle: openMemorySettle(committed) })
      opened.push(consume)
      return consume
    },
    async produce(partition, ...values) {
      produce(partition, values)
    },
    async produceInTransaction(partition, ...values) {
      produce(partition, values)
      kafka.skip(partition, 1)
    },
    async abortTransaction(partition, count) {
      kafka.skip(partition, count)
      kafka.skip(partition, 1)
    },
    async deleteRecords(partition, beforeOffset) {
      kafka.deleteRecords(partition, beforeOffset)
    },
    committed: async () => new Map(committed),
    members: async () => kafka.group('tests').members.length,
    async close() {
      for (const consume of opened) await consume.stop()
    },
  }
})

// --- kafkajs ------------------------------------------------------------------------------------------------------------------------------------

let stack: Stack
let kafka: Kafka
let admin: Admin
let producer: Producer

const config = (broker: string): KafkaConfig => ({
  brokers: [broker],
  logLevel: kafkajs.logLevel.NOTHING,
  socketFactory: openSocket,
  retry: { initialRetryTime: 50, retries: 8 },
})

before(async () => {
  mendKafkajs()
  registerCodecs()
  stack = await startStack({
    root: join(import.meta.dirname, '../..'),
    name: `test-${randomUUID().slice(0, 8)}`,
    servers: ['kafka'],
    temporary: true,
    quick: true,
  })
  kafka = new kafkajs.Kafka(config(stack.kafka))
  admin = kafka.admin()
  producer = kafka.producer()
  await Promise.all([admin.connect(), producer.connect()])
})
after(async () => {
  await Promise.all([admin?.disconnect(), producer?.disconnect()])
  await stack?.remove()
})

async function newTopic(): Promise<string> {
  const topic = `t-${randomUUID().slice(0, 8)}`
  await admin.createTopics({ topics: [{ topic, numPartitions: partitionCount }], waitForLeaders: true })
  // Elected is not yet at work: a busy broker answers for a while that it is not the leader.
  await until('leaders', 30_000, () => admin.fetchTopicOffsets(topic))
  return topic
}

const optionsOf = (kafka: Kafka, topic: string) => ({
  kafka,
  topic,
  group: `g-${topic}`,
  sessionTimeoutMs: 20_000,
  rebalanceTimeoutMs: 20_000,
  heartbeatMs: 200,
  fetchBytesMax: 1_000_000,
  fetchPartitionBytesMax: 500_000,
  fetchWaitMs: 100,
  fetchPaceMs: 0,
  restartsMax: 3,
})

consumeContract('kafkajs', async (_: TestContext): Promise<ConsumeWorld> => {
  const topic = await newTopic()
  const opened: Consume[] = []
  const messages = (partition: number, values: readonly string[]) => values.map((value) => ({ partition, value }))
  async function transaction(partition: number, values: readonly string[], end: 'commit' | 'abort'): Promise<void> {
    const transactionalId = randomUUID()
    const transactional = kafka.producer({ transactionalId, idempotent: true, maxInFlightRequests: 1 })
    await transactional.connect()
    const open = await transactional.transaction()
    // Two batches, so that an aborted transaction is more than its last record.
    await open.send({ topic, messages: messages(partition, values.slice(0, 1)) })
    if (values.length > 1) await open.send({ topic, messages: messages(partition, values.slice(1)) })
    await open[end]()
    await transactional.disconnect()
  }
  return {
    open(options = {}) {
      const consume = openKafkajs({ ...optionsOf(kafka, topic), ...options })
      opened.push(consume)
      return consume
    },
    async produce(partition, ...values) {
      await producer.send({ topic, messages: messages(partition, values), acks: -1 })
    },
    produceInTransaction: (partition, ...values) => transaction(partition, values, 'commit'),
    abortTransaction: (partition, count) =>
      transaction(
        partition,
        Array.from({ length: count }, (_, n) => `aborted ${n}`),
        'abort',
      ),
    async deleteRecords(partition, beforeOffset) {
      await admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: String(beforeOffset) }] })
    },
    async committed() {
      const [offsets] = await admin.fetchOffsets({ groupId: `g-${topic}`, topics: [topic] })
      const known = offsets?.partitions.filter(({ offset }) => offset !== '-1') ?? []
      return new Map(known.map(({ partition, offset }) => [partition, Number(offset)]))
    },
    async members() {
      const { groups } = await admin.describeGroups([`g-${topic}`])
      return groups[0]?.members.length ?? 0
    },
    async close() {
      await Promise.all(opened.map((consume) => consume.stop().catch(() => {})))
    },
  }
})

test('records of all five codecs, told by their run', async () => {
  const topic = await newTopic()
  const { None, GZIP, Snappy, LZ4, ZSTD } = kafkajs.CompressionTypes
  for (const compression of [None, GZIP, Snappy, LZ4, ZSTD]) {
    const values = [0, 1, 2].map((n) => `${compression}-${n}`)
    await producer.send({
      topic,
      compression,
      messages: values.map((value) => ({ partition: 0, value, headers: { a: 'b' } })),
    })
  }
  const consume = openKafkajs(optionsOf(kafka, topic))
  const seen: Fetched[] = []
  const all = Promise.withResolvers<void>()
  const running = consume.run({
    assigned() {},
    skipped() {},
    heard() {},
    async fetched(batch) {
      seen.push(batch)
      if (batch.nextOffset === 15) all.resolve()
      return true
    },
  })
  await within('15 records', 60_000, all.promise)
  await consume.stop()
  await running
  const runs = seen.flatMap(({ runs }) => runs)
  assert.deepEqual(
    runs.map(({ codec }) => codec),
    [0, 1, 2, 3, 4],
  )
  assert.deepEqual(
    seen.flatMap(valuesOf),
    [None, GZIP, Snappy, LZ4, ZSTD].flatMap((codec) => [0, 1, 2].map((n) => `${codec}-${n}`)),
  )
  for (const { baseTimestampMs, maxTimestampMs, count } of runs) {
    assert.equal(count, 3)
    assert.ok(maxTimestampMs >= baseTimestampMs && Math.abs(Date.now() - maxTimestampMs) < 60_000)
  }
})

test('a broker that did not answer when the watermarks were first asked for answers the next time', async () => {
  const topic = await newTopic()
  const { hostname, port } = new URL(`kafka://${stack.kafka}`)
  const lines = new Set<Socket>()
  // Takes a port, and at first hangs up on whoever comes.
  let isUp = false
  const door = createServer((client) => {
    client.on('error', () => {})
    if (!isUp) return client.destroy()
    const server = connect(Number(port), hostname)
    server.on('error', () => client.destroy())
    client.pipe(server).pipe(client)
    lines.add(client).add(server)
  })
  door.listen(0, '127.0.0.1')
  await once(door, 'listening')
  try {
    const impatient = new kafkajs.Kafka({
      ...config(`127.0.0.1:${(door.address() as AddressInfo).port}`),
      retry: { retries: 0, initialRetryTime: 10 },
    })
    const consume = openKafkajs(optionsOf(impatient, topic))
    await assert.rejects(consume.watermarks(), TransientError)
    isUp = true
    assert.equal((await consume.watermarks()).size, partitionCount)
    await consume.stop()
  } finally {
    for (const line of lines) line.destroy()
    door.close()
  }
})
