/**
 * publish/ in memory, for simulations and for tests of the other rooms. The same rule as the Redis function (add.lua): all streams of a call in one
 * step; the stream's own last id decides what is new; a stream that holds less than the caller knows of refuses the whole call. As with Redis, all calls
 * of a batch are under way together, and whoever is aborted does not wait for them. No clock, no timer, no randomness: every pause and every failure is the caller's, through `call`.
 */
import type { Decoded } from '../../core/batch.ts'
import { LostError } from '../../core/errors.ts'
import type { Foreign } from '../persist/port.ts'
import { streamKey } from './keys.ts'
import type { Publish, Streams } from './port.ts'

export interface MemoryEntry {
  /** Kafka offset + 1. */
  readonly id: number
  readonly event: string
}

export interface MemoryStream {
  /** Of the last entry ever added, whether or not it is still there. */
  lastId: number
  readonly entries: MemoryEntry[]
}

/** Shared by all "processes" that open it. Deleting a key, or setting `lastId` and the entries back, is what a failover does. */
export interface MemoryStreams {
  readonly streams: Map<string, MemoryStream>
  /** What happens when a call reaches the server: `apply` makes it real. Replace it to fail before or after, or to wait. */
  call(apply: () => void, what?: string): void | Promise<void>
}

export interface MemoryPublishOptions {
  /** Entries kept per stream; 0: all. */
  readonly streamLengthMax?: number
  readonly callEntriesMax?: number
  /** As on a cluster: no call holds streams of two partitions. */
  readonly byPartition?: boolean
}

export function createMemoryStreams(): MemoryStreams {
  return { streams: new Map(), call: (apply) => apply() }
}

/** What goes to one stream in one call. */
interface Part {
  readonly key: string
  readonly family: string
  /** The streams of its partition, to be told when the call went through. */
  readonly streams: Streams
  /** What the stream must hold already. */
  readonly expected: number
  last: number
  readonly entries: MemoryEntry[]
}

export function openMemoryPublish(memory: MemoryStreams, options: MemoryPublishOptions = {}): Publish {
  const { streamLengthMax = 0, callEntriesMax = 500, byPartition = false } = options

  function add(parts: readonly Part[]): number {
    for (const { key, expected } of parts) {
      const held = memory.streams.get(key)?.lastId ?? 0
      if (held < expected) throw new LostError('STREAM_LOST', `${key} ends at ${held}, not ${expected}`)
    }
    let added = 0
    for (const { key, entries } of parts) {
      const stream = memory.streams.get(key) ?? { lastId: 0, entries: [] }
      const fresh = entries.filter(({ id }) => id > stream.lastId)
      if (fresh.length === 0) continue
      stream.entries.push(...fresh)
      stream.lastId = (fresh.at(-1) as MemoryEntry).id
      if (streamLengthMax > 0) stream.entries.splice(0, stream.entries.length - streamLengthMax)
      memory.streams.set(key, stream)
      added += fresh.length
    }
    return added
  }

  async function ask<T>(what: string, apply: () => T): Promise<T> {
    let answer: T | undefined
    await memory.call(() => {
      answer = apply()
    }, what)
    return answer as T
  }

  return {
    async last(streams) {
      return Promise.all(
        streams.map(({ partition, family }) => {
          const key = streamKey(family, partition)
          return ask(`last id of ${key}`, () => memory.streams.get(key)?.lastId ?? 0)
        }),
      )
    },

    async publish(batch, foreign, streamsOf, signal) {
      signal.throwIfAborted()
      const calls = callsOf(batch, foreign, streamsOf, callEntriesMax, byPartition)
      const sent = Promise.allSettled(calls.map((parts) => ask(`add ${named(parts)}`, () => add(parts))))
      const gone = Promise.withResolvers<never>()
      gone.promise.catch(() => {})
      const onAbort = () => gone.reject(signal.reason)
      signal.addEventListener('abort', onAbort, { once: true })
      const results = await Promise.race([sent, gone.promise]).finally(() =>
        signal.removeEventListener('abort', onAbort),
      )
      let added = 0
      for (const result of results) {
        if (result.status === 'rejected') throw result.reason
        added += result.value
      }
      for (const parts of calls) for (const { streams, family, last } of parts) streams.set(family, last)
      return added
    },

    async probe() {
      await ask('probe', () => {})
    },

    async close() {},
  }
}

const named = (parts: readonly Part[]) =>
  parts
    .map(({ key, expected, entries }) => `${key} ${entries[0]?.id}..${entries.at(-1)?.id} behind ${expected}`)
    .join(', ')

/** As redis.ts cuts a batch into calls. */
function callsOf(
  batch: Decoded,
  foreign: Foreign,
  streamsOf: readonly Streams[],
  entriesMax: number,
  byPartition: boolean,
): Part[][] {
  const { rows, slices, families } = batch
  const bytes = Buffer.from(batch.entryBytes.buffer, batch.entryBytes.byteOffset, batch.entryBytes.length)
  const calls: Part[][] = []
  let room = 0
  let at = -1
  /** Where each stream will stand when the calls before have been carried out. */
  let reached: Streams = new Map()
  let parts = new Map<string, Part>()
  for (let row = 0; row < rows.count; row++) {
    if (foreign?.has(row)) continue
    const slice = rows.slice[row] as number
    const streams = streamsOf[slice] as Streams
    if (slice !== at) {
      at = slice
      if (byPartition) room = 0
      reached = new Map(streams)
      parts = new Map()
    }
    if (room === 0) {
      calls.push([])
      room = entriesMax
      parts = new Map()
    }
    room--
    const family = families[rows.family[row] as number] as string
    const id = (rows.offset[row] as number) + 1
    let part = parts.get(family)
    if (part === undefined) {
      const key = streamKey(family, slices[slice]?.partition ?? -1)
      part = { key, family, streams, expected: reached.get(family) ?? 0, last: 0, entries: [] }
      parts.set(family, part)
      calls.at(-1)?.push(part)
    }
    part.entries.push({ id, event: bytes.toString('utf8', rows.entryStart[row], rows.entryEnd[row]) })
    part.last = Math.max(id, reached.get(family) ?? 0)
    reached.set(family, part.last)
  }
  return calls
}
