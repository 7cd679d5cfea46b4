/** The body of `millrace simulate redis`: says where it works, a line a second, a table at the end. */
import type { Redis } from 'ioredis'
import { count } from '../core/count.ts'
import { FatalError } from '../core/errors.ts'
import { connectRedis, isCluster, redisFailure } from '../process/connect-redis.ts'
import { type SimulateIo, tellEnd, tellProgress } from './io.ts'
import { clean, type RedisStats, simulatedKey, simulateRedis } from './redis.ts'
import { type RedisFlags, type RedisPlan, readRedisFlags } from './redis-flags.ts'
import { renderTable } from './table.ts'

/** Answers the exit code: 0, or 1 when a group has not acknowledged everything. */
export async function simulateRedisCommand(flags: RedisFlags, io: SimulateIo): Promise<number> {
  const { json, onlyClean, ...plan } = readRedisFlags(flags, io.now())
  const { settings } = io
  if (isCluster(settings)) {
    throw new FatalError(
      'USAGE',
      'The simulator reads many streams with one command, which a Redis Cluster does not do across slots.',
      'Point MILLRACE_REDIS at a single Redis, or use simulate kafka: the fleet publishes to a cluster.',
    )
  }
  const connect = async (name: string) => (await connectRedis(settings, { name, onError: () => {} })) as Redis
  try {
    if (onlyClean) {
      const client = await connect('millrace-simulate')
      const cleaned = await clean(client, plan).finally(() => client.disconnect())
      io.write(`Deleted ${cleaned} streams under '${plan.prefix}'.\n`)
      return 0
    }
    io.write(`${whereText(plan)}\n`)
    let last = { added: 0, read: 0, elapsedMs: 0 }
    const final = await simulateRedis({
      ...plan,
      connect,
      signal: io.signal,
      now: io.now,
      onStats(stats) {
        const read = stats.groups.reduce((sum, group) => sum + group.read, 0)
        const seconds = Math.max(1, stats.elapsedMs - last.elapsedMs) / 1000
        const text = line(stats, (stats.added - last.added) / seconds, (read - last.read) / seconds)
        last = { added: stats.added, read, elapsedMs: stats.elapsedMs }
        tellProgress(io, text)
      },
    })
    if (json) io.writeResult(`${JSON.stringify({ ...plan, ...final })}\n`)
    else tellEnd(io, tableOf(final, plan))
    return (final.missing ?? 0) > 0 ? 1 : 0
  } catch (error) {
    throw error instanceof FatalError ? error : redisFailure(error, settings)
  }
}

function whereText({ prefix, streams, read, groups, clean }: RedisPlan): string {
  const names = groups.length === 0 ? 'no group' : `group ${groups.join(', ')}`
  if (read !== undefined) return `Reads the streams ${read}:{...} from now on as ${names}, and adds nothing to them.`
  const end = clean ? 'deleted at the end' : 'left behind: --clean deletes them'
  return `Works in ${simulatedKey(prefix, 0)} to ${simulatedKey(prefix, streams - 1)} (${names}), ${end}.`
}

function line(stats: RedisStats, addedPerSecond: number, readPerSecond: number): string {
  const parts = [
    `${count(stats.added)} added`,
    `${count(addedPerSecond)}/s`,
    `late p99 ${stats.lateMsP99} ms`,
    `added p50 ${stats.addMsP50} ms, p99 ${stats.addMsP99} ms`,
    `read ${count(readPerSecond)}/s`,
    ...stats.groups.map(({ group, behind, readMsP99 }) => `${group} ${count(behind)} behind, p99 ${readMsP99} ms`),
  ]
  if (stats.waiting > 0) parts.push(`${count(stats.waiting)} waiting`)
  return parts.join('  ')
}

function tableOf(stats: RedisStats, { seed, read }: RedisPlan): string {
  const seconds = stats.elapsedMs / 1000
  const added =
    read === undefined
      ? `${count(stats.added)} entries in ${seconds.toFixed(1)} s, ${count(stats.added / Math.max(seconds, 0.001))}/s; seed ${seed}\n`
      : `read for ${seconds.toFixed(1)} s\n`
  const rows = stats.groups.map(({ group, read, acknowledged, claimed, readMsP50, readMsP99 }) => [
    group,
    count(read),
    count(acknowledged),
    count(claimed),
    `${readMsP50} ms`,
    `${readMsP99} ms`,
  ])
  const table = rows.length === 0 ? '' : renderTable(['group', 'read', 'acknowledged', 'claimed', 'p50', 'p99'], rows)
  const missing = stats.missing ?? 0
  return `${added}${table}${missing > 0 ? `${count(missing)} NOT ACKNOWLEDGED\n` : ''}`
}
