/**
 * Which partitions are ours, and the gate before them. The first batch of a newly assigned partition waits until the marks are read; where the
 * partition starts elsewhere, the batch is replaced by a seek. After that every batch must begin exactly where the one before it ended:
 *
 *   fetched below   a rebalance or a late seek took the client back       -> seek to where we are; the same again, and Kafka ending before us, means
 *                                                                            that the topic was made anew or truncated
 *   fetched beyond  control records, compaction, or a silent reset        -> seek back once; the same again, and Kafka still holding what was
 *                                                                            jumped over, means that there is nothing for us in between
 *
 * Where Kafka, ledger and streams contradict each other the partition stops and the others go on: it is held at the client, the ledger says why, and
 * it is looked at again every few seconds, until its marks agree. What a client sees only when something comes in (a log that ends before us) is asked
 * for as often: survey().
 *
 * Losing a partition drops what is queued; batches under way may finish, and the ledger decides whether they still count.
 */
import { Arrivals } from '../core/arrivals.ts'
import type { Chunk } from '../core/batch.ts'
import { FatalError, LostError, TransientError } from '../core/errors.ts'
import { isStop, type LedgerRow, type StartPolicy, type StopCode, startOf, type Watermarks } from '../core/ledger.ts'
import { Marks } from '../core/marks.ts'
import { type RecordRun, runBytes } from '../core/record.ts'
import type { Absence } from '../flow/absence.ts'
import type { Budget } from '../flow/budget.ts'
import type { Consume, ConsumeHandlers, Fetched } from '../flow/consume/port.ts'
import type { Lane, PartitionState } from '../flow/lane.ts'
import type { Found, Persist } from '../flow/persist/port.ts'
import type { Publish } from '../flow/publish/port.ts'

export interface AssignmentOptions {
  readonly consume: Consume
  readonly persist: Persist
  readonly publish: Publish
  readonly lanes: readonly Lane[]
  readonly budget: Budget
  readonly absence: Absence<Lane>
  readonly policy: StartPolicy
  readonly startFrom: 'earliest' | 'latest'
  /** Reading the marks may have to wait for a busy world. */
  readonly patiently: <T>(work: () => Promise<T>) => Promise<T>
  readonly nowMs: () => number
  readonly on: AssignmentEvents
}

export interface AssignmentEvents {
  assigned(partitions: readonly number[], added: number, removed: number): void
  heard(): void
  taken(records: number): void
  sought(partition: number, from: number, to: number): void
  /** Between these offsets Kafka holds nothing; it was asked twice. */
  jumped(partition: number, from: number, to: number): void
  streamLost(
    partition: number,
    lost: readonly { family: string; expected: number; found: number }[],
    from: number,
  ): void
  /** The partition stands still from now on, or for another reason than before. */
  stopped(partition: number, error: FatalError): void
  /** What it stood still for is settled. */
  resumed(state: PartitionState, from: number): void
  /** The ledger has gone back behind what this lane had stored: it has to start over. */
  wentBack(lane: Lane, lost: LostError): void
  failed(error: FatalError | Error): void
}

export interface StoppedPartition {
  readonly partition: number
  readonly code: StopCode
  readonly error: FatalError
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
  /** How often the client was sent elsewhere. What was fetched before it was last sent says nothing about what is there. */
  sought: number
  /** A jump forward, or a fall back, was seen from this offset once. */
  jumpedFrom: number
  fellFrom: number
  /** A survey found Kafka not reaching to this offset. */
  missedAt: number
  topicId: string | null
  stopped: (FatalError & { code: StopCode }) | null
}

export class Assignment implements ConsumeHandlers {
  readonly #options: AssignmentOptions
  readonly #entries = new Map<number, Entry>()
  /** Stops that a person has been told of. */
  readonly #told = new Map<number, StopCode>()
  #watermarks: ReadonlyMap<number, Watermarks> = new Map()

  constructor(options: AssignmentOptions) {
    this.#options = options
  }

  get partitions(): readonly number[] {
    return [...this.#entries.keys()].sort((a, b) => a - b)
  }

  *states(): Generator<PartitionState> {
    for (const { state } of this.#entries.values()) if (state !== null) yield state
  }

  /** Partitions of ours that stand still, and why. */
  get stopped(): readonly StoppedPartition[] {
    return [...this.#entries.values()].flatMap(({ partition, stopped }) =>
      stopped === null ? [] : [{ partition, code: stopped.code, error: stopped }],
    )
  }

  /** What Kafka held of each partition when it was last asked. */
  get watermarks(): ReadonlyMap<number, Watermarks> {
    return this.#watermarks
  }

  /** True while a partition's marks are not read yet. */
  get gated(): boolean {
    return [...this.#entries.values()].some(({ gate }) => gate !== null)
  }

  /** Those whose marks are not read yet. */
  get gatedPartitions(): readonly number[] {
    const gated = [...this.#entries.values()].filter((one) => one.gate !== null && one.state === null && !one.stopped)
    return gated.map(({ partition }) => partition)
  }

  assigned(partitions: readonly number[]): void {
    const { consume, lanes, on } = this.#options
    const now = new Set(partitions)
    const removed = [...this.#entries.values()].filter(({ partition }) => !now.has(partition))
    for (const { partition, lane } of removed) {
      this.#entries.delete(partition)
      this.#told.delete(partition)
      lane.drop(partition)
    }
    // The client starts over from the settled offsets; what we keep goes on from where we are.
    for (const entry of this.#entries.values()) {
      if (entry.stopped !== null) consume.hold(entry.partition)
      else if (entry.gate === null) this.#seek(entry)
    }

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

  /** Something of this lane was lost: its partitions go back behind the gate, except those that stand still. Its pipeline must have ended. */
  reset(lane: Lane): void {
    const entries = [...this.#entries.values()].filter((entry) => entry.lane === lane && entry.stopped === null)
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
      sought: 0,
      jumpedFrom: -1,
      fellFrom: -1,
      missedAt: -1,
      topicId: null,
      stopped: null,
    }
    // Whatever stopped it when it was ours before: its marks are read anew.
    this.#options.consume.resume(partition)
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
    const { consume, persist, absence, policy, startFrom, on } = this.#options
    const entries = all.filter((entry) => this.#isCurrent(entry))
    if (entries.length === 0) return
    const partitions = entries.map(({ partition }) => partition)
    let watermarks = await this.#ask()
    const mark = (partition: number) => watermarks.get(partition) ?? { low: 0, high: 0 }
    const rows = await persist.marks(partitions, (partition) =>
      startFrom === 'earliest' ? mark(partition).low : mark(partition).high,
    )
    // Another process may have moved a ledger on since Kafka was asked.
    if (rows.some((row) => row.nextOffset > mark(row.partition).high)) watermarks = await this.#ask()

    const wanted = policy.publishes
      ? rows.flatMap(({ partition, streams }) => [...streams.keys()].map((family) => ({ partition, family })))
      : []
    const last = await this.#lastOf(wanted)
    // Redis is away: the rows go on from where they are, and the lane comes by again for the streams.
    const isPutOff = last === null
    if (isPutOff) for (const { lane } of entries) absence.passes(lane)
    const found = new Map<number, Map<string, number>>(partitions.map((partition) => [partition, new Map()]))
    for (const [index, { partition, family }] of wanted.entries()) found.get(partition)?.set(family, last?.[index] ?? 0)

    const rowOf = new Map(rows.map((row) => [row.partition, row]))
    const here = { ...policy, publishes: policy.publishes && !isPutOff }
    const starts = entries.map(({ partition }) => {
      const row = rowOf.get(partition)
      if (row === undefined) throw new LostError('FENCED', `The ledger row of partition ${partition} is gone.`)
      // Whether the streams hold what they should, nobody can tell now: it stays as it is.
      if (isPutOff && policy.streamLost === 'stop' && row.stopped?.code === 'STREAM_LOST')
        return new FatalError('STREAM_LOST', row.stopped.reason, 'Redis is away.') as FatalError & { code: StopCode }
      try {
        return startOf(row, mark(partition), found.get(partition) ?? new Map(), here)
      } catch (error) {
        if (isStop(error)) return error
        throw error
      }
    })
    await this.#write(entries, rowOf, watermarks, starts)
    for (const [index, entry] of entries.entries()) {
      if (!this.#isCurrent(entry)) continue
      const start = starts[index] as (typeof starts)[number]
      if (start instanceof Error) {
        this.#stop(entry, start)
        continue
      }
      const { partition, lane } = entry
      if (entry.stopped !== null) consume.resume(partition)
      entry.stopped = null
      entry.topicId = mark(partition).topicId ?? null
      entry.state = {
        partition,
        marks: new Marks(partition, start.nextOffset, isPutOff ? publishedOf(rowOf.get(partition)) : undefined),
        streams: start.streams,
        noted: new Map(rowOf.get(partition)?.streams),
        arrivals: new Arrivals(),
        highWatermark: mark(partition).high,
        revoked: false,
      }
      entry.expected = start.nextOffset
      entry.covered = start.nextOffset
      entry.persistedOffset = start.persistedOffset
      lane.partitions.set(partition, entry.state)
      this.#seek(entry)
      if (this.#told.delete(partition)) on.resumed(entry.state, start.nextOffset)
      if (start.lost.length > 0) on.streamLost(partition, start.lost, start.nextOffset)
    }
  }

  async #ask(): Promise<Map<number, Watermarks>> {
    const watermarks = await this.#options.consume.watermarks()
    this.#watermarks = watermarks
    return watermarks
  }

  /** What is new goes beside the marks in the ledger: for whoever gets the partition next, and for `millrace offsets show`. */
  async #write(
    entries: readonly Entry[],
    rows: ReadonlyMap<number, LedgerRow>,
    watermarks: ReadonlyMap<number, Watermarks>,
    starts: readonly (object | (FatalError & { code: StopCode }))[],
  ): Promise<void> {
    const news = entries.flatMap(({ partition }, index): (readonly [number, Found])[] => {
      const row = rows.get(partition)
      const start = starts[index]
      const topicId = watermarks.get(partition)?.topicId ?? null
      if (isStop(start)) return row?.stopped?.code === start.code ? [] : [[partition, this.#found(start, null)]]
      const isKnown = topicId === null || row?.topicId === topicId
      return (row?.stopped ?? null) === null && isKnown ? [] : [[partition, { stopped: null, topicId }]]
    })
    if (news.length > 0) await this.#options.persist.mark(new Map(news))
  }

  #found({ code, message }: FatalError & { code: StopCode }, topicId: string | null) {
    return { stopped: { code, reason: message }, topicId }
  }

  #stop(entry: Entry, error: FatalError & { code: StopCode }): void {
    const { consume, on } = this.#options
    entry.stopped = error
    entry.state = null
    consume.hold(entry.partition)
    entry.lane.drop(entry.partition)
    if (this.#told.get(entry.partition) !== error.code) on.stopped(entry.partition, error)
    this.#told.set(entry.partition, error.code)
  }

  /** Stops a partition that was running; the ledger is told, or the next survey tells it. */
  async #stopRunning(entry: Entry, { low, high, topicId }: Watermarks): Promise<boolean> {
    const { partition, expected } = entry
    const row: LedgerRow = {
      partition,
      startOffset: -1,
      nextOffset: expected,
      publishedOffset: null,
      streams: new Map(),
      topicId: entry.topicId,
    }
    try {
      startOf(row, { low, high, topicId: topicId ?? null }, new Map(), this.#options.policy)
      return false
    } catch (error) {
      if (!isStop(error)) throw error
      this.#stop(entry, error)
      await this.#options.persist.mark(new Map([[partition, this.#found(error, null)]])).catch(() => {})
      return true
    }
  }

  /**
   * To be called every few seconds: looks at stopped partitions again, and at running ones for what no fetch would show. An answer may be older than
   * what was fetched meanwhile, so that a running partition is stopped only when two surveys agree and it has not moved between them.
   *
   * A database that has gone back (a failover to a replica that was behind) fences the next batch; a partition that gets no next batch would lack its
   * last rows until it does. So the ledger is compared, too.
   */
  async survey(): Promise<void> {
    const stopped = [...this.#entries.values()].filter((entry) => entry.stopped !== null && entry.gate === null)
    const running = [...this.#entries.values()].filter(({ gate, state }) => gate === null && state !== null)
    const before = new Map(running.map((entry) => [entry, entry.expected]))
    const stored = running.map(({ state, persistedOffset }) =>
      Math.max(state?.marks.get('persist') ?? 0, persistedOffset),
    )
    const askedMs = this.#options.nowMs()
    if (stopped.length > 0) await this.#readMarks(stopped)
    else await this.#ask()
    for (const [entry, expected] of before) {
      const marks = this.#watermarks.get(entry.partition)
      if (marks === undefined || !this.#isCurrent(entry) || entry.state === null) continue
      if (marks.high <= entry.expected) entry.state.arrivals.caughtUp(askedMs)
      if (entry.expected !== expected) continue
      const isAnother = !!entry.topicId && !!marks.topicId && marks.topicId !== entry.topicId
      if (expected >= marks.low && expected <= marks.high && !isAnother) continue
      if (entry.missedAt === expected) await this.#stopRunning(entry, marks)
      entry.missedAt = expected
    }
    await this.#compareLedger(running, stored)
  }

  /** What we know of was read before: the ledger may only be ahead of it. */
  async #compareLedger(running: readonly Entry[], stored: readonly number[]): Promise<void> {
    if (running.length === 0) return
    const low = (partition: number) => this.#watermarks.get(partition)?.low ?? 0
    const partitions = running.map(({ partition }) => partition)
    const rows = new Map((await this.#options.persist.marks(partitions, low)).map((row) => [row.partition, row]))
    for (const [index, entry] of running.entries()) {
      const { partition, lane } = entry
      const found = rows.get(partition)?.nextOffset ?? 0
      const known = stored[index] as number
      if (found >= known || !this.#isCurrent(entry) || entry.gate !== null) continue
      const text = `partition ${partition}: the ledger has gone back from ${known} to ${found}`
      this.#options.on.wentBack(lane, new LostError('FENCED', text))
    }
  }

  /** null: Redis is away, and storing does not wait for it. */
  async #lastOf(wanted: readonly { partition: number; family: string }[]): Promise<number[] | null> {
    const { publish, absence, policy } = this.#options
    if (policy.publishes && absence.away) return null
    try {
      return await publish.last(wanted)
    } catch (error) {
      if (error instanceof TransientError && absence.failed(error)) return null
      throw error
    }
  }

  #isCurrent(entry: Entry): boolean {
    return this.#entries.get(entry.partition) === entry
  }

  #seek(entry: Entry): void {
    entry.sought++
    this.#options.consume.seek(entry.partition, entry.expected)
  }

  async fetched(batch: Fetched): Promise<boolean> {
    const { budget } = this.#options
    const entry = this.#entries.get(batch.partition)
    if (entry === undefined) return false
    const { sought } = entry
    if (entry.gate !== null) await entry.gate
    if (entry.stopped !== null) return false
    if (!this.#isCurrent(entry) || entry.state === null) return false
    if (batch.fetchedOffset !== entry.expected && !(await this.#mayJump(entry, batch, sought))) return false

    let bytes = 0
    for (const run of batch.runs) bytes += runBytes(run)
    const before = entry.expected
    await budget.take(bytes)
    // Meanwhile it may have been lost, or come to a stop.
    if (!this.#isCurrent(entry) || entry.expected !== before || entry.state === null) {
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
    this.#hand(entry, { partition, fetchedOffset: firstOffset, nextOffset, highWatermark: nextOffset, runs: [] }, 0)
  }

  heard(): void {
    this.#options.on.heard()
  }

  async #mayJump(entry: Entry, batch: Fetched, sought: number): Promise<boolean> {
    const { on } = this.#options
    const { partition, expected } = entry
    // Two that were fetched before the gate opened are no evidence that the second seek has led nowhere.
    if (entry.sought !== sought) {
      on.sought(partition, batch.fetchedOffset, expected)
      return false
    }
    const isBelow = batch.fetchedOffset < expected
    const isAgain = (isBelow ? entry.fellFrom : entry.jumpedFrom) === expected
    if (!isAgain || (isBelow && batch.highWatermark >= expected)) {
      if (isBelow) entry.fellFrom = expected
      else entry.jumpedFrom = expected
      on.sought(partition, batch.fetchedOffset, expected)
      this.#seek(entry)
      return false
    }
    const marks = (await this.#options.patiently(() => this.#ask())).get(partition) ?? { low: 0, high: 0 }
    if (!this.#isCurrent(entry) || entry.expected !== expected || entry.state === null) return false
    if (await this.#stopRunning(entry, marks)) return false
    if (isBelow) {
      this.#seek(entry)
      return false
    }
    if (!this.#isCurrent(entry) || entry.expected !== expected) return false
    on.jumped(partition, expected, batch.fetchedOffset)
    return true
  }

  /** To the lane: one chunk a run or so, and cut where the ledger's mark lies. */
  #hand(entry: Entry, batch: Fetched, bytes: number): void {
    const { lane, covered, persistedOffset } = entry
    const state = entry.state as PartitionState
    const { partition, nextOffset, runs, highWatermark } = batch
    entry.expected = nextOffset
    entry.covered = nextOffset
    entry.jumpedFrom = -1
    state.highWatermark = Math.max(state.highWatermark, highWatermark)
    state.marks.advance('consume', nextOffset)
    const last = runs.at(-1)
    if (last !== undefined) {
      const timestampMs = runs[0]?.baseTimestampMs ?? last.maxTimestampMs
      state.arrivals.forget(state.marks.get('settle'))
      state.arrivals.push({ nextOffset, timestampMs, takenMs: this.#options.nowMs() }, last.maxTimestampMs)
    }
    let records = 0
    let left = bytes
    const chunks = chunksOf(partition, covered, nextOffset, runs, persistedOffset)
    for (const chunk of chunks) {
      records += chunk.records
      // A run in two chunks is counted once: what was taken from the budget is what will be given back.
      const share = chunk === chunks.at(-1) ? left : Math.min(chunk.bytes, left)
      left -= share
      lane.push({ ...chunk, bytes: share })
    }
    this.#options.on.taken(records)
  }
}

const publishedOf = (row: LedgerRow | undefined) =>
  row === undefined ? undefined : Math.min(row.publishedOffset ?? row.startOffset, row.nextOffset)

/** So many records make a chunk large enough: a lane takes whole chunks, up to its caps. */
const chunkRecords = 1024

/**
 * Cuts [firstOffset, nextOffset) into chunks of whole runs. Below `persistedOffset` records come by again; that mark is a boundary too, and a run
 * across it is in both chunks: decode/ takes what lies in the range.
 */
export function chunksOf(
  partition: number,
  firstOffset: number,
  nextOffset: number,
  runs: readonly RecordRun[],
  persistedOffset: number,
): Chunk[] {
  if (firstOffset < persistedOffset && persistedOffset < nextOffset) {
    const below = runs.filter(({ baseOffset }) => baseOffset < persistedOffset)
    const above = runs.filter(({ lastOffset }) => lastOffset >= persistedOffset)
    return [
      ...chunksOf(partition, firstOffset, persistedOffset, below, persistedOffset),
      ...chunksOf(partition, persistedOffset, nextOffset, above, persistedOffset),
    ]
  }
  const again = nextOffset <= persistedOffset
  const chunks: Chunk[] = []
  let from = firstOffset
  let held: RecordRun[] = []
  let records = 0
  let bytes = 0
  const close = (to: number) => {
    chunks.push({
      partition,
      firstOffset: from,
      nextOffset: to,
      runs: held,
      records: Math.min(records, to - from),
      bytes,
      again,
    })
    from = to
    held = []
    records = 0
    bytes = 0
  }
  for (const run of runs) {
    if (records > 0 && records + run.count > chunkRecords) close(run.baseOffset)
    held.push(run)
    records += run.count
    bytes += runBytes(run)
  }
  close(nextOffset)
  return chunks
}
