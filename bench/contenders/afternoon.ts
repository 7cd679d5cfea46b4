/**
 * node bench/contenders/afternoon.ts <broker> <group> <postgres url> <redis url or off>
 *
 * What a good engineer writes in an afternoon, and many teams run: kafkajs with eachBatch, a pool, one INSERT of a few arrays per thousand records with
 * ON CONFLICT DO NOTHING, one XADD pipeline, then the offset. At least once: after a crash rows are skipped by their key, and entries come twice.
 */
import { Redis } from 'ioredis'
import kafkajs, { type KafkaMessage } from 'kafkajs'
import pg from 'pg'
import { registerCodecs } from '../../src/flow/consume/codecs.ts'
import { mendKafkajs } from '../../src/flow/consume/kafkajs-mend.ts'

const [broker = '', group = '', postgres = '', redisUrl = 'off'] = process.argv.slice(2)
const rowsMax = 1000
const concurrently = 4

mendKafkajs()
registerCodecs()
const pool = new pg.Pool({ connectionString: postgres, max: concurrently })
const redis = redisUrl === 'off' ? null : new Redis(redisUrl)
const consumer = new kafkajs.Kafka({ brokers: [broker], logLevel: kafkajs.logLevel.ERROR }).consumer({
  groupId: group,
  maxBytesPerPartition: 1024 * 1024,
})

const columns = [
  ['id', 'uuid'],
  ['event_time', 'timestamptz'],
  ['source', 'text'],
  ['event_id', 'text'],
  ['type', 'text'],
  ['subject', 'text'],
  ['tenant_id', 'text'],
  ['data', 'jsonb'],
  ['kafka_topic', 'text'],
  ['kafka_partition', 'int'],
  ['kafka_offset', 'bigint'],
  ['kafka_time', 'timestamptz'],
] as const
const insert = `INSERT INTO cloud_events (${columns.map(([name]) => name).join()})
  SELECT * FROM unnest(${columns.map(([, type], index) => `$${index + 1}::${type}[]`).join()}) ON CONFLICT (id) DO NOTHING`

async function handle(topic: string, partition: number, messages: readonly KafkaMessage[]): Promise<void> {
  const values: unknown[][] = columns.map(() => [])
  const pipeline = redis?.pipeline()
  for (const { key, value, headers = {}, offset, timestamp } of messages) {
    const text = (name: string) => headers[name]?.toString() ?? null
    const time = new Date(Number(timestamp))
    const event = {
      specversion: '1.0',
      id: text('ce_id'),
      source: text('ce_source'),
      type: text('ce_type'),
      time: text('ce_time'),
      subject: text('ce_subject'),
      tenantid: text('ce_tenantid'),
      datacontenttype: 'application/json',
      data: JSON.parse(value?.toString() ?? 'null'),
    }
    const data = value?.toString() ?? null
    const { time: at, source, id, type, subject, tenantid } = event
    const row = [key?.toString(), at, source, id, type, subject, tenantid, data, topic, partition, offset, time]
    for (const [index, column] of values.entries()) column.push(row[index])
    pipeline?.xadd(`events:cloud:{${partition}}`, '*', 'event', JSON.stringify(event))
  }
  await pool.query(insert, values)
  await pipeline?.exec()
}

await consumer.connect()
await consumer.subscribe({ topic: 'cloud-events', fromBeginning: true })
await consumer.run({
  partitionsConsumedConcurrently: concurrently,
  eachBatchAutoResolve: false,
  eachBatch: async ({ batch, resolveOffset, heartbeat, isRunning, isStale }) => {
    for (let at = 0; at < batch.messages.length && isRunning() && !isStale(); at += rowsMax) {
      const part = batch.messages.slice(at, at + rowsMax)
      await handle(batch.topic, batch.partition, part)
      resolveOffset(part.at(-1)?.offset ?? '0')
      await heartbeat()
    }
  },
})
process.once('SIGTERM', async () => {
  await consumer.disconnect()
  await pool.end()
  redis?.disconnect()
  process.exit(0)
})
