/** What a real fleet has beside it: a service that reads the streams of payments as a consumer group, and people who query the table. Nothing of it is left. */
import type { Redis } from 'ioredis'
import { connectPostgres } from '../process/connect-postgres.ts'
import { connectRedis, isCluster } from '../process/connect-redis.ts'
import { type PostgresStats, simulatePostgres } from '../simulate/postgres.ts'
import { readPostgresFlags } from '../simulate/postgres-flags.ts'
import { type RedisStats, simulateRedis } from '../simulate/redis.ts'
import { readRedisFlags } from '../simulate/redis-flags.ts'
import type { Fleet } from '../start/fleet.ts'

export interface ReadersStats {
  /** null: nothing is published, or to a cluster, whose streams one command cannot read. */
  readonly streams: RedisStats | null
  readonly queries: PostgresStats
}

export interface Readers {
  /** Rejects at once when one of them fails. */
  readonly failed: Promise<never>
  stop(): Promise<ReadersStats>
}

const family = 'events:payment'
const group = 'millrace-load'

export function startReaders({ settings, publishes, table }: Fleet, seed: number, now: () => number): Readers {
  const stop = new AbortController()
  const common = { signal: stop.signal, now }
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => {})
  const streams =
    publishes && !isCluster(settings)
      ? simulateRedis({
          ...readRedisFlags({ read: family, groups: group, seed: String(seed), clean: true }, 0),
          ...common,
          connect: async (name) => (await connectRedis(settings, { name, onError: () => {} })) as Redis,
        })
      : Promise.resolve(null)
  const queries = simulatePostgres({
    ...readPostgresFlags({ read: table, seed: String(seed) }, 0),
    ...common,
    connect: (name) => connectPostgres(settings, name),
  })
  for (const one of [streams, queries]) one.catch(failed.reject)
  return {
    failed: failed.promise,
    async stop() {
      stop.abort()
      return { streams: await streams, queries: await queries }
    },
  }
}
