/** Logs with gaps: transactions that were aborted, several at once, read from the middle; and a log that is compacted under the fleet. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import kafkajs, { type Message, type Transaction } from 'kafkajs'
import { topic, useStack, type World } from './harness.ts'
import { millrace } from './millrace.ts'
import { until } from './until.ts'

const servers = useStack({ kafka: { 'log.cleaner.backoff.ms': '300' } })

function message(partition: number, id: string, key: string | null = null): Message {
  const time = new Date().toISOString()
  const event = { specversion: '1.0', id, source: '/tests', type: 'com.bss.order.placed', time, data: { id } }
  return { partition, key, value: JSON.stringify(event), headers: { 'content-type': 'application/cloudevents+json' } }
}

async function stored(world: World): Promise<Set<string>> {
  const { rows } = await world.sql.query("SELECT event_id FROM cloud_events WHERE source = '/tests'")
  return new Set(rows.map(({ event_id }) => event_id))
}

async function transactional(world: World) {
  const producer = world.kafka.producer({
    transactionalId: randomUUID(),
    idempotent: true,
    maxInFlightRequests: 1,
    createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
  })
  await producer.connect()
  return producer
}

test('transactions of several producers, batch by batch in one partition: only what was committed, also from the middle of an aborted one', async (t) => {
  const world = await servers.world(t)
  const begin = (await world.ends()).get(0) as number
  const producers = await Promise.all(Array.from({ length: 4 }, () => transactional(world)))
  t.after(() => Promise.all(producers.map((one) => one.disconnect())))
  const [committed, aborted]: [string[], string[]] = [[], []]
  const sendOne = async (transaction: Transaction, into: string[], count = 3) => {
    const ids = Array.from({ length: count }, () => randomUUID())
    into.push(...ids)
    await transaction.send({ topic, messages: ids.map((id) => message(0, id)) })
  }
  for (let round = 0; round < 6; round++) {
    const transactions = await Promise.all(producers.map((one) => one.transaction()))
    // Each producer aborts every other time; in the last round all do, so that the log ends in nothing but that.
    const fate = (index: number) => round === 5 || (round + index) % 2 === 0
    for (let turn = 0; turn < 4; turn++) {
      for (const [index, transaction] of transactions.entries())
        await sendOne(transaction, fate(index) ? aborted : committed)
    }
    // In every other round who began last ends first: the broker lists aborted transactions by their ends.
    const ending = [...transactions.entries()]
    for (const [index, transaction] of round % 2 === 1 ? ending.reverse() : ending)
      await (fate(index) ? transaction.abort() : transaction.commit())
  }
  // 6 rounds of 4 producers with 12 records and a mark each.
  const end = begin + 6 * 4 * 13
  await until('all marks', 30_000, async () => ((await world.ends()).get(0) === end ? true : null))
  await world.replica()
  await world.untilDrained()
  assert.deepEqual([...(await stored(world))].sort(), committed.toSorted())
  await world.proof({ events: committed.length })

  // From each of many places in between, as after a crash: none of it is doubled, and nothing aborted shows.
  await (world.replicas[0] as (typeof world.replicas)[0]).stop()
  const places = Array.from({ length: 2 }, () => begin + world.random.below(end - begin))
  for (const place of places) {
    const other = await servers.world(t)
    await other.sql.query('UPDATE ledger SET start_offset = $1, next_offset = $1 WHERE partition = 0', [place])
    const replica = await other.replica()
    await until('the rest', 30_000, async () => ((await other.ledger()).get(0) === end ? true : null))
    const found = await stored(other)
    assert.ok(
      aborted.every((id) => !found.has(id)),
      `from ${place}`,
    )
    const { rows } = await world.sql.query(
      "SELECT count(*)::int FROM cloud_events WHERE source = '/tests' AND kafka_offset >= $1",
      [place],
    )
    assert.equal(found.size, rows[0].count, `from ${place}`)
    await replica.stop()
  }
})

test('what waits behind an open transaction is no lag: nobody is restarted for it', async (t) => {
  const world = await servers.world(t)
  const plain = world.kafka.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner })
  await plain.connect()
  t.after(() => plain.disconnect())
  await plain.send({ topic, messages: [message(4, randomUUID())] })
  const producer = await transactional(world)
  t.after(() => producer.disconnect())
  const transaction = await producer.transaction()
  await transaction.send({ topic, messages: [message(4, randomUUID())] })
  await plain.send({ topic, messages: [message(4, randomUUID())] })
  // Its first fetch of the partition ends at the open transaction.
  const replica = await world.replica()
  await until('what comes before the transaction', 30_000, async () => ((await stored(world)).size === 1 ? true : null))
  assert.equal((await replica.status()).lagRecords, 0)
  await transaction.abort()
  await until('what waited', 30_000, async () => ((await stored(world)).size === 2 ? true : null))
  await world.untilDrained()
  await world.proof({ events: 2 })
})

// The last test of the file: the topic stays so.
test('a log compacted under the fleet: gaps are neither skips nor alarms', async (t) => {
  const world = await servers.world(t)
  const config = (values: Record<string, string>) =>
    world.admin.alterConfigs({
      validateOnly: false,
      resources: [
        {
          type: kafkajs.ConfigResourceTypes.TOPIC,
          name: topic,
          configEntries: Object.entries(values).map(([name, value]) => ({ name, value })),
        },
      ],
    })
  await config({
    'cleanup.policy': 'compact',
    'segment.ms': '200',
    'min.cleanable.dirty.ratio': '0.01',
    'max.compaction.lag.ms': '300',
  })
  const producer = world.kafka.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner })
  await producer.connect()
  t.after(() => producer.disconnect())
  const begin = (await world.ends()).get(1) as number
  let made = 0
  const produce = async (times: number) => {
    for (let n = 0; n < times; n++) {
      await producer.send({ topic, messages: ['a', 'b', 'c'].map((key) => message(1, randomUUID(), key)) })
      made += 3
    }
  }
  await produce(40)
  const left = async () => {
    // A segment is closed by the next record; the newest segment is never compacted.
    await new Promise((resolve) => setTimeout(resolve, 300))
    await produce(1)
    return held(world, begin)
  }
  await until('the cleaner', 60_000, async () => ((await left()) < made / 2 ? true : null))
  const replica = await world.replica()
  await world.untilDrained()
  await produce(5)
  await world.untilDrained()
  const { rows } = await world.sql.query(
    'SELECT skipped::int, stored::int, (next_offset - start_offset)::int AS covered FROM ledger WHERE partition = 1',
  )
  assert.equal(rows[0].skipped, 0)
  assert.ok(rows[0].stored < rows[0].covered, 'the gaps are covered, and no record')
  assert.deepEqual((await replica.status()).stopped, [])
  assert.equal(replica.log.filter((line) => /"level":"?(error|50)/.test(line)).length, 0)
  // The cleaner goes on: rows may outlive their records.
  const verified = await millrace(world.env, 'verify', '--to-end', '--json')
  assert.equal(verified.code, 0, verified.out)
})

/** How many records the partition still holds from this offset on. */
async function held({ kafka, admin }: World, from: number): Promise<number> {
  const groupId = `reader-${randomUUID()}`
  const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 100 })
  const end = Number((await admin.fetchTopicOffsets(topic)).find(({ partition }) => partition === 1)?.high)
  const done = Promise.withResolvers<number>()
  let count = 0
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await consumer.run({
    eachBatch: async ({ batch }) => {
      if (batch.partition !== 1) return
      for (const { offset } of batch.messages) if (Number(offset) >= from) count++
      if (Number(batch.lastOffset()) >= end - 1) done.resolve(count)
    },
  })
  try {
    return await done.promise
  } finally {
    await consumer.disconnect()
  }
}
