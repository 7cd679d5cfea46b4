/**
 * What a fleet's user may lack in Redis, found out by asking for it: Redis looks at a user's rights before it looks at arguments, so each command is
 * sent with arguments that change nothing. No right is needed for the asking itself (ACL DRYRUN would be one).
 */
import { Cluster, type Redis } from 'ioredis'
import { addFunction } from '../flow/publish/redis.ts'
import type { RedisClient } from './connect-redis.ts'

/** What publish/ sends for a stream, and what its function does there. No stream takes an entry 0-0, and none has one below it. */
const ofStream = (key: string): readonly (readonly [string, ...string[]])[] => [
  ['FCALL', addFunction, '1', key, '0', '0', '0'],
  ['XINFO', 'STREAM', key],
  ['XADD', key, 'NOMKSTREAM', '0-0', 'event', ''],
  ['XTRIM', key, 'MINID', '0-0'],
]
/** A library without a first line is no library. */
const load = ['FUNCTION', 'LOAD', ''] as const

export const mastersOf = (redis: RedisClient): Redis[] => (redis instanceof Cluster ? redis.nodes('master') : [redis])

/** In words, like `XADD on events:cloud:{0}`; empty when nothing is missing. */
export async function lackingRedis(redis: RedisClient, families: readonly string[]): Promise<string[]> {
  const asked: Promise<string | null>[] = mastersOf(redis).map(async (node) =>
    (await refused(node, load)) ? `FUNCTION LOAD at ${node.options.host}:${node.options.port}` : null,
  )
  for (const family of families) {
    const key = `${family}:{0}`
    for (const command of ofStream(key)) {
      const name = command[0] === 'XINFO' ? 'XINFO STREAM' : command[0]
      asked.push(refused(redis, command).then((no) => (no ? `${name} on ${key}` : null)))
    }
  }
  return (await Promise.all(asked)).filter((one) => one !== null)
}

async function refused(redis: RedisClient, [name, ...args]: readonly [string, ...string[]]): Promise<boolean> {
  try {
    await redis.call(name, ...args)
    return false
  } catch (error) {
    const { message, name: kind } = error as Error
    if (/^NOPERM/.test(message)) return true
    // Any other answer is about the arguments, and they are wrong on purpose. No answer at all is no answer.
    if (kind === 'ReplyError') return false
    throw error
  }
}
