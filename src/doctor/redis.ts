/** The doctor on Redis: version and functions, nothing that evicts, durability, room for the streams, the user's permissions, the cluster's state. */
import { Cluster, type Redis } from 'ioredis'
import { FatalError } from '../core/errors.ts'
import type { Settings } from '../core/settings.ts'
import { connectRedis, isCluster, type RedisClient, redisFailure } from '../process/connect-redis.ts'
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
    const masters = client instanceof Cluster ? client.nodes('master') : [client]
    const first = masters[0] as Redis
    if (client instanceof Cluster) await checkCluster(chart, client, masters.length)
    const memory: Memory[] = []
    for (const node of masters) memory.push(await checkNode(chart, node, settings))
    await checkPermissions(chart, first)
    const clock = await readClock(now, async () => {
      const [seconds, micros] = await first.time()
      return Number(seconds) * 1000 + Number(micros) / 1000
    })
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

/** What publish/ sends, tried without effect. */
const commands: readonly (readonly string[])[] = [
  ['FUNCTION', 'LOAD', 'REPLACE', '#!lua name=x'],
  ['FCALL', 'millrace1_add', '1', 'events:cloud:{0}', '0'],
  ['XINFO', 'STREAM', 'events:cloud:{0}'],
  ['XADD', 'events:cloud:{0}', '1-0', 'event', '{}'],
  ['XTRIM', 'events:cloud:{0}', 'MAXLEN', '1'],
]

async function checkPermissions(chart: Chart, node: Redis): Promise<void> {
  const denied: string[] = []
  try {
    const who = String(await node.call('ACL', 'WHOAMI'))
    for (const command of commands) {
      const answer = String(await node.call('ACL', 'DRYRUN', who, ...command))
      if (answer !== 'OK') denied.push(answer)
    }
    chart.check(
      denied.length === 0,
      `user ${who} may do all that publishing needs`,
      `REDIS_DENIED: ${denied.join('; ')}`,
      'Grant +fcall +function +xinfo +xadd +xtrim and the key patterns of the streams.',
    )
  } catch (error) {
    const { message } = error as Error
    if (!/^(NOPERM|ERR unknown)/.test(message)) throw error
    chart.warn(
      `permissions cannot be tried (${message.slice(0, 80)})`,
      'Grant +acl|whoami and +acl|dryrun, or see to it that the user may +fcall +function +xinfo +xadd +xtrim.',
    )
  }
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
