/** The sender and the codecs against a real broker; its Java codecs are the judge of ours. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import kafkajs, { type Kafka, type KafkaMessage } from 'kafkajs'
import { FatalError } from '../../src/core/errors.ts'
import { registerCodecs } from '../../src/flow/consume/codecs.ts'
import { mendKafkajs } from '../../src/flow/consume/kafkajs-mend.ts'
import { loadSettings } from '../../src/process/load-settings.ts'
import { simulateKafka } from '../../src/simulate/command.ts'
import { createEvents } from '../../src/simulate/events.ts'
import { type SimulateOptions, type SimulateStats, simulate } from '../../src/simulate/kafka.ts'
import { startSenders } from '../../src/simulate/senders.ts'
import { ensureTopic } from '../../src/simulate/topic.ts'
import { type Stack, startStack } from '../../src/stack/stack.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const
const warnings: Error[] = []
const noteWarning = (warning: Error) => warnings.push(warning)
let stack: Stack
let kafka: Kafka

before(async () => {
  process.on('warning', noteWarning)
  registerCodecs()
  mendKafkajs()
  const name = `test-simulate-${process.pid}`
  stack = await startStack({ root, name, servers: ['kafka'], temporary: true, quick: true, fresh: true })
  kafka = new kafkajs.Kafka(config())
})
after(async () => {
  await stack?.remove()
  process.off('warning', noteWarning)
})

const config = () => ({ brokers: [stack.kafka], logLevel: kafkajs.logLevel.NOTHING })
const settings = () => loadSettings({ env: { MILLRACE_KAFKA: stack.kafka }, directory: root, needs: [] }).settings
const unexplained = (error: unknown) =>
  error instanceof FatalError ? error : new FatalError('KAFKA_CRASHED', String(error), 'None.', error)

const run = (options: Partial<SimulateOptions> & { topic: string }): Promise<SimulateStats> =>
  simulate({
    kafka: config(),
    rate: Number.POSITIVE_INFINITY,
    seed: 1,
    now: Date.now,
    explain: unexplained,
    ...options,
  })

async function watermarks(topic: string): Promise<number> {
  const admin = kafka.admin()
  await admin.connect()
  const offsets = await admin.fetchTopicOffsets(topic)
  await admin.disconnect()
  return offsets.reduce((sum, { high, low }) => sum + Number(high) - Number(low), 0)
}

type Read = KafkaMessage & { partition: number }

async function readAll(topic: string, count: number): Promise<Read[]> {
  const consumer = kafka.consumer({ groupId: `reader-${topic}-${Math.random()}`, maxWaitTimeInMs: 100 })
  const found: Read[] = []
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  try {
    await new Promise<void>((resolve, reject) => {
      // A coordinator that is still loading is asked again by the client itself.
      consumer.on('consumer.crash', ({ payload }) => void (payload.restart || reject(payload.error)))
      void consumer.run({
        eachBatch: async ({ batch }) => {
          for (const message of batch.messages) found.push({ ...message, partition: batch.partition })
          if (found.length >= count) resolve()
        },
      })
    })
  } finally {
    await consumer.disconnect()
  }
  return found
}

test('what was acknowledged is in the topic, record for record, as the seed has it', async () => {
  await ensureTopic(kafka, 'counted', { partitions: 20, replicationFactor: 1 })
  const shares = { seed: 42, duplicates: 0.01, poison: 0.01, binary: 0.1 }
  const stats = await run({ topic: 'counted', events: 20_000, ...shares })
  assert.equal(stats.produced, 20_000)
  assert.equal(stats.events + stats.duplicates + stats.poison, 20_000)
  assert.equal(stats.failed, 0)
  assert.ok(stats.duplicates > 100 && stats.poison > 100)
  const kinds = Object.values(stats.poisons)
  assert.ok(kinds.length > 20, `${kinds.length} kinds of poison`)
  assert.equal(
    kinds.reduce((sum, one) => sum + one, 0),
    stats.poison,
  )
  assert.equal(await watermarks('counted'), 20_000)

  const found = await readAll('counted', 20_000)
  assert.equal(found.length, 20_000)
  assert.equal(
    found.reduce((sum, { key, value }) => sum + (key?.length ?? 0) + (value?.length ?? 0), 0),
    stats.bytes,
  )
  // The ids and their partitions do not depend on the clock, so the events can be made again without it.
  const again = createEvents({ ...shares, partitions: 20 })
  const partitionOf = new Map<string, number>()
  for (let i = 0; i < 20_000; i++) {
    const { kind, id, partition } = again.next(0)
    if (kind === 'event') partitionOf.set(id, partition)
  }
  let checked = 0
  for (const { value, headers, partition } of found) {
    const id = headers?.ce_id?.toString() ?? /^\{"specversion":"1.0","id":"([^"]+)"/.exec(String(value))?.[1]
    if (id === undefined || !partitionOf.has(id)) continue
    assert.equal(partition, partitionOf.get(id))
    checked++
  }
  assert.ok(checked >= stats.events, `${checked} of ${stats.events}`)
})

test('the schedule holds: so many records in so long, each stamped with its due time, inside and outside', async () => {
  await ensureTopic(kafka, 'paced', { partitions: 10, replicationFactor: 1 })
  const startedMs = Date.now()
  const seen: SimulateStats[] = []
  const stats = await run({ topic: 'paced', rate: 1000, forMs: 2000, onStats: (one) => seen.push(one) })
  assert.equal(stats.produced, 2000)
  assert.ok(stats.elapsedMs >= 1995, `${stats.elapsedMs} ms`)
  assert.ok(seen.length >= 2)
  assert.equal(seen.at(-1)?.produced, 2000)
  const found = await readAll('paced', 2000)
  const stamps = found.map(({ timestamp }) => Number(timestamp)).sort((a, b) => a - b)
  const first = stamps[0] as number
  assert.ok(first >= startedMs)
  for (const [i, stamp] of stamps.entries())
    assert.ok(Math.abs(stamp - first - i) <= 1, `record ${i} at ${stamp - first}`)
  for (const { value, timestamp } of found) {
    const { time } = JSON.parse(String(value))
    if (time !== undefined) assert.equal(Date.parse(time), Number(timestamp))
  }
})

test('a signal ends the schedule; what is in flight is awaited and counted', async () => {
  await ensureTopic(kafka, 'stopped', { partitions: 10, replicationFactor: 1 })
  const stop = new AbortController()
  const stats = await run({
    topic: 'stopped',
    signal: stop.signal,
    onStats: () => stop.abort(),
  })
  assert.ok(stats.produced > 0)
  assert.equal(await watermarks('stopped'), stats.produced)
})

test('a missing topic is said so, with what to do; --create makes it', async () => {
  await assert.rejects(
    run({ topic: 'absent', events: 1 }),
    (error: unknown) =>
      error instanceof FatalError && error.code === 'TOPIC_MISSING' && error.remedy.includes('--create'),
  )
  const results: string[] = []
  const progress: string[] = []
  const code = await simulateKafka(
    { topic: 'absent', events: '500', rate: 'max', create: true, partitions: '7', json: true },
    {
      settings: settings(),
      signal: new AbortController().signal,
      now: Date.now,
      write: (text) => progress.push(text),
      writeResult: (text) => results.push(text),
      terminal: false,
    },
  )
  assert.equal(code, 0)
  assert.equal(results.length, 1)
  const result = JSON.parse(results[0] as string)
  assert.equal(result.produced, 500)
  assert.equal(result.topic, 'absent')
  assert.ok(progress.every((text) => text.endsWith('\n')))
  assert.equal(await ensureTopic(kafka, 'absent'), 7)
  assert.equal(await watermarks('absent'), 500)
})

test("the broker's Java codecs read all five of ours, and ours read what it packed", async () => {
  // A topic with a compression.type of its own makes the broker unpack every batch and pack it again: each pair is one Java reading and one writing.
  const admin = kafka.admin()
  const producer = kafka.producer()
  await Promise.all([admin.connect(), producer.connect()])
  try {
    for (const packed of ['gzip', 'snappy', 'lz4', 'zstd'] as const) {
      const topic = `packed-${packed}`
      const configEntries = [{ name: 'compression.type', value: packed }]
      await admin.createTopics({ topics: [{ topic, numPartitions: 1, configEntries }], waitForLeaders: true })
      const sent: string[] = []
      for (const [compression, ours] of codecs.entries()) {
        const messages = Array.from({ length: 300 }, (_, i) => ({ value: `${ours} ${i} ${'é美 '.repeat(i)}` }))
        await producer.send({ topic, compression, messages })
        sent.push(...messages.map(({ value }) => value))
        // The simulator's own batches, the same way.
        await run({ topic, events: 100, codec: ours })
      }
      const found = await readAll(topic, sent.length + 500)
      const mine = found.map(({ value }) => String(value)).filter((value) => !value.startsWith('{'))
      assert.deepEqual(mine, sent, packed)
      for (const { value } of found) if (value?.[0] === 0x7b) JSON.parse(String(value))
      assert.equal(found.length, sent.length + 500)
    }
  } finally {
    await Promise.all([admin.disconnect(), producer.disconnect()])
  }
})

test('a broker that dies and comes back makes records late, not lost, and the schedule does not wait for it', async () => {
  await ensureTopic(kafka, 'outage', { partitions: 10, replicationFactor: 1 })
  let restarted: Promise<void> | undefined
  const patient = { ...config(), retry: { initialRetryTime: 100, maxRetryTime: 500, retries: 60 } }
  const stats = await run({
    kafka: patient,
    topic: 'outage',
    rate: 1000,
    forMs: 6000,
    onStats: ({ produced }) => {
      if (produced > 500) restarted ??= stack.restart('kafka', { signal: 'SIGKILL' })
    },
  })
  await restarted
  assert.equal(stats.produced + stats.failed, 6000)
  assert.equal(stats.failed, 0)
  assert.ok(stats.ackMsP99 > 500, `p99 ${stats.ackMsP99} ms`)
  // Requests whose answer was lost were sent again: duplicates in the topic, never fewer.
  assert.ok((await watermarks('outage')) >= 6000)
})

/** What identifies a record's content, whatever the clock was. */
const idsOf = (found: readonly Read[]) =>
  found.map(({ partition, value, headers, key }) => {
    const id = headers?.ce_id?.toString() ?? /"id":"([^"]+)"/.exec(String(value))?.[1]
    return `${partition} ${key} ${id}`
  })

test('three processes send what one sends, all begun at one moment, and end with nothing left', async () => {
  const plan = { seed: 11, rate: 2000, events: 3000, duplicates: 0.02 }
  for (const topic of ['one', 'three']) await ensureTopic(kafka, topic, { partitions: 10, replicationFactor: 1 })
  await run({ topic: 'one', ...plan })
  const senders = startSenders({
    settings: settings(),
    plan: { topic: 'three', ...plan },
    processes: 3,
    now: Date.now,
  })
  const startedMs = await senders.begun
  const stats = await senders.done
  assert.equal(stats.produced, 3000)
  assert.equal(stats.acknowledged.count, 3000)
  assert.equal(new Set(senders.pids).size, 3)
  for (const pid of senders.pids) assert.throws(() => process.kill(pid, 0), /ESRCH/)
  const [one, three] = [await readAll('one', 3000), await readAll('three', 3000)]
  assert.deepEqual(idsOf(three).sort(), idsOf(one).sort())
  const first = Math.min(...three.map(({ timestamp }) => Number(timestamp)))
  assert.ok(first >= startedMs && first < startedMs + 5, `${first - startedMs} ms`)
})

test('a sender that is killed ends the others, and the run says so', async () => {
  const senders = startSenders({
    settings: settings(),
    plan: { topic: 'three', seed: 1, rate: 100, forMs: 60_000 },
    processes: 2,
    now: Date.now,
  })
  await senders.begun
  process.kill(senders.pids[0] as number, 'SIGKILL')
  await assert.rejects(senders.done, (error: unknown) => error instanceof FatalError && error.code === 'NO_PROGRESS')
  for (const pid of senders.pids) assert.throws(() => process.kill(pid, 0), /ESRCH/)
})

test('idempotent: the broker accepts our numbers, batch after batch', async () => {
  await ensureTopic(kafka, 'numbered', { partitions: 4, replicationFactor: 1 })
  const stats = await run({ topic: 'numbered', events: 5000, idempotent: true })
  assert.equal(stats.produced, 5000)
  assert.equal(await watermarks('numbered'), 5000)
  const found = await readAll('numbered', 5000)
  assert.equal(found.length, 5000)
})

test('transactional: what was aborted is there twice and read once', async () => {
  await ensureTopic(kafka, 'transactions', { partitions: 4, replicationFactor: 1 })
  const stats = await run({ topic: 'transactions', rate: 2000, events: 2000, transactionalId: 'mine', abort: 0.3 })
  assert.equal(stats.produced, 2000)
  assert.ok(stats.aborted > 2, `${stats.aborted} aborted`)
  // The end of every transaction is a record of its own in each of its partitions.
  assert.ok((await watermarks('transactions')) > 2000)
  const found = await readAll('transactions', 2000)
  const wanted = createEvents({ seed: 1, partitions: 4 })
  const ids = Array.from({ length: 2000 }, () => wanted.next(0).id)
  assert.deepEqual(
    idsOf(found)
      .map((one) => one.split(' ')[2])
      .sort(),
    ids.sort(),
  )
})

test('acks: none, the leader, all; and events of 20 kB in batches that a broker takes', async () => {
  await ensureTopic(kafka, 'acks', { partitions: 4, replicationFactor: 1 })
  for (const acks of [0, 1, -1] as const) assert.equal((await run({ topic: 'acks', events: 500, acks })).produced, 500)
  await run({ topic: 'acks', events: 400, size: [20_000, 20_000], codec: 'none' })
  for (let tries = 0; (await watermarks('acks')) < 1900 && tries < 50; tries++) await sleep(100)
  assert.equal(await watermarks('acks'), 1900)
})

test('none of this made Node warn', () => {
  assert.deepEqual(warnings, [])
})
