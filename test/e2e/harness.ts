/**
 * A world for one end-to-end test: real servers (one stack per test file), real replicas as child processes, a simulator with a known seed, and the
 * proof at the end.
 *
 * Each world has a database, a consumer group and a Redis database of its own, and begins at the end of the topic as it finds it, so tests of a file
 * do not see each other's events. Every choice of a test comes from `world.random`, whose seed is told; MILLRACE_TEST_SEED repeats it.
 */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { after, before, type TestContext } from 'node:test'
import { Redis } from 'ioredis'
import kafkajs, { type Admin, type Kafka } from 'kafkajs'
import pg from 'pg'
import definition from '../../consumers/cloud-events.ts'
import { mendKafkajs } from '../../src/flow/consume/kafkajs-mend.ts'
import type { RedisClient } from '../../src/process/connect-redis.ts'
import { migrate } from '../../src/schema/migrate.ts'
import { createRandom, type Random } from '../../src/simulate/random.ts'
import { type Stack, type StackOptions, startStack } from '../../src/stack/stack.ts'
import type { VerifyResult } from '../../src/verify/verify.ts'
import { type Load, type LoadOptions, startLoad } from './load.ts'
import { type Made, nothingMade, prove } from './proof.ts'
import { quickSettings } from './quick-settings.ts'
import { endWatchdog, type Replica, startReplica } from './replica.ts'
import { Enough, until, within } from './until.ts'

export const root = join(import.meta.dirname, '../..')
export const topic = definition.topic
const partitionsDefault = 12

export interface WorldOptions {
  /** Settings of all replicas, over the quick ones. */
  readonly env?: Readonly<Record<string, string>>
  readonly partitions?: number
  /** Streams elsewhere than in the stack's own Redis. */
  readonly redis?: { readonly client: RedisClient; readonly env: Readonly<Record<string, string>> }
}

export interface World {
  readonly stack: Stack
  readonly name: string
  readonly seed: number
  readonly random: Random
  readonly env: Readonly<Record<string, string>>
  readonly postgresUrl: string
  readonly redisUrl: string
  readonly sql: pg.Client
  readonly redis: RedisClient
  readonly kafka: Kafka
  readonly admin: Admin
  readonly replicas: readonly Replica[]
  replica(env?: Readonly<Record<string, string>>): Promise<Replica>
  load(options: LoadOptions): Load
  ends(): Promise<Map<number, number>>
  ledger(): Promise<Map<number, number>>
  committed(): Promise<Map<number, number>>
  /** The living replicas share all partitions, and each of `who` (all of them by default) has stored something since this was called. */
  untilServing(who?: readonly Replica[], limitMs?: number): Promise<void>
  /** All that Kafka holds is stored, published and settled. */
  untilDrained(limitMs?: number): Promise<void>
  /** Rows stored in this world. */
  rows(): Promise<number>
  untilRows(count: number, limitMs?: number): Promise<number>
  /** The proof by SQL and stream reads, against what the loads and whoever else produced have counted. */
  proof(more?: Partial<Made>): Promise<VerifyResult>
}

/** Call at the top of a test file. */
export function useStack(options: Partial<StackOptions> = {}): {
  world(t: TestContext, options?: WorldOptions): Promise<World>
  stack(): Promise<Stack>
} {
  let starting: Promise<Stack> | undefined
  let worlds = 0
  const start = () => {
    starting ??= startStack({
      root,
      name: `test-e2e-${randomUUID().slice(0, 8)}`,
      temporary: true,
      quick: true,
      ...options,
    })
    return starting
  }
  before(start)
  after(async () => {
    endWatchdog()
    await (await starting)?.remove()
  })
  return { stack: start, world: async (t, given) => makeWorld(await start(), t, worlds++, given ?? {}) }
}

export async function ensureTopic(admin: Admin, partitions: number): Promise<void> {
  const exists = (await admin.listTopics()).includes(topic)
  if (!exists) await admin.createTopics({ topics: [{ topic, numPartitions: partitions }], waitForLeaders: true })
}

async function makeWorld(stack: Stack, t: TestContext, index: number, options: WorldOptions): Promise<World> {
  const seed = Number(process.env.MILLRACE_TEST_SEED ?? Math.floor(Math.random() * 1e9))
  t.diagnostic(`MILLRACE_TEST_SEED=${seed}`)
  const random = createRandom(seed)
  const name = `e2e_${randomUUID().slice(0, 8)}`
  mendKafkajs()
  const open = new AsyncDisposableStack()
  t.after(() => open.disposeAsync())

  const kafkaConfig = { brokers: [stack.kafka], logLevel: kafkajs.logLevel.NOTHING }
  const kafka = new kafkajs.Kafka(kafkaConfig)
  const admin = kafka.admin()
  await admin.connect()
  open.defer(() => admin.disconnect())
  await ensureTopic(admin, options.partitions ?? partitionsDefault)

  const connect = async (url: string) => {
    const client = new pg.Client({ connectionString: url })
    client.on('error', () => {})
    await client.connect()
    open.defer(() => client.end().catch(() => {}))
    return client
  }
  const maintenance = await connect(stack.postgres)
  await maintenance.query(`create database ${name}`)
  const postgresUrl = Object.assign(new URL(stack.postgres), { pathname: `/${name}` }).href
  let sql = await connect(postgresUrl)
  await migrate({ session: sql, signal: AbortSignal.timeout(30_000) })

  const redisUrl = `${stack.redis}/${index}`
  const redis = options.redis?.client ?? new Redis(redisUrl)
  if (options.redis === undefined) {
    redis.on('error', () => {})
    open.defer(() => redis.disconnect())
  }

  const ends = async () =>
    new Map((await admin.fetchTopicOffsets(topic)).map(({ partition, high }) => [partition, Number(high)]))
  // The events of earlier tests are not ours.
  const begins = await until('the ends of a new topic', 30_000, ends)
  await sql.query(
    `INSERT INTO ledger (consumer, topic, partition, start_offset, next_offset)
     SELECT 'cloud-events', $1, * FROM unnest($2::int[], $3::bigint[], $3::bigint[])`,
    [topic, [...begins.keys()], [...begins.values()]],
  )

  const env = {
    MILLRACE_KAFKA: stack.kafka,
    MILLRACE_POSTGRES: postgresUrl,
    MILLRACE_REDIS: redisUrl,
    MILLRACE_GROUP: name,
    ...quickSettings,
    ...options.redis?.env,
    ...options.env,
  }
  const replicas: Replica[] = []
  let proved = false
  open.defer(async () => {
    for (const one of replicas) if (one.isAlive) one.kill('SIGKILL')
    await within('killed replicas to end', 10_000, Promise.all(replicas.map(({ ended }) => ended)))
    if (proved) return
    for (const one of replicas) {
      t.diagnostic(`--- log of ${one.name}, the last lines\n${one.log.slice(-40).join('\n')}`)
    }
  })
  const loads: Load[] = []
  open.defer(
    async () => void (await within('loads to end', 20_000, Promise.allSettled(loads.map((load) => load.stop())))),
  )

  /** A session that outlives a restart of the server. */
  async function query<R extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<R[]> {
    try {
      return (await sql.query<R>(text, values)).rows
    } catch {
      sql = await connect(postgresUrl)
      return (await sql.query<R>(text, values)).rows
    }
  }

  const ledger = async () => {
    const rows = await query<{ partition: number; next_offset: string }>(
      "SELECT partition, next_offset::text FROM ledger WHERE consumer = 'cloud-events' AND topic = $1",
      [topic],
    )
    return new Map(rows.map(({ partition, next_offset }) => [partition, Number(next_offset)]))
  }
  const committed = async () => {
    const [found] = await admin.fetchOffsets({ groupId: name, topics: [topic] })
    return new Map((found?.partitions ?? []).map(({ partition, offset }) => [partition, Number(offset)]))
  }
  const rows = async () => (await query<{ count: number }>('SELECT count(*)::int FROM cloud_events'))[0]?.count ?? 0
  const stillAlive = () => {
    for (const one of replicas) {
      if (one.isAlive || one.endIsExpected) continue
      throw new Enough(`replica ${one.name} ended by itself:\n${one.log.slice(-20).join('\n')}`)
    }
  }

  return {
    stack,
    name,
    seed,
    random,
    env,
    postgresUrl,
    redisUrl,
    get sql() {
      return sql
    },
    redis,
    kafka,
    admin,
    replicas,
    async replica(more = {}) {
      const one = await startReplica(`r${replicas.length + 1}`, { ...env, ...more }, { cwd: stack.folder })
      replicas.push(one)
      return one
    },
    load(given) {
      const load = startLoad({ kafka: kafkaConfig, topic, seed: random.below(1e9), ...given })
      t.diagnostic(`load with seed ${load.seed}`)
      loads.push(load)
      return load
    },
    ends,
    ledger,
    committed,
    rows,
    untilRows: (count, limitMs = 60_000) =>
      until(`${count} rows`, limitMs, async () => {
        stillAlive()
        const found = await rows()
        if (found >= count) return found
        throw new Error(`${found} rows`)
      }),
    async untilServing(who, limitMs = 60_000) {
      const wanted = who ?? replicas.filter(({ isAlive }) => isAlive)
      const stored = async () => {
        const statuses = await Promise.all(wanted.map((one) => one.status()))
        return statuses.map(({ rooms }) => rooms.persist.records)
      }
      const before = await until('the replicas to answer', limitMs, stored)
      await until('every replica to store something', limitMs, async () => {
        stillAlive()
        const living = replicas.filter(({ isAlive }) => isAlive)
        const assigned = await Promise.all(living.map(async (one) => (await one.status()).partitions.length))
        const sum = assigned.reduce((total, one) => total + one, 0)
        if (sum !== begins.size) throw new Error(`assigned: ${assigned.join(', ')}`)
        const now = await stored()
        if (now.every((count, index) => count > (before[index] as number))) return true
        throw new Error(`stored: ${now.join(', ')}; before: ${before.join(', ')}`)
      })
    },
    untilDrained: (limitMs = 90_000) =>
      until('the fleet to drain', limitMs, async () => {
        stillAlive()
        const [kafkaEnds, stored, settled] = [await ends(), await ledger(), await committed()]
        const behind = [...kafkaEnds].filter(
          ([partition, end]) =>
            stored.get(partition) !== end || (end > (begins.get(partition) ?? 0) && settled.get(partition) !== end),
        )
        if (behind.length === 0) return
        const told = behind.map(
          ([partition, end]) =>
            `${partition}: end ${end}, ledger ${stored.get(partition)}, settled ${settled.get(partition)}`,
        )
        throw new Error(told.join('; '))
      }).then(() => {}),
    async proof(more = {}) {
      const made = [...(await Promise.all(loads.map(({ done }) => done))), { ...nothingMade, ...more }]
      const client = await connect(postgresUrl)
      const result = await prove({
        group: name,
        kafka: kafkaConfig,
        client,
        redis,
        made,
        tell: (text) => t.diagnostic(text),
      })
      proved = true
      return result
    },
  }
}
