/**
 * consume/ in memory, for simulations and for tests of the gate. A topic is a log per partition; a group hands every n-th partition to its n-th
 * member and keeps what was committed. What is awkward about Kafka and its client is kept: batches come as they were produced, offsets may hold
 * nothing, records may be gone, a position out of range is reset without a word, seeks outlive a rebalance, and a member learns of a rebalance only
 * when it looks. No clock, no timer, no randomness: things go on when something happens, and how long a fetch takes is the caller's (`roundTrip`).
 */
import { setImmediate as turn } from 'node:timers/promises'
import type { Watermarks } from '../../core/ledger.ts'
import { type RawRecord, type RecordRun, runOf } from '../../core/record.ts'
import type { Settle } from '../settle/port.ts'
import type { Consume, ConsumeHandlers, Fetched } from './port.ts'

export type MemoryRecord = Pick<RawRecord, 'key' | 'value' | 'headers'> & { readonly timestampMs: number }

/** One record batch of the log: a run, or offsets without a record (control records, aborted transactions). */
interface Logged {
  readonly lastOffset: number
  readonly run: RecordRun | null
}

interface Member {
  /** The group has changed; the member sees to it when it looks. */
  changed(): void
}

export interface MemoryGroup {
  readonly committed: Map<number, number>
  readonly members: Member[]
  generation: number
}

/** Shared by all "processes" that open it. */
export interface MemoryKafka {
  readonly partitions: number
  /** Appends one batch; answers the offset of its first record. */
  produce(partition: number, records: readonly MemoryRecord[]): number
  /** Appends offsets that hold no record. */
  skip(partition: number, count: number): void
  /** As retention does: nothing below this offset is there any more. */
  deleteRecords(partition: number, beforeOffset: number): void
  watermarks(partition: number): Watermarks
  read(partition: number, fromOffset: number): readonly Logged[]
  group(name: string): MemoryGroup
  /** Calls back once, at the next append. */
  onAppend(call: () => void): void
}

export function createMemoryKafka({ partitions }: { readonly partitions: number }): MemoryKafka {
  const logs = Array.from({ length: partitions }, () => ({ low: 0, high: 0, batches: [] as Logged[] }))
  const groups = new Map<string, MemoryGroup>()
  let waiting: (() => void)[] = []
  const logOf = (partition: number) => {
    const log = logs[partition]
    if (log === undefined) throw new RangeError(`there is no partition ${partition}`)
    return log
  }
  const append = (partition: number, batch: Logged) => {
    const log = logOf(partition)
    log.batches.push(batch)
    log.high = batch.lastOffset + 1
    const calls = waiting
    waiting = []
    for (const call of calls) call()
  }
  return {
    partitions,
    produce(partition, records) {
      const { high } = logOf(partition)
      const raw = records.map(({ timestampMs, ...rest }, n) => ({
        ...rest,
        offset: String(high + n),
        timestamp: String(timestampMs),
      }))
      append(partition, { lastOffset: high + records.length - 1, run: runOf(raw) })
      return high
    },
    skip: (partition, count) => append(partition, { lastOffset: logOf(partition).high + count - 1, run: null }),
    deleteRecords(partition, beforeOffset) {
      const log = logOf(partition)
      log.low = Math.max(log.low, Math.min(beforeOffset, log.high))
      log.batches = log.batches.filter(({ lastOffset }) => lastOffset >= log.low)
    },
    watermarks: (partition) => ({ low: logOf(partition).low, high: logOf(partition).high }),
    read: (partition, fromOffset) => logOf(partition).batches.filter(({ lastOffset }) => lastOffset >= fromOffset),
    group(name) {
      const group = groups.get(name) ?? { committed: new Map(), members: [], generation: 0 }
      groups.set(name, group)
      return group
    },
    onAppend: (call) => void waiting.push(call),
  }
}

export interface MemoryConsumeOptions {
  readonly group: string
  readonly settle: Settle
  /** Batches of the log per fetch and partition, at most. */
  readonly fetchBatchesMax?: number
  /** Passes before every fetch; a turn of the event loop unless told otherwise. */
  readonly roundTrip?: () => Promise<void>
}

export function openMemoryConsume(kafka: MemoryKafka, options: MemoryConsumeOptions): Consume {
  const { settle, fetchBatchesMax = 10, roundTrip = () => turn() } = options
  const group = kafka.group(options.group)
  const seeks = new Map<number, number>()
  const positions = new Map<number, number>()
  let generation = -1
  const held = new Set<number>()
  let paused = false
  let stopped = false
  let happened = Promise.withResolvers<void>()
  const wake = () => happened.resolve()
  const member: Member = { changed: wake }

  function rebalance(): void {
    group.generation++
    for (const one of group.members) one.changed()
  }

  function join(handlers: ConsumeHandlers): void {
    generation = group.generation
    const index = group.members.indexOf(member)
    const mine = Array.from({ length: kafka.partitions }, (_, partition) => partition).filter(
      (partition) => partition % group.members.length === index,
    )
    positions.clear()
    for (const partition of mine) {
      positions.set(partition, group.committed.get(partition) ?? kafka.watermarks(partition).low)
    }
    handlers.assigned(mine)
  }

  function fetch(): Fetched[] {
    for (const [partition, nextOffset] of seeks) if (positions.has(partition)) positions.set(partition, nextOffset)
    seeks.clear()
    if (paused) return []
    return [...positions].flatMap(([partition, position]) => {
      if (held.has(partition)) return []
      const { low, high } = kafka.watermarks(partition)
      const fetchedOffset = position < low || position > high ? low : position
      const batches = kafka.read(partition, fetchedOffset).slice(0, fetchBatchesMax)
      const last = batches.at(-1)
      if (last === undefined) return []
      const runs = batches.flatMap(({ run }) => run ?? [])
      return { partition, fetchedOffset, nextOffset: last.lastOffset + 1, highWatermark: high, runs }
    })
  }

  /** Lets the handlers have what was fetched, until they are done or the group has changed. */
  async function deliver(batches: readonly Fetched[], handlers: ConsumeHandlers): Promise<void> {
    const asOf = generation
    const handled = batches.map(async (batch) => {
      const taken = await handlers.fetched(batch)
      if (taken && asOf === generation && !seeks.has(batch.partition)) positions.set(batch.partition, batch.nextOffset)
    })
    const all = Promise.all(handled).then(() => true)
    all.catch(() => {})
    while (!stopped && group.generation === generation) {
      happened = Promise.withResolvers()
      if (await Promise.race([all, happened.promise.then(() => false)])) return
    }
  }

  return {
    async run(handlers) {
      group.members.push(member)
      rebalance()
      while (!stopped) {
        happened = Promise.withResolvers()
        handlers.heard()
        if (group.generation !== generation) join(handlers)
        await roundTrip()
        const batches = group.generation === generation && !stopped ? fetch() : []
        if (batches.length > 0) await deliver(batches, handlers)
        else if (group.generation === generation && !stopped) {
          kafka.onAppend(wake)
          await happened.promise
        }
      }
      group.members.splice(group.members.indexOf(member), 1)
      rebalance()
    },
    seek(partition, nextOffset) {
      seeks.set(partition, nextOffset)
      wake()
    },
    hold: (partition) => void held.add(partition),
    resume(partition) {
      if (held.delete(partition)) wake()
    },
    async watermarks() {
      return new Map(
        Array.from({ length: kafka.partitions }, (_, partition) => [partition, kafka.watermarks(partition)]),
      )
    },
    retentionMs: async () => null,
    pause() {
      paused = true
    },
    async stop() {
      stopped = true
      wake()
    },
    settle,
  }
}
