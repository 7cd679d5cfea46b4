/**
 * publish/ on Redis Streams, single server or cluster. One function call per 500 entries or 1 MiB, on a cluster per partition besides (its streams are
 * in one slot), all calls of a batch in flight together. Each call carries what its streams must already hold, so that a call that overtakes a
 * failed one is refused instead of leaving a hole.
 */
import { readFileSync } from 'node:fs'
import { Cluster, type Redis } from 'ioredis'
import type { Decoded } from '../../core/batch.ts'
import { LostError, TransientError } from '../../core/errors.ts'
import type { Foreign } from '../persist/port.ts'
import { classifyRedis, lacksFunction } from './classify.ts'
import { streamKey } from './keys.ts'
import type { Publish, Streams } from './port.ts'
import { AddCall, encodeCall, type StreamEntries } from './redis-call.ts'

const library = readFileSync(new URL('./add.lua', import.meta.url), 'utf8')
export const addFunction = 'millrace2_add'
const callEntriesMax = 500
const callBytesMax = 1024 * 1024

const mastersOf = (redis: Redis | Cluster): Redis[] => (redis instanceof Cluster ? redis.nodes('master') : [redis])

export interface RedisPublishOptions {
  readonly redis: Redis | Cluster
  readonly streamLengthMax: number
}

/** What goes to one stream in one call. */
interface Part extends StreamEntries {
  readonly family: string
  /** The streams of its partition, to be told when the call went through. */
  readonly streams: Streams
  last: number
  readonly ids: number[]
  readonly ranges: number[]
}

/** One function call: streams, each with its entries in order. */
interface Call {
  readonly parts: Part[]
  entries: number
  bytes: number
}

export function openRedis({ redis, streamLengthMax }: RedisPublishOptions): Publish {
  /** Streams that a call did not reach; what a probe asks for. */
  const unreached = new Set<string>()

  /** Answers why a master did not take it: of a cluster one may be away, and the others need the function all the same. */
  async function load(): Promise<unknown> {
    const loads = await Promise.allSettled(mastersOf(redis).map((node) => node.function('LOAD', 'REPLACE', library)))
    return loads.find((result) => result.status === 'rejected')?.reason
  }

  /** A server may lack the function: a new node, a flushed one, or the first start. */
  async function withFunction<T>(run: () => Promise<T>): Promise<T> {
    try {
      return await run()
    } catch (error) {
      if (!lacksFunction(error)) throw error
      const failure = await load()
      return run().catch((again: unknown) => {
        throw lacksFunction(again) ? (failure ?? again) : again
      })
    }
  }

  function send({ parts }: Call, entries: Buffer): Promise<number> {
    const wire = encodeCall(addFunction, streamLengthMax, parts, entries)
    return withFunction(() => redis.sendCommand(new AddCall(addFunction, parts, wire)) as Promise<number>)
  }

  /** ioredis writes each command to the socket as it comes; a system call per command was a fifth of the main thread's time. */
  function inOneWrite<T>(write: () => T): T {
    const sockets = mastersOf(redis).map((node) => node.stream)
    for (const socket of sockets) socket?.cork()
    try {
      return write()
    } finally {
      for (const socket of sockets) socket?.uncork()
    }
  }

  function failureOf({ parts }: Call, reason: unknown): Error {
    const error = classifyRedis(reason)
    if (redis instanceof Cluster && error instanceof TransientError) for (const { key } of parts) unreached.add(key)
    // It rests on a call before it, which a cluster that moves a slot may have sent on its way later: told apart by trying again.
    const isUncertain = parts.some(({ streams, family, expected }) => expected !== (streams.get(family) ?? 0))
    if (error instanceof LostError && isUncertain) return new TransientError('REDIS_BUSY', error.message, error)
    return error
  }

  return {
    async last(streams) {
      try {
        return await Promise.all(
          streams.map(async ({ partition, family }) => {
            try {
              const info = (await redis.xinfo('STREAM', streamKey(family, partition))) as unknown[]
              const id = info[info.indexOf('last-generated-id') + 1]
              return Number(String(id).split('-')[0])
            } catch (error) {
              if (error instanceof Error && /no such key/i.test(error.message)) return 0
              throw error
            }
          }),
        )
      } catch (error) {
        if (redis instanceof Cluster) for (const one of streams) unreached.add(streamKey(one.family, one.partition))
        throw classifyRedis(error)
      }
    },

    async publish(batch, foreign, streams, signal) {
      signal.throwIfAborted()
      const calls = callsOf(batch, foreign, streams, redis instanceof Cluster)
      const { buffer, byteOffset, length } = batch.entryBytes
      const entries = Buffer.from(buffer, byteOffset, length)
      const sent = inOneWrite(() => Promise.allSettled(calls.map((call) => send(call, entries))))
      const results = await abortable(sent, signal)
      let added = 0
      // In order: behind the first failure, later calls to the same stream were refused by the function itself.
      for (const [index, result] of results.entries()) {
        if (result.status === 'rejected') throw failureOf(calls[index] as Call, result.reason)
        added += Number(result.value)
      }
      for (const { parts } of calls) for (const { streams, family, last } of parts) streams.set(family, last)
      return added
    },

    async probe() {
      try {
        // Without entries it adds nothing, but is refused like any write: read-only, out of memory, no such function. A cluster answers a call without
        // keys even when it is down, and one that lost a node answers for the others: it is asked for the streams that were not reached.
        const nodes = mastersOf(redis)
        if (nodes.length === 0) throw new TransientError('REDIS_UNREACHABLE', 'the cluster has no master')
        await withFunction(() => Promise.all(nodes.map((node) => node.fcall(addFunction, 0, 0))))
        await withFunction(() => Promise.all([...unreached].map((key) => redis.fcall(addFunction, 1, key, 0, 0, 0))))
        unreached.clear()
      } catch (error) {
        throw classifyRedis(error)
      }
    },

    async close() {
      redis.disconnect()
    },
  }
}

function callsOf(batch: Decoded, foreign: Foreign, streamsOf: readonly Streams[], byPartition: boolean): Call[] {
  const { rows, slices, families } = batch
  const calls: Call[] = []
  let call: Call | null = null
  let at = -1
  /** Where each stream will stand when the calls before have been carried out. */
  let reached = new Map<string, number>()
  /** By family: what this call holds of this partition. */
  let parts = new Map<string, Part>()
  for (let row = 0; row < rows.count; row++) {
    if (foreign?.has(row)) continue
    const slice = rows.slice[row] as number
    if (slice !== at) {
      at = slice
      if (byPartition) call = null
      reached = new Map(streamsOf[slice])
      parts = new Map()
    }
    const start = rows.entryStart[row] as number
    const end = rows.entryEnd[row] as number
    if (call === null || call.entries === callEntriesMax || call.bytes + end - start > callBytesMax) {
      call = { parts: [], entries: 0, bytes: 0 }
      calls.push(call)
      parts = new Map()
    }
    const family = families[rows.family[row] as number] as string
    const id = (rows.offset[row] as number) + 1
    let part = parts.get(family)
    if (part === undefined) {
      const key = streamKey(family, slices[slice]?.partition ?? -1)
      const streams = streamsOf[slice] as Streams
      part = { key, family, streams, expected: reached.get(family) ?? 0, last: 0, ids: [], ranges: [] }
      parts.set(family, part)
      call.parts.push(part)
    }
    part.ids.push(id)
    part.ranges.push(start, end)
    // What comes by again lies below what the stream already holds.
    part.last = Math.max(id, reached.get(family) ?? 0)
    reached.set(family, part.last)
    call.entries++
    call.bytes += end - start
  }
  return calls
}

function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  const onAbort = () => reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  work
    .then(resolve, reject)
    .finally(() => signal.removeEventListener('abort', onAbort))
    .catch(() => {})
  return promise
}
