/**
 * A stream of its own in Redis, exactly once: an entry's id is the event's place in the replay (key.ts), and one function call adds only what lies behind
 * the stream's last id. So the stream itself knows how far the replay is, and a repeat adds nothing.
 */
import { readFileSync } from 'node:fs'
import { Cluster, type Redis } from 'ioredis'
import { FatalError, LostError, TransientError } from '../core/errors.ts'
import { classifyRedis, lacksFunction } from '../flow/publish/classify.ts'
import type { ReplayEvent } from './entry.ts'
import { type Key, keyOfStreamId, streamId } from './key.ts'
import type { ReplayTarget } from './target.ts'

const library = readFileSync(new URL('./add.lua', import.meta.url), 'utf8')
const addFunction = 'millrace_replay1_add'
const callEventsMax = 500
const callBytesMax = 1024 * 1024
const none = '0-0'
/** The rest of the memory is the live streams'. */
const fullShare = 0.9

export interface RedisTargetOptions {
  readonly redis: Redis | Cluster
  readonly stream: string
  /** Nothing was written yet: the stream must not be there. */
  readonly isNew: boolean
}

export async function openRedisTarget({ redis, stream, isNew }: RedisTargetOptions): Promise<ReplayTarget> {
  /** What the stream holds for sure. */
  let held = await lastId()
  if (isNew && held !== none) {
    throw new FatalError(
      'REPLAY_TARGET',
      `The stream ${stream} is there already.`,
      `Name another one, or delete it: UNLINK ${stream}.`,
    )
  }

  async function lastId(): Promise<string> {
    try {
      const info = (await redis.xinfo('STREAM', stream)) as unknown[]
      return String(info[info.indexOf('last-generated-id') + 1])
    } catch (error) {
      if (error instanceof Error && /no such key/i.test(error.message)) return none
      throw classified(error)
    }
  }

  async function load(): Promise<void> {
    const masters = redis instanceof Cluster ? redis.nodes('master') : [redis]
    await Promise.allSettled(masters.map((node) => node.function('LOAD', 'REPLACE', library)))
  }

  /** A server may lack the function: a new node, or a flushed one. */
  async function withFunction(run: () => Promise<unknown>): Promise<unknown> {
    try {
      return await run()
    } catch (error) {
      if (!lacksFunction(error)) throw error
      await load()
      return run()
    }
  }

  /** Out of room: nothing that waiting mends by itself, and the flow needs the same memory. */
  function classified(error: unknown): Error {
    const known = classifyRedis(error)
    if (known instanceof LostError) {
      return new FatalError(
        'REPLAY_TARGET',
        `The stream has lost entries of this replay (${known.message.replace('MILLRACELOST ', '')}).`,
        'Discard this replay and begin another, into an empty stream.',
        error,
      )
    }
    if (!('code' in known) || known.code !== 'REDIS_FULL') return known
    return new FatalError(
      'REDIS_FULL',
      `Redis has no room for more of ${stream}.`,
      'Make room, then go on with the replay; the live streams need it too.',
      error,
    )
  }

  await load()
  return {
    rewinds: false,
    async after(): Promise<Key | null> {
      return held === none ? null : keyOfStreamId(held)
    },
    async write(events) {
      let expected = held
      const calls = pieces(events).map((piece) => {
        const args: (string | Buffer)[] = [expected]
        for (const event of piece) args.push(streamId(event), event.entry)
        expected = streamId(piece[piece.length - 1] as ReplayEvent)
        return withFunction(() => redis.fcall(addFunction, 1, stream, ...args))
      })
      // All are awaited: behind the first that failed, the function itself has refused the others.
      const results = await Promise.allSettled(calls)
      const at = results.findIndex((result) => result.status === 'rejected')
      if (at >= 0) {
        const { reason } = results[at] as PromiseRejectedResult
        // It rests on a call before it, which another try may have sent behind it: told apart by trying again.
        if (at > 0 && classifyRedis(reason) instanceof LostError) throw new TransientError('REDIS_BUSY', String(reason))
        throw classified(reason)
      }
      held = expected
    },
    async settle() {
      for (const node of redis instanceof Cluster ? redis.nodes('master') : [redis]) await leaveRoom(node)
      return null
    },
    finish: async () => {},
    discard: async () => {},
    async close() {
      redis.disconnect()
    },
  }
}

/** A stream of a replay is trimmed by nobody, and where Redis is full the live ones stand still. */
async function leaveRoom(node: Redis): Promise<void> {
  const info = await node.info('memory').catch(() => '')
  const number = (name: string) => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1] ?? 0)
  const max = number('maxmemory')
  if (max === 0 || number('used_memory') < max * fullShare) return
  throw new FatalError(
    'REDIS_FULL',
    `Redis has used ${Math.round(fullShare * 100)} % of its memory: what is left is for the live streams.`,
    'Make room or raise maxmemory, then go on with the replay.',
  )
}

function pieces(events: readonly ReplayEvent[]): ReplayEvent[][] {
  const all: ReplayEvent[][] = []
  let piece: ReplayEvent[] = []
  let bytes = 0
  for (const event of events) {
    if (piece.length === callEventsMax || (piece.length > 0 && bytes + event.entry.length > callBytesMax)) {
      all.push(piece)
      piece = []
      bytes = 0
    }
    piece.push(event)
    bytes += event.entry.length
  }
  if (piece.length > 0) all.push(piece)
  return all
}
