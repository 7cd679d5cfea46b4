/**
 * What flows through the house. Granularity is the batch: after consume/ there is no promise, span, log line or metric call per record.
 *
 *   Chunk    records of one partition as they came from Kafka            (consume -> lane)
 *   Packed   chunks of several partitions in one transferable buffer     (lane -> decode)
 *   Decoded  COPY bytes per day, rejects, entries by position            (decode -> persist -> publish -> settle)
 */
import { assert } from './errors.ts'
import type { RecordRun } from './record.ts'
import type { TraceContext } from './trace-context.ts'
import type { RejectCode } from './verdict.ts'

/** A covered range of one partition: [firstOffset, nextOffset), gaps of compaction and control records included. */
export interface Range {
  readonly partition: number
  readonly firstOffset: number
  readonly nextOffset: number
}

export interface Chunk extends Range {
  /** Runs that hold records of the range, in order; the first and the last may reach beyond it. */
  readonly runs: readonly RecordRun[]
  /** Records in the runs: at least as many as in the range. */
  readonly records: number
  /** About what the runs take in memory, for the bytes-in-flight bound. */
  readonly bytes: number
  /** These offsets are already in PostgreSQL: they come by again only to be published. */
  readonly again: boolean
}

/** A run whose bytes lie in [start, end) of the packed buffer. */
export interface PackedRun extends Omit<RecordRun, 'bytes'> {
  readonly start: number
  readonly end: number
}

/** A record that has to become a reject, though the decoder would let it through. */
export interface Condemned {
  readonly partition: number
  readonly offset: number
  readonly reason: string
}

export interface Packed {
  readonly slices: readonly (Range & { readonly runs: readonly PackedRun[] })[]
  readonly buffer: ArrayBuffer
  /** Records of these slices that PostgreSQL has refused before. */
  readonly condemned: readonly Condemned[]
  readonly again: boolean
  /** Sum of the chunks' bytes, given back to the bytes-in-flight bound when the batch has left. */
  readonly bytes: number
  readonly records: number
}

export interface Slice extends Range {
  readonly records: number
  readonly rows: number
  readonly rejects: number
  /** Those of the rejects that a redrive has sent: known to be bad, and no sign of a bad deploy. */
  readonly redriven?: number
  readonly skips: number
}

/** One value per row, in record order; plain arrays of numbers, so that moving them costs nothing. */
export interface Rows {
  readonly count: number
  readonly ids: Uint8Array
  readonly slice: Uint16Array
  readonly offset: Float64Array
  readonly family: Uint16Array
  /** Where the row's entry lies in `entryBytes`: [start, end). */
  readonly entryStart: Int32Array
  readonly entryEnd: Int32Array
  readonly timestampMs: Float64Array
  /** The event's own time. */
  readonly eventMs: Float64Array
}

/** What the consumer file's metrics say of a batch: see tally.ts. */
export interface Tally {
  /** Rows alike in all counters: which ones they add to, and how many there are. */
  readonly kinds: readonly { readonly cells: readonly number[]; readonly rows: number }[]
  /** By row. */
  readonly kindOf: Uint16Array
  readonly valueBytes: Uint32Array
}

/** A record whose producer follows it: its trace goes on here. */
export interface TracedRecord extends TraceContext {
  readonly slice: number
  readonly offset: number
  /** Index of its row; -1: it became none. */
  readonly row: number
  readonly reject: RejectCode | null
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
  /** Rows read as structured mode without a header that says so. */
  readonly unlabelled: number
  /** null: the consumer file declares no metrics. */
  readonly tally: Tally | null
  readonly families: readonly string[]
  readonly entryBytes: Uint8Array
  /** The first few of those that are followed; empty where traces are off. */
  readonly traced: readonly TracedRecord[]
}

/**
 * Packs chunks into one transferable buffer, ordered by partition: the ledger's rows are locked in that order. The chunks of one partition follow
 * each other without a gap and become one slice.
 */
export function packChunks(chunks: readonly Chunk[], condemned: readonly Condemned[] = []): Packed {
  const ordered = chunks.toSorted((a, b) => a.partition - b.partition || a.firstOffset - b.firstOffset)
  const slices: { partition: number; firstOffset: number; nextOffset: number; runs: PackedRun[] }[] = []
  let size = 0
  let bytes = 0
  let records = 0
  for (const chunk of ordered) {
    const { partition, firstOffset, nextOffset } = chunk
    bytes += chunk.bytes
    records += chunk.records
    const last = slices.at(-1)
    let runs: PackedRun[]
    if (last?.partition === partition) {
      assert(
        last.nextOffset === firstOffset,
        () => `partition ${partition}: a chunk from ${firstOffset} follows one that ends at ${last.nextOffset}`,
      )
      last.nextOffset = nextOffset
      runs = last.runs
    } else {
      runs = []
      slices.push({ partition, firstOffset, nextOffset, runs })
    }
    for (const { bytes, ...run } of chunk.runs) {
      const start = size
      size += bytes.length
      runs.push({ ...run, start, end: size })
    }
  }
  const buffer = new ArrayBuffer(size)
  const into = new Uint8Array(buffer)
  let at = 0
  for (const { runs } of ordered) {
    for (const { bytes } of runs) {
      into.set(bytes, at)
      at += bytes.length
    }
  }
  return { slices, buffer, condemned, again: ordered.some((chunk) => chunk.again), bytes, records }
}
