/** The doctor on real servers: healthy ones, and each illness made by hand. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Redis } from 'ioredis'
import kafkajs from 'kafkajs'
import pg from 'pg'
import { aheadDays } from '../../src/core/day.ts'
import { parseSettings } from '../../src/core/settings.ts'
import { type Diagnosis, doctor } from '../../src/doctor/doctor.ts'
import { migrate } from '../../src/schema/migrate.ts'
import { ensurePartitions } from '../../src/schema/partitions.ts'
import { startStack } from '../../src/stack/stack.ts'
import { startRedisCluster } from '../chaos/ground/redis-cluster.ts'

const signal = new AbortController().signal
const stack = await startStack({
  root: join(import.meta.dirname, '../..'),
  name: `test-doctor-${process.pid}`,
  temporary: true,
  quick: true,
})
const kafka = new kafkajs.Kafka({ brokers: [stack.kafka], logLevel: kafkajs.logLevel.NOTHING })
const admin = kafka.admin()
const client = new pg.Client(stack.postgres)
const redis = new Redis(stack.redis)
redis.on('error', () => {})
await admin.connect()
await client.connect()
after(async () => {
  redis.disconnect()
  await client.end()
  await admin.disconnect()
  await stack.remove()
})

async function see(env: Record<string, string> = {}): Promise<Diagnosis & { text: string }> {
  const servers = { MILLRACE_KAFKA: stack.kafka, MILLRACE_POSTGRES: stack.postgres, MILLRACE_REDIS: stack.redis }
  const { settings } = parseSettings({ env: { ...servers, ...env }, readFile: () => assert.fail('no files') })
  const out: string[] = []
  const found = await doctor({
    settings,
    consumer: 'cloud-events',
    topic: 'cloud-events',
    table: 'cloud_events',
    families: ['events:cloud', 'events:payment'],
    json: false,
    write: (text) => void out.push(text),
    now: Date.now,
    signal,
  })
  return { ...found, text: out.join('') }
}
const role = (name: string) => stack.postgres.replace(/\/\/[^@]+@/, `//${name}:pw@`)

test('before anything is there: what is missing, and the command that makes it', async () => {
  const { ok, text } = await see()
  assert.equal(ok, false)
  assert.match(text, /^FAIL {2}kafka +TOPIC_MISSING/m)
  assert.match(text, /^FAIL {2}postgres +SCHEMA_MISSING: the database has no schema yet\n +-> Run `millrace migrate`/m)
  assert.match(text, /^ok {4}kafka +1 broker: 127\.0\.0\.1/m)
  assert.match(text, /^ok {4}kafka +Kafka 4; all requests have versions in common \(Fetch 11 of 4-\d+\)$/m)
  assert.match(text, /^ok {4}postgres +PostgreSQL 18\.\S+, millrace on millrace, in plain text$/m)
  assert.match(text, /^ok {4}redis +Redis 8\.\S+ at 127/m)
  assert.match(text, /^ok {4}clocks +PostgreSQL's clock is \d+ ms/m)
  assert.match(text, /^ok {4}clocks +Redis's clock is \d+ ms/m)
})

test('a stack with topic and schema is fit to run', async () => {
  await admin.createTopics({ topics: [{ topic: 'cloud-events', numPartitions: 4 }], waitForLeaders: true })
  await migrate({ session: client, signal })
  assert.match((await see()).text, /^warn {2}postgres +there is no partition of cloud_events for \S+ and \S+ yet$/m)
  await ensurePartitions(client, 'cloud_events', aheadDays(Date.now()), { signal })
  const { ok, text, findings } = await see()
  assert(ok, text)
  assert.match(text, /^ok {4}kafka +topic cloud-events: 4 partitions, 1 copy of each$/m)
  assert.match(text, /^warn {2}kafka +a lost broker loses records/m)
  assert.match(text, /^ok {4}kafka +records are kept for 7\.0 days$/m)
  assert.match(text, /^ok {4}kafka +group cloud-events: nobody in it now$/m)
  assert.match(text, /^ok {4}postgres +every privilege is there$/m)
  assert.match(text, /^ok {4}redis +the user may do all that publishing to 2 stream families needs$/m)
  assert.match(text, /^ok {4}ledger +0 of 4 partitions begun, 0 records wait/m)
  assert.match(text, /\nFit to run; \d+ to think about\.\n$/)
  for (const { level, remedy } of findings) assert.equal(remedy === undefined, level === 'ok')
})

test('Redis off is fine', async () => {
  assert.match((await see({ MILLRACE_REDIS: 'off' })).text, /^ok {4}redis +off/m)
})

test('Redis: eviction, a user without permissions, a wrong password', async () => {
  await redis.config('SET', 'maxmemory-policy', 'allkeys-lru')
  assert.match((await see()).text, /^FAIL {2}redis +REDIS_EVICTS: maxmemory-policy is allkeys-lru$/m)
  await redis.config('SET', 'maxmemory-policy', 'noeviction')

  await redis.call('ACL', 'SETUSER', 'narrow', 'on', '>pw', '~other:*', '+@all', '-fcall')
  const narrow = await see({ MILLRACE_REDIS_USER: 'narrow', MILLRACE_REDIS_PASSWORD: 'pw' })
  assert.match(narrow.text, /^FAIL {2}redis +REDIS_DENIED: the user lacks FCALL on events:cloud:\{0\}, .* and 3 more$/m)
  const wrong = await see({ MILLRACE_REDIS_USER: 'narrow', MILLRACE_REDIS_PASSWORD: 'other' })
  assert.match(wrong.text, /^FAIL {2}redis +REDIS_AUTH: .*WRONGPASS/m)
})

test('PostgreSQL: a wrong password, no such database, a role without privileges, one with them', async () => {
  await client.query("create role narrow login password 'pw'")
  await client.query("create role fleet login password 'pw'")
  assert.match((await see({ MILLRACE_POSTGRES_PASSWORD: 'wrong' })).text, /^FAIL {2}postgres +POSTGRES_AUTH/m)
  const nowhere = stack.postgres.replace(/\/[^/]+$/, '/nowhere')
  assert.match(
    (await see({ MILLRACE_POSTGRES: nowhere })).text,
    /^FAIL {2}postgres +POSTGRES_DENIED: There is no such database/m,
  )

  const narrow = await see({ MILLRACE_POSTGRES: role('narrow') })
  assert.match(narrow.text, /^FAIL {2}postgres +POSTGRES_DENIED/m)
  await client.query('grant select on millrace_migrations to narrow')
  assert.match(
    (await see({ MILLRACE_POSTGRES: role('narrow') })).text,
    /^FAIL {2}postgres +POSTGRES_DENIED: lacking SELECT on ledger, .* and \d+ more$/m,
  )

  await client.query(readFileSync(join(import.meta.dirname, '../../migrations/roles.sql'), 'utf8'))
  await client.query('grant millrace_fleet to fleet')
  const fleet = await see({ MILLRACE_POSTGRES: role('fleet') })
  assert(fleet.ok, fleet.text)
})

test('PostgreSQL: what weakens durability is said', async () => {
  await client.query('alter role millrace set synchronous_commit = off')
  await client.query('alter role millrace set default_transaction_read_only = on')
  const { text } = await see()
  await client.query('set default_transaction_read_only = off')
  await client.query('alter role millrace reset all')
  assert.match(text, /^warn {2}postgres +synchronous_commit is off$/m)
  assert.match(text, /^FAIL {2}postgres +this server is read-only/m)
})

test('a topic unfit for its task, and a ledger ahead of it', async () => {
  const resource = { type: kafkajs.ConfigResourceTypes.TOPIC, name: 'cloud-events' }
  const set = (entries: Record<string, string>) =>
    admin.alterConfigs({
      validateOnly: false,
      resources: [{ ...resource, configEntries: Object.entries(entries).map(([name, value]) => ({ name, value })) }],
    })
  await set({ 'retention.ms': '3600000', 'cleanup.policy': 'compact,delete', 'max.message.bytes': '134217728' })
  await client.query(`insert into ledger (consumer, topic, partition, start_offset, next_offset)
    values ('cloud-events', 'cloud-events', 1, 0, 50), ('cloud-events', 'cloud-events', 9, 0, 0)`)
  const { text } = await see()
  assert.match(text, /^warn {2}kafka +records are kept for 0\.0 days only$/m)
  assert.match(text, /^warn {2}kafka +the topic is compacted/m)
  assert.match(text, /^FAIL {2}kafka +messages may have 128\.0 MiB, more than inFlightBytesMax \(32\.0 MiB\)$/m)
  assert.match(text, /^FAIL {2}ledger +TOPIC_SHRUNK: .*\(partitions 9\)$/m)
  assert.match(text, /^FAIL {2}ledger +TOPIC_TRUNCATED: .*\(partitions 1\)$/m)
  await client.query('delete from ledger')
  await set({})
})

test('a member of the group is seen', async () => {
  const consumer = kafka.consumer({ groupId: 'cloud-events' })
  await consumer.connect()
  await consumer.subscribe({ topic: 'cloud-events' })
  const joined = Promise.withResolvers<void>()
  consumer.on(consumer.events.GROUP_JOIN, () => joined.resolve())
  await consumer.run({ eachMessage: async () => {} })
  await joined.promise
  const { text } = await see()
  await consumer.disconnect()
  assert.match(text, /^ok {4}kafka +group cloud-events: 1 member \(Stable\)$/m)
})

test('a Redis Cluster, and a node of one taken for a single server', async () => {
  const cluster = await startRedisCluster({
    root: join(import.meta.dirname, '../..'),
    name: `test-doctor-cluster-${process.pid}`,
    nodes: 1,
  })
  try {
    const found = await see(cluster.env)
    assert(found.ok, found.text)
    assert.match(found.text, /^ok {4}redis +cluster of 1 master, all slots served$/m)
    const single = await see({ MILLRACE_REDIS: cluster.nodes[0]?.url ?? '' })
    assert.match(single.text, /^FAIL {2}redis +.* is part of a cluster\n +-> Set MILLRACE_REDIS_CLUSTER=on/m)
  } finally {
    await cluster.remove()
  }
})

test('one server gone: the others are still examined', async () => {
  await stack.stopServer('redis')
  const { ok, text } = await see()
  assert.equal(ok, false)
  assert.match(text, /^FAIL {2}redis +REDIS_UNREACHABLE: .*ECONNREFUSED/m)
  assert.match(text, /^ok {4}ledger/m)
})
