/**
 * A deployment in a known state, made by hand: records by a plain producer, rows and entries by SQL and XADD, so that the proof is tested without
 * the fleet it is to judge. 300 records on three partitions: events (structured and binary), producer's duplicates, rejects.
 *
 * Kafka's side is made once; each copy has a database of its own and its streams anew, free to be broken.
 */
import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import kafkajs, { type KafkaConfig, type Message } from 'kafkajs'
import pg from 'pg'
import { eventId } from '../../src/core/identity.ts'
import { registerCodecs } from '../../src/flow/consume/codecs.ts'
import { mendKafkajs } from '../../src/flow/consume/kafkajs-mend.ts'
import { streamKey } from '../../src/flow/publish/keys.ts'
import { migrate } from '../../src/schema/migrate.ts'
import { ensurePartitions } from '../../src/schema/partitions.ts'
import type { Stack } from '../../src/stack/stack.ts'
import { type VerifyOptions, type VerifyResult, verify } from '../../src/verify/verify.ts'

export const partitions = 3
const perPartition = 100
const timeMs = Date.UTC(2026, 10, 20, 12)

export interface World extends AsyncDisposable {
  readonly topic: string
  readonly consumer: string
  readonly sql: pg.Client
  readonly redis: Redis
  readonly kafka: kafkajs.Kafka
  key(family: 'a' | 'b', partition: number): string
  verify(options?: Partial<VerifyOptions>): Promise<VerifyResult>
}

export interface Original extends AsyncDisposable {
  copy(): Promise<World>
}

interface Made {
  readonly message: Message
  readonly source: string
  readonly id: string
  readonly family: 'a' | 'b'
  readonly reject: boolean
  readonly duplicate: boolean
}

/** Offset 10 of each partition is spoilt; offset 20 repeats offset 5; every seventh travels in binary mode. */
function make(partition: number): Made[] {
  return Array.from({ length: perPartition }, (_, offset) => {
    const of = offset === 20 ? 5 : offset
    const id = `e-${partition}-${of}`
    const source = '/tests'
    const family = of % 3 === 0 ? ('b' as const) : ('a' as const)
    const type = `com.test.${family}`
    const time = new Date(timeMs + of).toISOString()
    const data = { of, nested: { text: 'größe', list: [1, 2.5, null] } }
    const timestamp = String(timeMs + of)
    const made = { source, id, family, reject: offset === 10, duplicate: offset === 20 }
    if (offset === 10) return { ...made, message: { partition, timestamp, value: '{"no": "event"' } }
    if (of % 7 === 0) {
      const headers = { ce_specversion: '1.0', ce_id: id, ce_source: source, ce_type: type, ce_time: time }
      return { ...made, message: { partition, timestamp, value: JSON.stringify(data), headers } }
    }
    const value = JSON.stringify({ specversion: '1.0', id, source, type, time, subject: `s${of}`, region: 'eu', data })
    return {
      ...made,
      message: { partition, timestamp, value, headers: { 'content-type': 'application/cloudevents+json' } },
    }
  })
}

export async function makeOriginal(stack: Pick<Stack, 'kafka' | 'postgres' | 'redis'>): Promise<Original> {
  const name = randomUUID().replaceAll('-', '').slice(0, 12)
  const topic = `verify-${name}`
  const consumer = `verify-${name}`
  const kafkaConfig: KafkaConfig = { brokers: [stack.kafka], logLevel: kafkajs.logLevel.NOTHING }
  const signal = new AbortController().signal
  registerCodecs()
  mendKafkajs()
  await using started = new AsyncDisposableStack()
  const kafka = new kafkajs.Kafka(kafkaConfig)
  const admin = kafka.admin()
  await admin.connect()
  started.defer(() => admin.disconnect())
  await admin.createTopics({ topics: [{ topic, numPartitions: partitions }], waitForLeaders: true })
  const redis = new Redis(stack.redis)
  started.defer(() => redis.disconnect())

  const template = `verify_${name}`
  async function connect(database: string, stack: AsyncDisposableStack): Promise<pg.Client> {
    const url = new URL(postgresUrl)
    url.pathname = `/${database}`
    const client = new pg.Client({ connectionString: url.href })
    client.on('error', () => {})
    await client.connect()
    stack.defer(() => client.end())
    return client
  }
  const postgresUrl = stack.postgres
  const root = new pg.Client({ connectionString: postgresUrl })
  await root.connect()
  started.defer(() => root.end())
  await root.query(`CREATE DATABASE ${template}`)
  const entries: { key: string; id: string; event: string }[] = []
  const key = (family: 'a' | 'b', partition: number) => streamKey(`${name}:${family}`, partition)

  {
    await using making = new AsyncDisposableStack()
    const sql = await connect(template, making)
    await migrate({ session: sql, signal })
    await ensurePartitions(sql, 'cloud_events', [Math.floor(timeMs / 86_400_000)], { signal })
    const producer = kafka.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner })
    await producer.connect()
    making.defer(() => producer.disconnect())
    await sql.query('BEGIN')
    for (let partition = 0; partition < partitions; partition++) {
      const made = make(partition)
      const messages = made.map(({ message }) => message)
      // Two batches, so that a read begins and ends inside of one.
      await producer.send({ topic, messages: messages.slice(0, 64), compression: kafkajs.CompressionTypes.Snappy })
      await producer.send({ topic, messages: messages.slice(64) })
      await store(sql, partition, made)
    }
    await sql.query('COMMIT')
  }
  const settled = Array.from({ length: partitions }, (_, partition) => ({ partition, offset: String(perPartition) }))
  await admin.setOffsets({ groupId: consumer, topic, partitions: settled })

  async function store(sql: pg.Client, partition: number, made: readonly Made[]): Promise<void> {
    for (const [offset, { message, source, id, family, reject, duplicate }] of made.entries()) {
      const atMs = Number(message.timestamp)
      if (reject) {
        await sql.query(
          `INSERT INTO rejects (consumer, topic, partition, kafka_offset, kafka_time, value, code, reason, decoder)
           VALUES ($1, $2, $3, $4, to_timestamp($5 / 1000.0), $6, 'truncated', 'It ends too early.', 'test/1')`,
          [consumer, topic, partition, offset, atMs, Buffer.from(String(message.value))],
        )
      }
      if (reject || duplicate) continue
      const structured = message.headers?.ce_id === undefined
      const body = JSON.parse(String(message.value))
      await sql.query(
        `INSERT INTO cloud_events (id, event_time, source, event_id, type, subject, data, extensions, kafka_topic, kafka_partition, kafka_offset, kafka_time)
         VALUES ($1, to_timestamp($2 / 1000.0), $3, $4, $5, $6, $7, $8, $9, $10, $11, to_timestamp($2 / 1000.0))`,
        [
          eventId(atMs, source, id),
          atMs,
          source,
          id,
          `com.test.${family}`,
          structured ? body.subject : null,
          JSON.stringify(structured ? body.data : body),
          structured ? '{"region": "eu"}' : null,
          topic,
          partition,
          offset,
        ],
      )
      const event = structured
        ? String(message.value)
        : JSON.stringify({ specversion: '1.0', id, source, type: `com.test.${family}`, data: body })
      entries.push({ key: key(family, partition), id: `${offset + 1}-0`, event })
    }
    await sql.query(
      `INSERT INTO ledger (consumer, topic, partition, start_offset, next_offset, published_offset, streams, stored, rejected, duplicated)
       VALUES ($1, $2, $3, 0, $4, $4, $5, $6, 1, 1)`,
      [
        consumer,
        topic,
        partition,
        perPartition,
        { [`${name}:a`]: perPartition - 1, [`${name}:b`]: perPartition },
        perPartition - 2,
      ],
    )
  }

  async function copy(): Promise<World> {
    await using copying = new AsyncDisposableStack()
    const database = `${template}_${randomUUID().slice(0, 8)}`
    await root.query(`CREATE DATABASE ${database} TEMPLATE ${template}`)
    copying.defer(async () => void (await root.query(`DROP DATABASE ${database} WITH (FORCE)`)))
    const sql = await connect(database, copying)
    const client = await connect(database, copying)
    const pipeline = redis.pipeline()
    pipeline.del(...new Set(entries.map(({ key }) => key)))
    for (const { key, id, event } of entries) pipeline.xadd(key, id, 'event', event)
    await pipeline.exec()
    const moved = copying.move()
    const definition = {
      topic,
      table: 'cloud_events',
      route: ({ type }: { type: string }) => `${name}:${type.split('.')[2]}`,
    }
    const given = { consumer, definition, kafka: kafkaConfig, client, redis, toEnd: true, signal }
    return {
      topic,
      consumer,
      sql,
      redis,
      kafka,
      key,
      verify: (options) => verify({ ...given, now: () => performance.now(), ...options }),
      [Symbol.asyncDispose]: () => moved.disposeAsync(),
    }
  }

  const moved = started.move()
  return { copy, [Symbol.asyncDispose]: () => moved.disposeAsync() }
}
