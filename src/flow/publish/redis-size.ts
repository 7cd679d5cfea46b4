/**
 * What the streams take: memory of the server, and how long they are. Asked every few seconds beside publish/, in pieces, so that its commands never
 * wait behind hundreds of ours; with the commands that the user may send anyway (INFO, XINFO STREAM).
 */
import { Cluster, type Redis } from 'ioredis'
import { streamKey } from './keys.ts'

export interface RedisSize {
  /** Of the fullest master. */
  readonly memoryBytes: number
  /** 0: no limit. */
  readonly memoryMaxBytes: number
  /** By stream as asked; 0 where there is none. */
  readonly entries: readonly number[]
}

export type AskRedisSize = (
  streams: readonly { readonly family: string; readonly partition: number }[],
) => Promise<RedisSize>

const pieceMax = 50

export function openRedisSize(redis: Redis | Cluster): AskRedisSize {
  return async (streams) => {
    const masters = redis instanceof Cluster ? redis.nodes('master') : [redis]
    const memories = await Promise.all(masters.map(async (node) => memoryOf(await node.info('memory'))))
    const fullest = memories.reduce((most, one) => (fullness(one) > fullness(most) ? one : most), memories[0] ?? none)
    const entries: number[] = []
    for (let from = 0; from < streams.length; from += pieceMax) {
      const piece = streams.slice(from, from + pieceMax)
      entries.push(
        ...(await Promise.all(piece.map(({ family, partition }) => lengthOf(redis, streamKey(family, partition))))),
      )
    }
    return { ...fullest, entries }
  }
}

const none = { memoryBytes: 0, memoryMaxBytes: 0 }

/** As INFO tells it, one `name:value` a line. */
export function memoryOf(info: string): { memoryBytes: number; memoryMaxBytes: number } {
  const number = (name: string) => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1] ?? 0)
  return { memoryBytes: number('used_memory'), memoryMaxBytes: number('maxmemory') }
}

/** One without a limit is less full than any with one, whatever it holds. */
const fullness = ({ memoryBytes, memoryMaxBytes }: { memoryBytes: number; memoryMaxBytes: number }) =>
  memoryMaxBytes > 0 ? memoryBytes / memoryMaxBytes : memoryBytes / Number.MAX_SAFE_INTEGER

async function lengthOf(redis: Redis | Cluster, key: string): Promise<number> {
  try {
    const info = (await redis.xinfo('STREAM', key)) as unknown[]
    return Number(info[info.indexOf('length') + 1])
  } catch (error) {
    if (error instanceof Error && /no such key/i.test(error.message)) return 0
    throw error
  }
}
