/** The doctor on Redis: version and functions, nothing that evicts, durability, room for the streams, the user's permissions, the cluster's state. */
import { Cluster, type Redis } from 'ioredis'
import { FatalError } from '../core/errors.ts'
import type { Settings } from '../core/settings.ts'
import { connectRedis, isCluster, type RedisClient, redisFailure } from '../process/connect-redis.ts'
import { someOf } from '../process/rights-postgres.ts'
import { lackingRedis, mastersOf } from '../process/rights-redis.ts'
import { type Chart, type ClockReading, readClock } from './finding.ts'

const versionMin = 7
interface Memory {
  /** What one master may use, and what sets that bound; 0 when it does not say. */
  readonly memoryBytes: number
  readonly memoryBound: 'maxmemory' | "the machine's memory"
}

export interface RedisFacts extends Memory {
  readonly clock: ClockReading
  readonly masters: number
}

export async function checkRedis(
  chart: Chart,
  settings: Settings,
  families: readonly string[],
  now: () => number,
  signal: AbortSignal,
): Promise<RedisFacts | null> {
  if (settings.redisUrls.length === 0) {
    chart.ok('off: events go to PostgreSQL only')
    return null
  }
  let client: RedisClient | null = null
  const stop = () => client?.disconnect()
  signal.addEventListener('abort', stop, { once: true })
  try {
    client = await connectRedis(settings, { name: 'millrace-doctor' })
    const masters = mastersOf(client)
    const first = masters[0] as Redis
    if (client instanceof Cluster) await checkCluster(chart, client, masters.length)
    const memory: Memory[] = []
    for (const node of masters) memory.push(await checkNode(chart, node, settings))
    await checkPermissions(chart, client, families)
    // From INFO, which publishing needs anyway, and not by TIME, which would be one more right.
    const clock = await readClock(
      now,
      async () => Number(fields(await first.info('server')).get('server_time_usec')) / 1000,
    )
    const smallest = memory.reduce((least, one) => (one.memoryBytes < least.memoryBytes ? one : least))
    return { clock, masters: masters.length, ...smallest }
  } catch (error) {
    const failure = error instanceof FatalError ? error : redisFailure(error, settings)
    chart.fail(`${failure.code}: ${failure.message}`, failure.remedy)
    return null
  } finally {
    signal.removeEventListener('abort', stop)
    client?.disconnect()
  }
}

async function checkCluster(chart: Chart, cluster: Cluster, masters: number): Promise<void> {
  const info = fields(await cluster.cluster('INFO'))
  chart.check(
    info.get('cluster_state') === 'ok',
    `cluster of ${masters} ${masters === 1 ? 'master' : 'masters'}, all slots served`,
    `the cluster's state is ${info.get('cluster_state')}, ${info.get('cluster_slots_assigned')} of 16384 slots assigned`,
    'Bring the missing masters back; streams of their slots stand still.',
  )
}

async function checkNode(chart: Chart, node: Redis, settings: Settings): Promise<Memory> {
  const info = fields(await node.info())
  const where = `${node.options.host}:${node.options.port}`
  const valkey = info.get('server_name') === 'valkey'
  const version = (valkey ? info.get('valkey_version') : info.get('redis_version')) ?? '0'
  chart.check(
    Number.parseInt(version, 10) >= versionMin,
    `${valkey ? 'Valkey' : 'Redis'} ${version} at ${where}`,
    `REDIS_VERSION: ${valkey ? 'Valkey' : 'Redis'} ${version} at ${where} has no functions`,
    'Use Redis 7 or newer; 8 is what this is tested with.',
  )
  if (info.get('role') !== 'master')
    chart.fail(`${where} is a replica of ${info.get('master_host')}`, 'Point MILLRACE_REDIS at the master.')
  if (info.get('cluster_enabled') === '1' && !isCluster(settings)) {
    chart.fail(`${where} is part of a cluster`, 'Set MILLRACE_REDIS_CLUSTER=on.')
  }
  const policy = info.get('maxmemory_policy') ?? 'unknown'
  chart.check(
    policy === 'noeviction',
    'maxmemory-policy is noeviction',
    `REDIS_EVICTS: maxmemory-policy is ${policy}`,
    'CONFIG SET maxmemory-policy noeviction, and in redis.conf: any other throws away whole streams, groups and all.',
  )
  chart.check(
    info.get('aof_enabled') === '1',
    'appendonly is on',
    'appendonly is off',
    'Turn it on, or every restart goes back to the last snapshot and the streams are filled again from Kafka.',
    'warn',
  )
  if (settings.streamLengthMax === 0) {
    chart.warn(
      'streamLengthMax is 0: streams grow until Redis is full and the flow stops',
      'Set MILLRACE_STREAM_LENGTH_MAX, or trim the streams yourself.',
    )
  }
  const limit = Number(info.get('maxmemory') ?? 0)
  if (limit > 0) return { memoryBytes: limit, memoryBound: 'maxmemory' }
  return { memoryBytes: Number(info.get('total_system_memory') ?? 0), memoryBound: "the machine's memory" }
}

async function checkPermissions(chart: Chart, redis: RedisClient, families: readonly string[]): Promise<void> {
  const lacking = await lackingRedis(redis, families)
  chart.check(
    lacking.length === 0,
    `the user may do all that publishing to ${families.length} stream families needs`,
    `REDIS_DENIED: the user lacks ${someOf(lacking)}`,
    'Set its rights: docs/security.md has the line.',
  )
}

/** `name:value` lines, as INFO and CLUSTER INFO answer. */
function fields(text: unknown): Map<string, string> {
  const found = new Map<string, string>()
  for (const line of String(text).split('\r\n')) {
    const colon = line.indexOf(':')
    if (colon > 0) found.set(line.slice(0, colon), line.slice(colon + 1))
  }
  return found
}
