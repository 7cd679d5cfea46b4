/**
 * consume/ in memory, for simulations and for tests of the gate. A topic is a log per partition; a group hands every n-th partition to its n-th
 * member and keeps what was committed. What is awkward about Kafka and its client is kept: batches come as they were produced, offsets may hold
 * nothing, records may be gone, a position out of range is reset without a word, seeks outlive a rebalance, and a member learns of a rebalance, or that it
 * was thrown out, only when it looks. No clock, no timer, no randomness: things go on when something happens, and how long a call takes is the
 * caller's (`trip`).
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

export interface Member {
  readonly name: string
  /** The group has changed; the member sees to it when it looks. */
  changed(): void
}

export interface MemoryGroup {
  readonly committed: Map<number, number>
  readonly members: Member[]
  generation: number
}

/** The coordinator has not heard of a member for too long: the others share what was its, and it does not know. */
export function expel(group: MemoryGroup, who: Member | undefined): void {
  const index = who === undefined ? -1 : group.members.indexOf(who)
  if (index < 0) return
  group.members.splice(index, 1)
  rebalance(group)
}

function rebalance(group: MemoryGroup): void {
  group.generation++
  for (const one of group.members) one.changed()
}

/** Shared by all "processes" that open it. */
export interface MemoryKafka {
  readonly partitions: number
  /** Appends one batch; answers the offset of its first record. null: an offset that compaction has emptied, inside of the batch. */
  produce(partition: number, records: readonly (MemoryRecord | null)[]): number
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
      const raw = records.flatMap((one, n) => {
        if (one === null) return []
        const { timestampMs, ...rest } = one
        return { ...rest, offset: String(high + n), timestamp: String(timestampMs) }
      })
      const lastOffset = high + records.length - 1
      // Compaction leaves a batch the offsets it had.
      append(partition, { lastOffset, run: raw.length === 0 ? null : { ...runOf(raw), lastOffset } })
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
  /** By this the coordinator knows it. */
  readonly name?: string
  /** There and back, for everything that is asked of Kafka; a turn of the event loop unless told otherwise. */
  readonly trip?: <T>(what: 'join' | 'fetch' | 'watermarks', ask: () => T) => Promise<T>
  /** How the member hears that the group has changed; at once unless told otherwise. */
  readonly hear?: (call: () => void) => void
  /** Waits for something to fetch, until `happened`; a broker answers an empty fetch after a while, too. */
  readonly wait?: (happened: Promise<void>) => Promise<void>
}

export function openMemoryConsume(kafka: MemoryKafka, options: MemoryConsumeOptions): Consume {
  const { settle, fetchBatchesMax = 10, name = '', hear = (call) => call(), wait = (happened) => happened } = options
  const trip =
    options.trip ??
    (async <T>(_: string, ask: () => T) => {
      await turn()
      return ask()
    })
  const group = kafka.group(options.group)
  const seeks = new Map<number, number>()
  const positions = new Map<number, number>()
  let generation = -1
  const held = new Set<number>()
  let paused = false
  let stopped = false
  let happened = Promise.withResolvers<void>()
  const wake = () => happened.resolve()
  let listening = false
  /** What is appended while a fetch is on its way back must not be missed. */
  const listen = () => {
    if (listening) return
    listening = true
    kafka.onAppend(() => {
      listening = false
      wake()
    })
  }
  const member: Member = { name, changed: () => hear(wake) }

  /** What the coordinator answers: the member's share, and where the group stands with it. */
  function share(): { readonly generation: number; readonly positions: readonly (readonly [number, number])[] } {
    if (!group.members.includes(member)) {
      group.members.push(member)
      rebalance(group)
    }
    const index = group.members.indexOf(member)
    const mine = Array.from({ length: kafka.partitions }, (_, partition) => partition).filter(
      (partition) => partition % group.members.length === index,
    )
    return {
      generation: group.generation,
      positions: mine.map((partition) => [
        partition,
        group.committed.get(partition) ?? kafka.watermarks(partition).low,
      ]),
    }
  }

  async function join(handlers: ConsumeHandlers): Promise<void> {
    const given = await trip('join', share)
    if (stopped) return
    generation = given.generation
    positions.clear()
    for (const [partition, position] of given.positions) positions.set(partition, position)
    handlers.assigned([...positions.keys()])
  }

  /** null: a position was out of range, and is another now. */
  async function fetch(): Promise<Fetched[] | null> {
    for (const [partition, nextOffset] of seeks) {
      if (positions.has(partition)) positions.set(partition, nextOffset)
      // What is not ours yet, or not any more, is kept for the day when it is.
      if (positions.has(partition)) seeks.delete(partition)
    }
    const asked = paused ? [] : [...positions].filter(([partition]) => !held.has(partition))
    const answers = await trip('fetch', () =>
      asked.flatMap(([partition, fetchedOffset]): (Fetched | { partition: number; reset: number })[] => {
        const { low, high } = kafka.watermarks(partition)
        if (fetchedOffset < low || fetchedOffset > high) return [{ partition, reset: low }]
        const batches = kafka.read(partition, fetchedOffset).slice(0, fetchBatchesMax)
        const last = batches.at(-1)
        if (last === undefined) return []
        const runs = batches.flatMap(({ run }) => run ?? [])
        return [{ partition, fetchedOffset, nextOffset: last.lastOffset + 1, highWatermark: high, runs }]
      }),
    )
    if (stopped || group.generation !== generation) return []
    let isReset = false
    const fetched: Fetched[] = []
    for (const one of answers) {
      // The client throws away what it fetched before a seek or a pause.
      if (seeks.has(one.partition) || held.has(one.partition)) continue
      if ('runs' in one) fetched.push(one)
      else {
        isReset = true
        positions.set(one.partition, one.reset)
        group.committed.delete(one.partition)
      }
    }
    return isReset && fetched.length === 0 ? null : fetched
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
      while (!stopped) {
        happened = Promise.withResolvers()
        handlers.heard()
        if (group.generation !== generation) {
          await join(handlers)
          continue
        }
        listen()
        const batches = await fetch()
        if (batches === null) continue
        if (batches.length > 0) await deliver(batches, handlers)
        else if (group.generation === generation && !stopped) {
          await wait(happened.promise)
        }
      }
      expel(group, member)
    },
    seek(partition, nextOffset) {
      seeks.set(partition, nextOffset)
      wake()
    },
    hold: (partition) => void held.add(partition),
    resume(partition) {
      if (held.delete(partition)) wake()
    },
    watermarks: () =>
      trip(
        'watermarks',
        () =>
          new Map(Array.from({ length: kafka.partitions }, (_, partition) => [partition, kafka.watermarks(partition)])),
      ),
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
