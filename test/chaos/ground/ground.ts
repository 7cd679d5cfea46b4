/**
 * The servers of a world, by what a scenario needs. Each of the three is kept for the next scenario that needs the same; what a scenario changes it puts
 * back, and each has a topic, a database and a group of its own.
 */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { installParts } from '../../../src/stack/parts.ts'
import { removeFolder } from '../../../src/stack/sweep.ts'
import type { Needs } from '../scenario.ts'
import { openFolder } from './folder.ts'
import { type KafkaCluster, startKafkaCluster } from './kafka.ts'
import { type PostgresGround, startPostgres } from './postgres.ts'
import { type RedisGround, type RedisKind, startRedis } from './redis.ts'

export const root = join(import.meta.dirname, '../../..')

export interface Ground {
  readonly kafka: KafkaCluster
  readonly postgres: PostgresGround
  readonly redis: RedisGround
  /** Under it are the servers' data and logs. */
  readonly folders: readonly string[]
  /** Such as "PostgreSQL 18.1". */
  versions(): Promise<string[]>
}

export interface Grounds {
  /** Whole and at ease: every broker is up and every copy in sync. */
  of(needs: Needs): Promise<Ground>
  close(): Promise<void>
}

interface Kept<T> {
  readonly kind: string
  readonly server: T
  close(): Promise<void>
}

/** One server, started anew when another kind of it is wanted. */
function keeper<T>(start: (kind: string) => Promise<{ server: T; close: () => Promise<void> }>) {
  let kept: Kept<T> | null = null
  const close = async () => {
    const last = kept
    kept = null
    await last?.close()
  }
  return {
    close,
    async of(kind: string): Promise<T> {
      if (kept?.kind === kind) return kept.server
      await close()
      kept = { kind, ...(await start(kind)) }
      return kept.server
    },
  }
}

export function openGrounds(signal: AbortSignal): Grounds {
  const name = `chaos-${randomUUID().slice(0, 8)}`
  const partName = (part: string) => `${name}-${part}`
  const kafka = keeper(async (kind) => {
    const brokers = kind === '1' ? 1 : 3
    const server = await startKafkaCluster({ root, name: partName('kafka'), brokers, signal })
    return { server, close: () => server.stop() }
  })
  const postgres = keeper(async (kind) => {
    const folder = openFolder(root, partName('postgres'))
    const ground = await startPostgres(kind as 'single' | 'pair', { root, folder })
    const close = async () => {
      await ground.close()
      removeFolder(folder)
    }
    return { server: { ground, folder }, close }
  })
  const redis = keeper(async (kind) => {
    const server = await startRedis(kind as RedisKind, { root, name: partName('redis'), signal })
    return { server, close: () => server.remove() }
  })
  return {
    async of({ brokers = 3, postgres: database = 'single', redis: streams = 'single' }) {
      const cluster = await kafka.of(String(brokers))
      const [sql, memory] = await Promise.all([postgres.of(database), redis.of(streams)])
      await cluster.untilHealthy()
      return {
        kafka: cluster,
        postgres: sql.ground,
        redis: memory,
        folders: [cluster.folder, sql.folder, ...memory.folders],
        versions: () => versionsOf(sql.ground, memory),
      }
    },
    async close() {
      await Promise.all([postgres.close(), redis.close(), kafka.close()])
    },
  }
}

async function versionsOf(postgres: PostgresGround, redis: RedisGround): Promise<string[]> {
  const { kafka } = await installParts(root, ['kafka'], () => {})
  const [row] = await postgres.query<{ server_version: string }>('SHOW server_version')
  const info = /redis_version:(\S+)/.exec(String(await redis.client.info('server')))?.[1]
  return [`Apache Kafka ${kafka?.version ?? '?'}`, `PostgreSQL ${row?.server_version.split(' ')[0]}`, `Redis ${info}`]
}
