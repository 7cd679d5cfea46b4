/** What must hold before the first record is read. Each failure is one line that says what to do; nothing is changed by looking. */
import type { Kafka } from 'kafkajs'
import type pg from 'pg'
import { FatalError } from '../core/errors.ts'
import type { Settings } from '../core/settings.ts'
import { requireSchema, schemaState } from '../schema/migrate.ts'
import { kafkaFailure } from './connect-kafka.ts'
import type { RedisClient } from './connect-redis.ts'
import type { LoadedConsumer } from './load-consumer.ts'

export async function checkPostgres(client: pg.Client, { name, definition }: LoadedConsumer): Promise<void> {
  const { rows: version } = await client.query("select current_setting('server_version_num')::int as number")
  if (version[0].number < 180_000) {
    throw new FatalError(
      'POSTGRES_VERSION',
      `PostgreSQL ${Math.floor(version[0].number / 10_000)} is older than 18.`,
      'Upgrade the server.',
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
  for (const [relation, privilege] of [
    ['ledger', 'SELECT, INSERT, UPDATE'],
    ['rejects', 'INSERT'],
    [definition.table, 'SELECT, INSERT'],
  ] as const) {
    for (const one of privilege.split(', ')) {
      const { rows } = await client.query('select has_table_privilege($1, $2) as granted', [relation, one])
      if (!rows[0].granted) {
        throw new FatalError(
          'POSTGRES_DENIED',
          `The user may not ${one} on ${relation}.`,
          `GRANT ${one} ON ${relation} to it.`,
        )
      }
    }
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
    if (!topics.includes(topic)) {
      throw new FatalError(
        'TOPIC_MISSING',
        `The topic '${topic}' does not exist.`,
        'Create it (100 partitions are a good start), or let `millrace simulate kafka --create` do so.',
      )
    }
    const { topics: described } = await admin.fetchTopicMetadata({ topics: [topic] })
    partitions = described[0]?.partitions.length ?? 0
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

export async function checkRedis(redis: RedisClient): Promise<void> {
  const server = await redis.info('server')
  const version = /redis_version:(\d+)/.exec(server)?.[1]
  if (Number(version) < 7) {
    throw new FatalError(
      'REDIS_VERSION',
      `Redis ${version} has no functions.`,
      'Upgrade the server to 7 or newer; 8 is what is tested.',
    )
  }
  const memory = await redis.info('memory')
  const policy = /maxmemory_policy:(\S+)/.exec(memory)?.[1]
  if (policy !== 'noeviction') {
    throw new FatalError(
      'REDIS_EVICTS',
      `maxmemory-policy is ${policy}: Redis would throw away whole streams, groups and all.`,
      'Set it: CONFIG SET maxmemory-policy noeviction (and in redis.conf).',
    )
  }
}
