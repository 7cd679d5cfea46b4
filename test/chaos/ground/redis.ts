/** The Redis of a chaos run: one server, a primary with a replica behind one address, or a cluster of three. */
import { Redis } from 'ioredis'
import type { RedisClient } from '../../../src/process/connect-redis.ts'
import { type RedisCluster, startRedisCluster } from './redis-cluster.ts'
import { type RedisPair, startRedisPair } from './redis-pair.ts'
import { type RedisServer, startRedisServer } from './redis-server.ts'

export interface RedisGround {
  /** How replicas reach it. */
  readonly env: Readonly<Record<string, string>>
  /** Lives through restarts, failovers and moves. */
  readonly client: RedisClient
  readonly nodes: readonly RedisServer[]
  readonly pair: RedisPair | null
  readonly cluster: RedisCluster | null
  /** Of each node: its data and its log. */
  readonly folders: readonly string[]
  /** No streams and no function left from another scenario, and nothing that it has changed. */
  empty(): Promise<void>
  remove(): Promise<void>
}

export type RedisKind = 'single' | 'pair' | 'cluster'

export async function startRedis(
  kind: RedisKind,
  options: { readonly root: string; readonly name: string; readonly signal?: AbortSignal },
): Promise<RedisGround> {
  if (kind === 'pair') {
    const pair = await startRedisPair(options)
    return ground(pair, { pair, cluster: null })
  }
  if (kind === 'cluster') {
    const cluster = await startRedisCluster(options)
    return ground(cluster, { pair: null, cluster })
  }
  const server = await startRedisServer(options)
  const client = new Redis(server.url)
  client.on('error', () => {})
  const remove = async () => {
    client.disconnect()
    await server.remove()
  }
  return ground({ env: { MILLRACE_REDIS: server.url }, client, nodes: [server], remove }, { pair: null, cluster: null })
}

const ground = (
  { env, client, nodes, remove }: Pick<RedisGround, 'env' | 'client' | 'nodes' | 'remove'>,
  kind: Pick<RedisGround, 'pair' | 'cluster'>,
): RedisGround => ({
  env,
  client,
  nodes,
  folders: nodes.map(({ folder }) => folder),
  ...kind,
  async empty() {
    for (const { admin } of nodes) {
      if (kind.pair?.replica.admin === admin) continue
      await admin.flushall()
      await admin.function('FLUSH')
      await admin.config('SET', 'maxmemory', '0')
    }
  },
  remove,
})
