/**
 * Which partitions are ours, and the gate before them. The first batch of a newly assigned partition waits until the marks are read; where the
 * partition starts elsewhere, the batch is replaced by a seek. After that every batch must begin exactly where the one before it ended:
 *
 *   fetched below   a rebalance or a late seek took the client back       -> seek to where we are
 *   fetched beyond  control records, compaction, or a silent reset        -> seek back once; the same again, and Kafka still holding what was
 *                                                                            jumped over, means that there is nothing for us in between
 *
 * Losing a partition drops what is queued; batches under way may finish, and the ledger decides whether they still count.
 */
import type { Chunk } from '../core/batch.ts'
import { type FatalError, LostError, TransientError } from '../core/errors.ts'
import { type StartPolicy, startOf } from '../core/ledger.ts'
import { Marks } from '../core/marks.ts'
import { recordBytes } from '../core/record.ts'
import type { Budget } from '../flow/budget.ts'
import type { Consume, ConsumeHandlers, Fetched } from '../flow/consume/port.ts'
import { type Lane, type PartitionState, splitChunk } from '../flow/lane.ts'
import type { Persist } from '../flow/persist/port.ts'
import type { Publish } from '../flow/publish/port.ts'

export interface AssignmentOptions {
  readonly consume: Consume
  readonly persist: Persist
  readonly publish: Publish
  readonly lanes: readonly Lane[]
  readonly budget: Budget
  readonly policy: StartPolicy
  readonly startFrom: 'earliest' | 'latest'
  /** Reading the marks may have to wait for a busy world. */
  readonly patiently: <T>(work: () => Promise<T>) => Promise<T>
  readonly on: AssignmentEvents
}

export interface AssignmentEvents {
  assigned(partitions: readonly number[], added: number, removed: number): void
  heard(): void
  taken(records: number): void
  sought(partition: number, from: number, to: number): void
  streamLost(
    partition: number,
    lost: readonly { family: string; expected: number; found: number }[],
    from: number,
  ): void
  failed(error: FatalError | Error): void
}

/** A partition while it is ours; a new object per assignment, so that work of an old one recognises itself. */
interface Entry {
  readonly partition: number
  readonly lane: Lane
  gate: Promise<void> | null
  state: PartitionState | null
  /** Where the client must fetch next. */
  expected: number
  /** Up to where everything was handed to the lane. */
  covered: number
  persistedOffset: number
  /** A jump forward was seen from this offset once. */
  jumpedFrom: number
}

export class Assignment implements ConsumeHandlers {
  readonly #options: AssignmentOptions
  readonly #entries = new Map<number, Entry>()

  constructor(options: AssignmentOptions) {
    this.#options = options
  }

  get partitions(): readonly number[] {
    return [...this.#entries.keys()].sort((a, b) => a - b)
  }

  *states(): Generator<PartitionState> {
    for (const { state } of this.#entries.values()) if (state !== null) yield state
  }

  /** True while a partition's marks are not read yet. */
  get gated(): boolean {
    return [...this.#entries.values()].some(({ gate }) => gate !== null)
  }

  assigned(partitions: readonly number[]): void {
    const { consume, lanes, on } = this.#options
    const now = new Set(partitions)
    const removed = [...this.#entries.values()].filter(({ partition }) => !now.has(partition))
    for (const { partition, lane } of removed) {
      this.#entries.delete(partition)
      lane.drop(partition)
    }
    // The client starts over from the settled offsets; what we keep goes on from where we are.
    for (const { partition, gate, expected } of this.#entries.values())
      if (gate === null) consume.seek(partition, expected)

    const added = partitions.filter((partition) => !this.#entries.has(partition))
    const load = new Map(lanes.map((lane) => [lane, 0]))
    for (const { lane } of this.#entries.values()) load.set(lane, (load.get(lane) ?? 0) + 1)
    const entries = added.map((partition) => {
      // The emptiest lane: the group hands out every n-th partition, so a remainder would put all of them into one.
      const lane = lanes.reduce((least, one) => ((load.get(one) ?? 0) < (load.get(least) ?? 0) ? one : least))
      load.set(lane, (load.get(lane) ?? 0) + 1)
      return this.#enter(partition, lane)
    })
    on.assigned(partitions, added.length, removed.length)
    this.#open(entries)
  }

  /** Something of this lane was lost: all its partitions go back behind the gate. Its pipeline must have ended. */
  reset(lane: Lane): void {
    const entries = [...this.#entries.values()].filter((entry) => entry.lane === lane)
    lane.clear()
    this.#open(entries.map(({ partition }) => this.#enter(partition, lane)))
  }

  #enter(partition: number, lane: Lane): Entry {
    const entry: Entry = {
      partition,
      lane,
      gate: null,
      state: null,
      expected: -1,
      covered: -1,
      persistedOffset: -1,
      jumpedFrom: -1,
    }
    this.#entries.set(partition, entry)
    return entry
  }

  #open(entries: readonly Entry[]): void {
    if (entries.length === 0) return
    const { patiently, on } = this.#options
    const opened = patiently(() => this.#readMarks(entries)).then(
      () => {
        for (const entry of entries) entry.gate = null
      },
      (error: Error) => {
        // The gate stays shut; failed() ends the process, unless it is ending already.
        on.failed(error)
        throw error
      },
    )
    opened.catch(() => {})
    for (const entry of entries) entry.gate = opened
  }

  async #readMarks(all: readonly Entry[]): Promise<void> {
    const { consume, persist, publish, policy, startFrom, on } = this.#options
    const entries = all.filter((entry) => this.#isCurrent(entry))
    if (entries.length === 0) return
    const partitions = entries.map(({ partition }) => partition)
    let watermarks = await consume.watermarks().catch((error: Error) => {
      throw new TransientError('KAFKA_UNREACHABLE', error.message, error)
    })
    const mark = (partition: number) => watermarks.get(partition) ?? { low: 0, high: 0 }
    const rows = await persist.marks(partitions, (partition) =>
      startFrom === 'earliest' ? mark(partition).low : mark(partition).high,
    )
    // Another process may have moved a ledger on since Kafka was asked.
    if (rows.some((row) => row.nextOffset > mark(row.partition).high)) watermarks = await consume.watermarks()

    const wanted = policy.publishes
      ? rows.flatMap(({ partition, streams }) => [...streams.keys()].map((family) => ({ partition, family })))
      : []
    const last = await publish.last(wanted)
    const found = new Map<number, Map<string, number>>(partitions.map((partition) => [partition, new Map()]))
    for (const [index, { partition, family }] of wanted.entries()) found.get(partition)?.set(family, last[index] ?? 0)

    const rowOf = new Map(rows.map((row) => [row.partition, row]))
    const starts = entries.map((entry) => {
      const row = rowOf.get(entry.partition)
      if (row === undefined) throw new LostError('FENCED', `The ledger row of partition ${entry.partition} is gone.`)
      return startOf(row, mark(entry.partition), found.get(entry.partition) ?? new Map(), policy)
    })
    entries.forEach((entry, index) => {
      if (!this.#isCurrent(entry)) return
      const start = starts[index] as (typeof starts)[number]
      const { partition, lane } = entry
      entry.state = {
        partition,
        marks: new Marks(partition, start.nextOffset),
        streams: start.streams,
        noted: new Map(rowOf.get(partition)?.streams),
        pending: [],
        highWatermark: mark(partition).high,
        lastTimestampMs: 0,
        revoked: false,
      }
      entry.expected = start.nextOffset
      entry.covered = start.nextOffset
      entry.persistedOffset = start.persistedOffset
      lane.partitions.set(partition, entry.state)
      consume.seek(partition, start.nextOffset)
      if (start.lost.length > 0) on.streamLost(partition, start.lost, start.nextOffset)
    })
  }

  #isCurrent(entry: Entry): boolean {
    return this.#entries.get(entry.partition) === entry
  }

  async fetched(batch: Fetched): Promise<boolean> {
    const { budget } = this.#options
    const entry = this.#entries.get(batch.partition)
    if (entry === undefined) return false
    if (entry.gate !== null) await entry.gate
    if (!this.#isCurrent(entry) || entry.state === null) return false
    if (batch.fetchedOffset !== entry.expected && !(await this.#mayJump(entry, batch))) return false

    let bytes = 0
    for (const record of batch.records) bytes += recordBytes(record)
    const before = entry.expected
    await budget.take(bytes)
    if (!this.#isCurrent(entry) || entry.expected !== before) {
      budget.give(bytes)
      return false
    }
    this.#hand(entry, batch, bytes)
    return true
  }

  skipped(partition: number, firstOffset: number, nextOffset: number): void {
    const entry = this.#entries.get(partition)
    if (entry?.gate !== null || entry.state === null) return
    // An old answer, from before a seek, does not touch where we are.
    if (firstOffset > entry.expected || nextOffset <= entry.expected) return
    this.#hand(entry, { partition, fetchedOffset: firstOffset, nextOffset, highWatermark: nextOffset, records: [] }, 0)
  }

  heard(): void {
    this.#options.on.heard()
  }

  async #mayJump(entry: Entry, batch: Fetched): Promise<boolean> {
    const { consume, on, policy } = this.#options
    const { partition, expected } = entry
    if (batch.fetchedOffset < expected || entry.jumpedFrom !== expected) {
      if (batch.fetchedOffset > expected) entry.jumpedFrom = expected
      on.sought(partition, batch.fetchedOffset, expected)
      consume.seek(partition, expected)
      return false
    }
    const { low } = (await consume.watermarks()).get(partition) ?? { low: 0 }
    if (low > expected) {
      // startOf() has the words for it.
      const row = { partition, startOffset: 0, nextOffset: expected, publishedOffset: null, streams: new Map() }
      try {
        startOf(row, { low, high: batch.highWatermark }, new Map(), policy)
      } catch (error) {
        on.failed(error as FatalError)
      }
      return false
    }
    return this.#isCurrent(entry) && entry.expected === expected
  }

  /** To the lane: one chunk, or two where the ledger's mark lies within it. */
  #hand(entry: Entry, batch: Fetched, bytes: number): void {
    const { lane, covered, persistedOffset } = entry
    const state = entry.state as PartitionState
    const { partition, nextOffset, records, highWatermark } = batch
    entry.expected = nextOffset
    entry.covered = nextOffset
    entry.jumpedFrom = -1
    state.highWatermark = Math.max(state.highWatermark, highWatermark)
    state.marks.advance('consume', nextOffset)
    const last = records.at(-1)
    if (last !== undefined) {
      state.lastTimestampMs = Number(last.timestamp)
      state.pending.push({ nextOffset, timestampMs: Number(records[0]?.timestamp) })
    }
    const chunk: Chunk = { partition, firstOffset: covered, nextOffset, records, bytes, highWatermark, again: false }
    this.#options.on.taken(records.length)
    for (const part of splitAt(chunk, persistedOffset)) lane.push(part)
  }
}

/** Below the ledger's mark records come by again; the mark itself is a boundary between chunks, whether or not a record stands there. */
function splitAt(chunk: Chunk, persistedOffset: number): Chunk[] {
  if (chunk.firstOffset >= persistedOffset) return [chunk]
  if (chunk.nextOffset <= persistedOffset) return [{ ...chunk, again: true }]
  const count = chunk.records.findIndex((record) => Number(record.offset) >= persistedOffset)
  if (count === -1) {
    return [
      { ...chunk, nextOffset: persistedOffset, again: true },
      { ...chunk, firstOffset: persistedOffset, records: [], bytes: 0 },
    ]
  }
  if (count === 0) {
    return [
      { ...chunk, nextOffset: persistedOffset, records: [], bytes: 0, again: true },
      { ...chunk, firstOffset: persistedOffset },
    ]
  }
  const [head, tail] = splitChunk(chunk, count)
  return [
    { ...head, nextOffset: persistedOffset, again: true },
    { ...tail, firstOffset: persistedOffset },
  ]
}
