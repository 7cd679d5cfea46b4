/** What must hold before the first record is read. Each failure is one line that says what to do; nothing is changed by looking. */
import type { Kafka } from 'kafkajs'
import type pg from 'pg'
import { FatalError } from '../core/errors.ts'
import type { Settings } from '../core/settings.ts'
import { requireSchema, schemaState } from '../schema/migrate.ts'
import { kafkaFailure, openKafka } from './connect-kafka.ts'
import type { RedisClient } from './connect-redis.ts'
import type { LoadedConsumer } from './load-consumer.ts'
import { lackingKafka } from './rights-kafka.ts'
import { lackingPostgres, someOf } from './rights-postgres.ts'
import { lackingRedis, mastersOf } from './rights-redis.ts'

export async function checkPostgres(client: pg.Client, { name, definition }: LoadedConsumer): Promise<void> {
  const { rows: version } = await client.query("select current_setting('server_version_num')::int as number")
  if (version[0].number < 180_000) {
    throw new FatalError(
      'POSTGRES_VERSION',
      `PostgreSQL ${Math.floor(version[0].number / 10_000)} is older than 18.`,
      'Upgrade the server.',
    )
  }
  const lacking = await lackingPostgres(client, definition.table)
  if (lacking.length > 0) {
    throw new FatalError(
      'POSTGRES_DENIED',
      `The user lacks ${someOf(lacking)}.`,
      'Grant what migrations/roles.sql lists, as the owner of the schema.',
    )
  }
  requireSchema(await schemaState(client))
  const { rows: table } = await client.query('select to_regclass($1) is not null as found', [definition.table])
  if (!table[0].found) {
    throw new FatalError(
      'SCHEMA_MISSING',
      `There is no table ${definition.table} in the search_path.`,
      `Correct 'table' in consumers/${name}.ts, or create a table shaped like cloud_events.`,
    )
  }
}

/** The topic is there and has no fewer partitions than the ledger knows. Answers their number. */
export async function checkTopic(
  kafka: Kafka,
  client: pg.Client,
  consumer: LoadedConsumer,
  settings: Settings,
): Promise<number> {
  const { topic } = consumer.definition
  const admin = kafka.admin()
  let partitions: number
  try {
    await admin.connect()
    const topics = await admin.listTopics()
    if (!topics.includes(topic)) throw await whyUnseen(settings, topic)
    const { topics: described } = await admin.fetchTopicMetadata({ topics: [topic] })
    partitions = described[0]?.partitions.length ?? 0
    const lacking = await lackingKafka(settings, topic, settings.group || consumer.name)
    if (lacking.length > 0) {
      throw new FatalError(
        'KAFKA_DENIED',
        `The user lacks ${lacking.join(', ')}.`,
        'Grant it: docs/security.md has the commands.',
      )
    }
  } catch (error) {
    throw error instanceof FatalError ? error : kafkaFailure(error, settings)
  } finally {
    await admin.disconnect()
  }
  const { rows } = await client.query(
    'select max(partition) as highest from ledger where consumer = $1 and topic = $2',
    [consumer.name, topic],
  )
  const highest = rows[0].highest as number | null
  if (highest !== null && highest >= partitions) {
    throw new FatalError(
      'TOPIC_SHRUNK',
      `'${topic}' has ${partitions} partitions, but the ledger knows of partition ${highest}: the topic was recreated.`,
      'Consume it under another consumer name, or remove its rows from the ledger if its events are to be stored anew.',
    )
  }
  return partitions
}

/** A topic that may not be seen is not in the list either; asked for by name, the broker tells the two apart. */
async function whyUnseen(settings: Settings, topic: string): Promise<FatalError> {
  const admin = openKafka(settings).admin()
  try {
    await admin.connect()
    await admin.fetchTopicMetadata({ topics: [topic] })
  } catch (error) {
    const failure = kafkaFailure(error, settings)
    if (failure.code === 'KAFKA_DENIED') return failure
  } finally {
    await admin.disconnect()
  }
  return new FatalError(
    'TOPIC_MISSING',
    `The topic '${topic}' does not exist.`,
    'Create it (100 partitions are a good start), or let `millrace simulate kafka --create` do so.',
  )
}

/** Of a cluster, every master: each keeps streams, and each has settings of its own. */
export async function checkRedis(redis: RedisClient, families: readonly string[]): Promise<void> {
  for (const node of mastersOf(redis)) {
    const info = await node.info()
    const where = mastersOf(redis).length > 1 ? ` at ${node.options.host}:${node.options.port}` : ''
    const version = /redis_version:(\d+)/.exec(info)?.[1]
    if (Number(version) < 7) {
      throw new FatalError(
        'REDIS_VERSION',
        `Redis ${version}${where} has no functions.`,
        'Upgrade the server to 7 or newer; 8 is what is tested.',
      )
    }
    const policy = /maxmemory_policy:(\S+)/.exec(info)?.[1]
    if (policy !== 'noeviction') {
      throw new FatalError(
        'REDIS_EVICTS',
        `maxmemory-policy${where} is ${policy}: Redis would throw away whole streams, groups and all.`,
        'Set it: CONFIG SET maxmemory-policy noeviction (and in redis.conf).',
      )
    }
  }
  const lacking = await lackingRedis(redis, families)
  if (lacking.length > 0) {
    throw new FatalError(
      'REDIS_DENIED',
      `The user lacks ${someOf(lacking)}.`,
      'Set its rights: docs/security.md has the line.',
    )
  }
}
