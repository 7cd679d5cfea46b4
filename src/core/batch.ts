/**
 * What flows through the house. Granularity is the batch: after consume/ there is no promise, span, log line or metric call per record.
 *
 *   Chunk    records of one partition as they came from Kafka            (consume -> lane)
 *   Packed   chunks of several partitions in one transferable buffer     (lane -> decode)
 *   Decoded  COPY bytes per day, rejects, entries by position            (decode -> persist -> publish -> settle)
 */
import { assert } from './errors.ts'
import { pack, packedBytes, type RawRecord } from './record.ts'

/** A covered range of one partition: [firstOffset, nextOffset), gaps of compaction and control records included. */
export interface Range {
  readonly partition: number
  readonly firstOffset: number
  readonly nextOffset: number
}

export interface Chunk extends Range {
  readonly records: readonly RawRecord[]
  readonly bytes: number
  /** Kafka's high watermark when this was fetched. */
  readonly highWatermark: number
  /** These offsets are already in PostgreSQL: they come by again only to be published. */
  readonly again: boolean
}

export interface Packed {
  readonly slices: readonly (Range & { readonly records: number })[]
  readonly buffer: ArrayBuffer
  readonly again: boolean
  /** Sum of the chunks' rough sizes, given back to the bytes-in-flight bound when the batch has left. */
  readonly bytes: number
  readonly records: number
}

export interface Slice extends Range {
  readonly records: number
  readonly rows: number
  readonly rejects: number
  readonly skips: number
  readonly lastTimestampMs: number
}

/** One value per row, in record order; plain arrays of numbers, so that moving them costs nothing. */
export interface Rows {
  readonly count: number
  readonly ids: Uint8Array
  readonly slice: Uint16Array
  readonly offset: Float64Array
  readonly family: Uint16Array
  /** Where the row's entry lies in `entryBytes`: [start, end); in `envelopes` when start is negative: [-start - 1, end). */
  readonly entryStart: Int32Array
  readonly entryEnd: Int32Array
  readonly timestampMs: Float64Array
}

export interface CopyOfDay {
  readonly day: number
  readonly rows: number
  readonly bytes: Uint8Array
}

export interface Decoded {
  readonly again: boolean
  readonly bytes: number
  readonly records: number
  readonly slices: readonly Slice[]
  readonly rows: Rows
  readonly copies: readonly CopyOfDay[]
  readonly rejects: {
    readonly count: number
    readonly bytes: Uint8Array
    readonly codes: Readonly<Record<string, number>>
  }
  readonly families: readonly string[]
  readonly entryBytes: Uint8Array
  readonly envelopes: Uint8Array
}

/**
 * Packs chunks into one transferable buffer, ordered by partition: the ledger's rows are locked in that order. The chunks of one partition follow
 * each other without a gap and become one slice.
 */
export function packChunks(chunks: readonly Chunk[]): Packed {
  const ordered = chunks.toSorted((a, b) => a.partition - b.partition || a.firstOffset - b.firstOffset)
  const slices: { partition: number; firstOffset: number; nextOffset: number; records: number }[] = []
  let size = 0
  let bytes = 0
  let records = 0
  for (const chunk of ordered) {
    const { partition, firstOffset, nextOffset } = chunk
    size += packedBytes(chunk.records)
    bytes += chunk.bytes
    records += chunk.records.length
    const last = slices.at(-1)
    if (last?.partition === partition) {
      assert(
        last.nextOffset === firstOffset,
        () => `partition ${partition}: a chunk from ${firstOffset} follows one that ends at ${last.nextOffset}`,
      )
      last.nextOffset = nextOffset
      last.records += chunk.records.length
    } else slices.push({ partition, firstOffset, nextOffset, records: chunk.records.length })
  }
  const buffer = new ArrayBuffer(size)
  const into = Buffer.from(buffer)
  let at = 0
  let slice = -1
  let partition = -1
  for (const chunk of ordered) {
    if (chunk.partition !== partition) {
      partition = chunk.partition
      slice++
    }
    at = pack(into, at, slices[slice]?.firstOffset ?? 0, chunk.records)
  }
  return { slices, buffer, again: ordered.some((chunk) => chunk.again), bytes, records }
}
