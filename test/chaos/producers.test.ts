/**
 * What a producer says is written is written, also when leaders move between its tries. kafkajs alone does not hold this: it tries again with the brokers
 * that have not answered, so a partition whose leader moves to one that has is never sent, and the send succeeds.
 */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import kafkajs, { type Admin } from 'kafkajs'
import { openRedriveLog } from '../../src/rejects/kafka.ts'
import { sendExactRecords } from '../../src/rejects/kafkajs-record.ts'
import { startLoad } from '../e2e/load.ts'
import { until, within } from '../e2e/until.ts'
import { type KafkaCluster, startKafkaCluster } from './ground/kafka.ts'

// Before the simulator sends its first.
sendExactRecords()

let cluster: KafkaCluster
let admin: Admin
before(async () => {
  const name = `test-producers-${randomUUID().slice(0, 8)}`
  cluster = await startKafkaCluster({ root: join(import.meta.dirname, '../..'), name })
  admin = new kafkajs.Kafka(cluster.config).admin()
  await admin.connect()
})
after(async () => {
  await admin?.disconnect()
  await cluster?.stop()
})

const config = () => ({
  brokers: cluster.via.split(','),
  logLevel: kafkajs.logLevel.NOTHING,
  requestTimeout: 3000,
  retry: { initialRetryTime: 100, maxRetryTime: 1000, retries: 30 },
})

async function makeTopic(topic: string) {
  const replicaAssignment = [0, 1, 2].map((partition) => ({
    partition,
    replicas: [1, 2, 3].map((id) => ((id + partition - 1) % 3) + 1),
  }))
  await admin.createTopics({ topics: [{ topic, replicaAssignment }], waitForLeaders: true })
}

const ends = (topic: string) =>
  until(
    'the ends',
    20_000,
    async () => new Map((await admin.fetchTopicOffsets(topic)).map(({ partition, high }) => [partition, Number(high)])),
  )

/** Where each partition's records of this time and later begin: at its end, where there are none. */
const since = (topic: string, ms: number) =>
  until(
    'the offsets of a time',
    20_000,
    async () =>
      new Map(
        (await admin.fetchTopicOffsetsByTimestamp(topic, ms)).map(({ partition, offset }) => [
          partition,
          Number(offset),
        ]),
      ),
  )

/** What is sent to broker 2 does not reach it while the other two answer. Then it dies, and its partition gets one of those as its leader. */
async function loseLeader(topic: string, before: () => Promise<ReadonlyMap<number, number>>, hasGivenUp = () => false) {
  await until('the other brokers to have written', 60_000, async () => {
    const [from, now] = [await before(), await ends(topic)]
    // On its way there the client may have asked the silent broker too often.
    if (hasGivenUp()) return true
    return [0, 2].every((partition) => (now.get(partition) as number) > (from.get(partition) as number)) || null
  })
  await cluster.kill(2)
  cluster.mend()
}

/** What a reader of committed records finds in the topic, by partition. */
async function read(topic: string): Promise<Map<number, kafkajs.KafkaMessage[]>> {
  const found = new Map<number, kafkajs.KafkaMessage[]>([0, 1, 2].map((partition) => [partition, []]))
  const left = new Map([...(await ends(topic))].filter(([, end]) => end > 0))
  const done = Promise.withResolvers<void>()
  const consumer = new kafkajs.Kafka(cluster.config).consumer({
    groupId: `reader-${randomUUID()}`,
    maxWaitTimeInMs: 100,
  })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload: { partition, lastOffset } }) => {
    if (Number(lastOffset) + 1 >= (left.get(partition) ?? 0)) left.delete(partition)
    if (left.size === 0) done.resolve()
  })
  await consumer.run({
    eachBatch: async ({ batch }) => void found.get(batch.partition)?.push(...batch.messages),
  })
  await within('the topic to be read', 30_000, done.promise).finally(() => consumer.disconnect())
  return found
}

async function bringBack() {
  cluster.mend()
  if (!cluster.isRunning(2)) await cluster.start(2)
  await cluster.untilHealthy()
}

test('the simulator', async (t) => {
  const topic = 'simulated'
  t.after(bringBack)
  await makeTopic(topic)
  const load = startLoad({
    kafka: config(),
    topic,
    seed: 7,
    rate: 200,
    events: 1500,
    poison: 0,
    duplicates: 0,
    binary: 0,
    codec: 'none',
  })
  await until('a first record', 20_000, async () => ((await ends(topic)).get(1) as number) > 0 || null)
  const cutMs = Date.now()
  cluster.cut('silence', [2])
  // By the time of the records: some are written while one asks, and then no more until the silent broker is given up.
  await loseLeader(topic, () => since(topic, cutMs))
  const { produced, failed } = await within('the load to end', 60_000, load.done)
  assert.equal(failed, 0)
  const ids = [...(await read(topic)).values()].flat().map(({ value }) => String(value).match(/"id":"([^"]+)"/)?.[1])
  assert.equal(new Set(ids).size, produced)
})

test('a redrive', async (t) => {
  const topic = 'redriven'
  t.after(bringBack)
  await makeTopic(topic)
  const open = (name: string) => openRedriveLog({ kafka: config(), topic, name })
  const record = (id: number) => ({
    id: String(id),
    topic,
    partition: id % 3,
    timestampMs: '1',
    key: null,
    value: Buffer.from('bad'),
    headers: [],
    attempts: 0,
  })
  const first = [0, 1, 2].map(record)
  const second = [3, 4, 5].map(record)
  // The first one makes Kafka's own topics.
  let name = 'redrive-0'
  let log = await open(name)
  t.after(() => log.close())
  await log.send(first, 3, () => {})
  // Broker 2 shall be nobody's coordinator.
  const isApart = async () =>
    (await cluster.coordinator(name)) !== 2 && (await cluster.coordinator(name, 'transaction')) !== 2
  for (let n = 1; !(await isApart()); n++) name = `redrive-${n}`
  await log.close()
  log = await open(name)
  await log.send(first, 3, () => {})
  const before = await ends(topic)
  cluster.cut('silence', [2])
  const steps: string[] = []
  const sending = log.send(second, 6, (step) => steps.push(step))
  let hasGivenUp = false
  sending.catch(() => {
    hasGivenUp = true
  })
  await loseLeader(
    topic,
    async () => before,
    () => hasGivenUp,
  )
  // However it gives up: kafkajs may have asked the silent broker too often before it tried the send again.
  await assert.rejects(
    within('the redrive to give up', 60_000, sending),
    (error: Error) => !/Waited/.test(error.message),
  )
  assert.equal(steps.join(), '')
  await bringBack()
  await log.close()
  // As redrive does then: whoever takes the name over ends what was left open, and the batch has another transaction.
  log = await open(name)
  const redriven = async () =>
    [...(await read(topic)).values()].map((messages) =>
      messages.map(({ headers }) => Number(headers?.['millrace-redrive-of'])).filter((id) => id > 2),
    )
  assert.deepEqual(await redriven(), [[], [], []])
  await log.send(second, 6, (step) => steps.push(step))
  assert.equal(steps.join(), 'produced,noted,committed')
  assert.deepEqual(await redriven(), [[3], [4], [5]])
})
