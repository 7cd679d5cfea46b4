/** Every way in which records come: all codecs, both modes, transactions that commit and that abort, duplicates and bad ones among them. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import kafkajs, { type Message } from 'kafkajs'
import { codecs } from '../../src/core/codecs.ts'
import { registerCodecs } from '../../src/flow/consume/codecs.ts'
import { structuredHeaders } from '../../src/simulate/events.ts'
import { acceptBatches, BatchMessage } from '../../src/simulate/kafkajs-batches.ts'
import { poisons } from '../../src/simulate/poison.ts'
import { type BatchRecord, createBatchBuilder } from '../../src/simulate/record-batch.ts'
import { goodVectors } from '../vectors/good.ts'
import { useStack, type World } from './harness.ts'
import { until } from './until.ts'

const servers = useStack()
registerCodecs()

test('all codecs, structured and binary, with duplicates and bad records', async (t) => {
  const world = await servers.world(t)
  await world.replica()
  await world.replica()
  for (const codec of ['none', ...Object.keys(codecs)] as const) {
    const load = world.load({
      rate: 3000,
      events: 3000,
      codec: codec as keyof typeof codecs,
      binary: 0.5,
      duplicates: 0.02,
      poison: 0.02,
    })
    await load.done
  }
  await world.untilDrained()
  await world.proof()
})

test('every vector through the fleet: a bad one is a reject under its code, a good one a row, its neighbours are unharmed', async (t) => {
  const world = await servers.world(t)
  await world.replica()
  const good = goodVectors.filter(({ value, headers = {}, decoder, row }) => {
    // Those with a time of their own were good on their day.
    const isOfToday = row.time === undefined && !('ce_time' in headers) && !String(value).includes('"time"')
    return isOfToday && decoder === undefined
  })
  const nowMs = Date.now()
  const event = { id: 'spoiled', source: '/vectors', type: 'com.bss.order.placed', subject: 's', tenantid: 'acme' }
  const time = new Date(nowMs).toISOString()
  const attributes = { specversion: '1.0', ...event, time, datacontenttype: 'application/json', data: { a: 1 } }
  const bad = poisons.map(({ label, code, spoil }) => ({
    label,
    code,
    headers: structuredHeaders,
    ...spoil(JSON.stringify(attributes)),
  }))
  // Most of the good ones are called the same.
  const called = good.map(({ value, headers = {} }, n) => ({
    value: typeof value === 'string' ? value.replace('"id":"a"', `"id":"a-${n}"`) : value,
    headers: Object.fromEntries(
      Object.entries(headers).map(([name, given]) => [name, /^ce_id$/i.test(name) && given === 'a' ? `a-${n}` : given]),
    ),
  }))
  const records = [...called, ...bad].flatMap(({ value, headers = {} }, n) => {
    const between = JSON.stringify({ ...attributes, id: `between-${n}` })
    return [
      { value: value === null ? null : Buffer.from(value as string), headers },
      { value: between, headers: structuredHeaders },
    ]
  })
  acceptBatches()
  const batches = Array.from({ length: 12 }, createBatchBuilder)
  for (const [n, { value, headers }] of records.entries()) {
    const timestampMs = nowMs - 60_000 + n
    batches[n % 12]?.add({ key: 'k', value, headers: headers as BatchRecord['headers'], timestampMs })
  }
  const producer = world.kafka.producer()
  await producer.connect()
  const messages = batches.map((batch, partition) => new BatchMessage(partition, batch.finish('zstd')))
  await producer.send({ topic: 'cloud-events', messages })
  await producer.disconnect()
  await world.untilDrained()
  await world.proof({ events: good.length + records.length / 2, poison: bad.length })
  const { rows } = await world.sql.query('SELECT code, count(*)::int FROM rejects GROUP BY code')
  const codes: Record<string, number> = {}
  for (const { code } of bad) codes[code] = (codes[code] ?? 0) + 1
  assert.deepEqual(Object.fromEntries(rows.map(({ code, count }) => [code, count])), codes)
})

interface Sent {
  committed: number
  aborted: string[]
}

/** Transactions over all partitions, half of them aborted; the last of each partition is an aborted one, so that nothing follows it. */
async function transact(world: World, sent: Sent, transactions: number): Promise<void> {
  const producer = world.kafka.producer({
    transactionalId: `${world.name}-${randomUUID().slice(0, 8)}`,
    idempotent: true,
    maxInFlightRequests: 1,
    createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
  })
  await producer.connect()
  try {
    for (let at = 0; at < transactions; at++) {
      const aborts = at === transactions - 1 || world.random.unit() < 0.5
      const transaction = await producer.transaction()
      const messages = Array.from({ length: 30 }, (_, index): Message => {
        const id = randomUUID()
        const time = new Date().toISOString()
        const event = { specversion: '1.0', id, source: '/tests', type: 'com.bss.order.placed', time, data: { index } }
        if (aborts) sent.aborted.push(id)
        return {
          partition: index % 12,
          value: JSON.stringify(event),
          headers: { 'content-type': 'application/cloudevents+json' },
        }
      })
      const compression = [0, 1, 2, 3, 4][world.random.below(5)] as number
      await transaction.send({ topic: 'cloud-events', messages, compression })
      if (aborts) await transaction.abort()
      else {
        await transaction.commit()
        sent.committed += messages.length
      }
    }
  } finally {
    await producer.disconnect()
  }
}

test('transactions: what was committed is stored once, what was aborted never, also across a kill', async (t) => {
  const world = await servers.world(t, { env: { MILLRACE_SESSION_TIMEOUT_MS: '2000', MILLRACE_HEARTBEAT_MS: '300' } })
  await world.replica()
  const doomed = await world.replica()
  const sent: Sent = { committed: 0, aborted: [] }
  const load = world.load({ rate: 500 })
  await transact(world, sent, 10)
  await world.untilServing()
  doomed.kill('SIGKILL')
  await transact(world, sent, 10)
  await load.stop()
  // With nothing else coming, the last that partitions hold are the marks of aborted transactions.
  const total = async () => [...(await world.ends()).values()].reduce((sum, end) => sum + end, 0)
  const before = await total()
  await transact(world, sent, 3)
  // Kafka marks the partitions of a transaction after it has said that it is over: 30 records and 12 marks each.
  await until('the marks to be written', 45_000, async () => (await total()) >= before + 3 * 42 || null)
  await world.untilDrained()
  const { rows } = await world.sql.query('SELECT count(*)::int FROM cloud_events WHERE event_id = ANY ($1)', [
    sent.aborted,
  ])
  // The last of each of the three series for certain, of the others about half.
  assert(sent.aborted.length >= 3 * 30)
  assert.equal(rows[0].count, 0)
  await world.proof({ events: sent.committed })
})

test('a transaction that stays open holds back what was written after it, and loses nothing', async (t) => {
  const world = await servers.world(t)
  await world.replica()
  const producer = world.kafka.producer({ transactionalId: world.name, idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  t.after(() => producer.disconnect())
  const transaction = await producer.transaction()
  const time = new Date().toISOString()
  const event = { specversion: '1.0', id: 'open', source: '/tests', type: 'com.bss.order.placed', time, data: {} }
  const headers = { 'content-type': 'application/cloudevents+json' }
  await transaction.send({ topic: 'cloud-events', messages: [{ partition: 5, value: JSON.stringify(event), headers }] })
  await world.load({ rate: 2000, events: 2000 }).done
  await until('all but partition 5 to be stored', 45_000, async () => {
    // The end that readers of committed records see.
    const [ends, ledger] = [await world.ends(), await world.ledger()]
    const behind = [...ends].filter(([partition, end]) => ledger.get(partition) !== end)
    if (behind.length === 0 && [...ledger].filter(([, next]) => next > 0).length >= 11) return true
    throw new Error(`behind: ${behind.map(([partition]) => partition).join(', ')}`)
  })
  const ofFive = () => world.sql.query('SELECT count(*)::int FROM cloud_events WHERE kafka_partition = 5')
  assert.equal((await ofFive()).rows[0].count, 0)
  await transaction.commit()
  await until('partition 5 to be stored', 45_000, async () => (await ofFive()).rows[0].count > 1 || null)
  await world.untilDrained()
  await world.proof({ events: 1 })
})
