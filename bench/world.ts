/**
 * The world of a bench: one local stack, a topic with the events that everybody drains, and empty tables, streams and marks before each drain.
 *
 * The events travel in binary mode, for a sink on Kafka Connect can only make columns of headers, and each record's key is its row's key, for that
 * sink can't compute one. All contenders get the same topic.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import kafkajs from 'kafkajs'
import pg from 'pg'
import { dayOf } from '../src/core/day.ts'
import { FatalError } from '../src/core/errors.ts'
import { migrate } from '../src/schema/migrate.ts'
import { ensurePartitions } from '../src/schema/partitions.ts'
import { ensureTopic } from '../src/simulate/topic.ts'
import { type Stack, startStack } from '../src/stack/stack.ts'

export const root = fileURLToPath(new URL('..', import.meta.url))
export const topic = 'cloud-events'

export interface World {
  readonly stack: Stack
  readonly sql: pg.Client
  readonly redis: Redis
  readonly kafka: kafkajs.Kafka
  readonly logs: string
  readonly today: number
  readonly signal: AbortSignal
  readonly say: (text: string) => void
  /** Empty tables, streams and marks: the same topic can be drained anew. */
  reset(options?: { keepRows?: boolean }): Promise<void>
  /** The topic made anew, empty. */
  emptyTopic(partitions?: number): Promise<void>
  /** Where the topic's partitions end. */
  ends(): Promise<Map<number, number>>
  /** Settings of a replica, with a group of its own. */
  env(streams: boolean): Record<string, string>
  [Symbol.asyncDispose](): Promise<void>
}

export interface WorldOptions {
  readonly partitions: number
  readonly signal: AbortSignal
  readonly say: (text: string) => void
  /** NAME=VALUE, for replicas. */
  readonly settings?: readonly string[]
  /** Of the server. */
  readonly postgres?: Record<string, string>
  /** Go on with what the last world has left; empty servers by default. */
  readonly fresh?: boolean
}

/** A bench has no settings to blame: whatever the client says ends it. */
export const unexplained = (error: unknown) =>
  new FatalError('KAFKA_CRASHED', String(error), 'See the log of the stack.', error)

export async function openWorld({
  partitions,
  signal,
  say,
  settings = [],
  postgres,
  fresh = true,
}: WorldOptions): Promise<World> {
  const open = new AsyncDisposableStack()
  say('starting Kafka, PostgreSQL and Redis')
  const stack = open.use(
    // When a row was committed is the same question for every contender, answered by the database.
    await startStack({
      root,
      name: 'bench',
      fresh,
      lasting: true,
      postgres: { track_commit_timestamp: 'on', ...postgres },
      signal,
    }),
  )
  const logs = join(root, '.local/stacks/bench/logs')
  mkdirSync(logs, { recursive: true })
  const sql = new pg.Client({ connectionString: stack.postgres })
  // The stack ends before this connection when something fails; what failed is what should be read.
  sql.on('error', () => {})
  await sql.connect()
  open.defer(() => sql.end().catch(() => {}))
  const redis = new Redis(stack.redis)
  redis.on('error', () => {})
  open.defer(() => redis.disconnect())
  await migrate({ session: sql, signal })
  const kafka = new kafkajs.Kafka({ brokers: [stack.kafka], logLevel: kafkajs.logLevel.NOTHING })
  const admin = kafka.admin()
  await admin.connect()
  open.defer(() => admin.disconnect())
  await ensureTopic(kafka, topic, { partitions, replicationFactor: 1 })
  const again = async (what: string, work: () => Promise<unknown>) => {
    for (let tries = 1; ; tries++) {
      signal.throwIfAborted()
      try {
        return await work()
      } catch (error) {
        if (tries === 100) throw new Error(`waited too long for ${what}`, { cause: error })
        await sleep(200, undefined, { signal })
      }
    }
  }
  // A broker makes the topic of the groups' offsets when it is first asked who coordinates one; on busy cores that takes longer than a client waits.
  await again('the coordinator of groups', () => admin.describeGroups(['bench-0']))
  const today = dayOf(Date.now())
  let group = 0
  return {
    stack,
    sql,
    redis,
    kafka,
    logs,
    today,
    signal,
    say,
    async reset({ keepRows = false } = {}) {
      await sql.query(`TRUNCATE ledger, rejects${keepRows ? '' : ', cloud_events'}`)
      await ensurePartitions(sql, 'cloud_events', [today - 1, today, today + 1], { signal })
      await redis.flushdb()
      await sql.query('CHECKPOINT')
    },
    async emptyTopic(wanted = partitions) {
      const isGone = (error: unknown) => (error as { type?: string }).type === 'UNKNOWN_TOPIC_OR_PARTITION'
      const empty = () =>
        admin.deleteTopics({ topics: [topic] }).catch((error) => (isGone(error) ? undefined : Promise.reject(error)))
      await again('the topic to be deleted', empty)
      // The broker deletes at its leisure, and makes no topic of a name that it still has.
      await again('the topic to be made anew', async () => {
        const isNew = await admin.createTopics({
          topics: [{ topic, numPartitions: wanted, replicationFactor: 1 }],
          waitForLeaders: true,
        })
        if (isNew) return
        // One that was made just before may not have been known when it was to be deleted.
        await empty()
        throw new Error('the old one is still there')
      })
    },
    async ends() {
      const ends = await admin.fetchTopicOffsets(topic)
      return new Map(ends.map(({ partition, high }) => [partition, Number(high)]))
    },
    env: (streams) => ({
      MILLRACE_KAFKA: stack.kafka,
      MILLRACE_POSTGRES: stack.postgres,
      MILLRACE_REDIS: streams ? stack.redis : 'off',
      MILLRACE_GROUP: `bench-${++group}`,
      MILLRACE_LOG_LEVEL: 'warn',
      ...Object.fromEntries(settings.map((pair) => pair.split('=', 2) as [string, string])),
    }),
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  }
}
