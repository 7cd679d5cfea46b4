/**
 * The servers of a world, by what a scenario needs. Started once for all scenarios of the same needs that follow each other; what a scenario changes
 * it puts back, and each has a topic, a database and a group of its own.
 */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import type { RedisClient } from '../../../src/process/connect-redis.ts'
import { startStack } from '../../../src/stack/stack.ts'
import type { Needs } from '../scenario.ts'
import { type PostgresGround, startPostgres } from './postgres.ts'

export const root = join(import.meta.dirname, '../../..')

export interface KafkaGround {
  /** As MILLRACE_KAFKA takes it. */
  readonly brokers: string
  readonly replicationFactor: number
}

export interface RedisGround {
  /** MILLRACE_REDIS and what else the replicas need to reach it. */
  readonly env: Readonly<Record<string, string>>
  readonly client: RedisClient
  /** No streams left from another scenario. */
  empty(): Promise<void>
}

export interface Ground {
  readonly kafka: KafkaGround
  readonly postgres: PostgresGround
  readonly redis: RedisGround
  readonly folder: string
  /** The servers' own logs, kept when a scenario fails. */
  readonly logs: readonly string[]
  /** Such as "PostgreSQL 18.1". */
  versions(): Promise<string[]>
  close(): Promise<void>
}

export async function openGround(needs: Needs, signal: AbortSignal): Promise<Ground> {
  const name = `chaos-${randomUUID().slice(0, 8)}`
  const stack = await startStack({ root, name, temporary: true, quick: true, signal, servers: ['kafka', 'redis'] })
  const postgres = await startPostgres(needs.postgres ?? 'single', { root, folder: stack.folder }).catch(
    async (error: unknown) => {
      await stack.remove()
      throw error
    },
  )
  const client = new Redis(stack.redis)
  client.on('error', () => {})
  return {
    kafka: { brokers: stack.kafka, replicationFactor: 1 },
    postgres,
    redis: {
      env: { MILLRACE_REDIS: stack.redis },
      client,
      empty: async () => void (await client.flushall()),
    },
    folder: stack.folder,
    logs: [stack.logs.kafka, stack.logs.redis, ...postgres.logs],
    versions: async () => [],
    async close() {
      client.disconnect()
      await postgres.close()
      await stack.remove()
    },
  }
}
