/**
 * publish/ in memory, for simulations and for tests of the other rooms. The same rule as the Redis function (add.lua): per call, all streams of one
 * partition in one step; the stream's own last id decides what is new; a stream that holds less than the caller knows of refuses the whole call.
 * No clock, no timer, no randomness: every pause and every failure is the caller's, through `call`.
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
  call(apply: () => void): void | Promise<void>
}

export interface MemoryPublishOptions {
  /** Entries kept per stream; 0: all. */
  readonly streamLengthMax?: number
  readonly callEntriesMax?: number
}

export function createMemoryStreams(): MemoryStreams {
  return { streams: new Map(), call: (apply) => apply() }
}

interface Part {
  readonly key: string
  readonly family: string
  /** What the stream must hold already. */
  readonly expected: number
  readonly entries: MemoryEntry[]
}

export function openMemoryPublish(memory: MemoryStreams, options: MemoryPublishOptions = {}): Publish {
  const { streamLengthMax = 0, callEntriesMax = 500 } = options

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

  return {
    async last(streams) {
      return streams.map(({ partition, family }) => memory.streams.get(streamKey(family, partition))?.lastId ?? 0)
    },

    async publish(batch, foreign, streamsOf, signal) {
      signal.throwIfAborted()
      await Promise.resolve()
      signal.throwIfAborted()
      let added = 0
      const reached = streamsOf.map((streams) => new Map(streams))
      for (const [slice, calls] of callsOf(batch, foreign, reached, callEntriesMax)) {
        for (const parts of calls) {
          await memory.call(() => {
            added += add(parts)
          })
        }
        for (const [family, last] of reached[slice] as Streams) streamsOf[slice]?.set(family, last)
      }
      return added
    },

    async probe() {
      await memory.call(() => {})
    },

    async close() {},
  }
}

/** The calls of each slice, in order. `reached` is moved to where each stream stands behind them. */
function callsOf(
  batch: Decoded,
  foreign: Foreign,
  reached: readonly Streams[],
  entriesMax: number,
): Map<number, Part[][]> {
  const { rows, slices, families } = batch
  const bytes = Buffer.from(batch.entryBytes.buffer, batch.entryBytes.byteOffset, batch.entryBytes.length)
  const calls = new Map<number, Part[][]>()
  let room = 0
  for (let row = 0; row < rows.count; row++) {
    if (foreign?.has(row)) continue
    const slice = rows.slice[row] as number
    const ofSlice = calls.get(slice) ?? []
    calls.set(slice, ofSlice)
    if (ofSlice.length === 0 || room === 0) {
      ofSlice.push([])
      room = entriesMax
    }
    room--
    const call = ofSlice.at(-1) as Part[]
    const family = families[rows.family[row] as number] as string
    const streams = reached[slice] as Streams
    const known = streams.get(family) ?? 0
    let part = call.find((one) => one.family === family)
    if (part === undefined) {
      part = { key: streamKey(family, slices[slice]?.partition ?? -1), family, expected: known, entries: [] }
      call.push(part)
    }
    const id = (rows.offset[row] as number) + 1
    part.entries.push({ id, event: bytes.toString('utf8', rows.entryStart[row], rows.entryEnd[row]) })
    streams.set(family, Math.max(known, id))
  }
  return calls
}
