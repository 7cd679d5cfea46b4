/** The programs that a native stack runs: found on this machine, or fetched once into .local/cache. Each part is set up beside the others. */
import { join } from 'node:path'
import type { Install } from './install.ts'
import { installKafka, type KafkaParts } from './install-kafka.ts'
import { findPostgres, type PostgresParts } from './install-postgres.ts'
import { installPrometheus, type PrometheusParts } from './install-prometheus.ts'
import { installRedis, type RedisParts } from './install-redis.ts'
import type { OnProgress } from './progress.ts'
import type { ServerName } from './state.ts'

export type Parts = { kafka?: KafkaParts; postgres?: PostgresParts; redis?: RedisParts }

export async function installParts(
  root: string,
  servers: readonly ServerName[],
  onProgress: OnProgress,
  signal?: AbortSignal,
): Promise<Parts> {
  const parts: Parts = {}
  const install = (part: string): Install => ({ cache: join(root, '.local', 'cache'), part, onProgress, signal })
  const tasks = {
    kafka: async () => {
      parts.kafka = await installKafka(root, install('Kafka'))
    },
    postgres: async () => {
      parts.postgres = await findPostgres(root, install('PostgreSQL'))
    },
    redis: async () => {
      parts.redis = await installRedis(install('Redis'))
    },
  }
  const results = await Promise.allSettled(servers.map((server) => tasks[server]()))
  const failed = results.find((result) => result.status === 'rejected')
  if (failed) throw failed.reason
  return parts
}

/** What `npm start -- --observe` runs beside them, and promtool. */
export function installObservers(root: string, onProgress: OnProgress, signal?: AbortSignal): Promise<PrometheusParts> {
  return installPrometheus({ cache: join(root, '.local', 'cache'), part: 'Prometheus', onProgress, signal })
}
