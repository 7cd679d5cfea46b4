/**
 * A fleet in memory: one Kafka, one database, one Redis, and "processes" made of the real hallway, gate and lanes on the memory rooms. What the
 * checkers look at is the world, not what a process says of itself.
 */
import assert from 'node:assert/strict'
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import pino from 'pino'
import { retry } from '../../src/core/backoff.ts'
import type { Decoded } from '../../src/core/batch.ts'
import { LostError } from '../../src/core/errors.ts'
import { createMetrics } from '../../src/core/registry.ts'
import type { Business } from '../../src/core/tally.ts'
import { Absence } from '../../src/flow/absence.ts'
import { Budget } from '../../src/flow/budget.ts'
import {
  createMemoryKafka,
  type MemoryConsumeOptions,
  type MemoryKafka,
  openMemoryConsume,
} from '../../src/flow/consume/memory.ts'
import type { Consume } from '../../src/flow/consume/port.ts'
import { openMemoryDecode } from '../../src/flow/decode/memory.ts'
import { Lane } from '../../src/flow/lane.ts'
import { createMemoryDatabase, type MemoryDatabase, openMemoryPersist } from '../../src/flow/persist/memory.ts'
import type { Persist } from '../../src/flow/persist/port.ts'
import { notedSince, type Observer } from '../../src/flow/pipeline.ts'
import { createMemoryStreams, type MemoryStreams, openMemoryPublish } from '../../src/flow/publish/memory.ts'
import type { Publish } from '../../src/flow/publish/port.ts'
import { openMemorySettle } from '../../src/flow/settle/memory.ts'
import { openSettler } from '../../src/flow/settle/settler.ts'
import type { LaneTracer } from '../../src/flow/trace.ts'
import { Assignment } from '../../src/process/assignment.ts'
import { type LaneObserver, observeLane } from '../../src/process/observe.ts'
import { serveLanes } from '../../src/process/serve-lanes.ts'
import { definition, type EventSpec, eventText, limits, nowMs } from './batches.ts'

export const sleep = (ms: number, signal: AbortSignal) => delay(ms, undefined, { signal })

/** Whoever waits for Redis waits as long as it takes. */
export const neverAway = () =>
  new Absence<Lane>({
    graceMs: Number.POSITIVE_INFINITY,
    probeMs: 0,
    probe: async () => {},
    now: () => 0,
    sleep,
    signal: new AbortController().signal,
    on: { away() {}, back() {}, failed() {} },
  })

export const group = 'tests'
const target = { consumer: limits.consumer, topic: definition.topic }

export interface House {
  readonly kafka: MemoryKafka
  readonly database: MemoryDatabase
  readonly streams: MemoryStreams
  readonly committed: Map<number, number>
  /** What was produced, by `partition/offset`, in order: an event's id, or null for a record that is none. */
  readonly produced: Map<string, { readonly id: string | null; readonly family: string }>
  produce(partition: number, ...events: (EventSpec | string)[]): void
}

export function openHouse(partitions = 4): House {
  const kafka = createMemoryKafka({ partitions })
  const database = createMemoryDatabase()
  const streams = createMemoryStreams()
  const produced: House['produced'] = new Map()
  return {
    kafka,
    database,
    streams,
    produced,
    committed: kafka.group(group).committed,
    produce(partition, ...events) {
      const records = events.map((one) => ({
        key: null,
        value: Buffer.from(typeof one === 'string' ? one : eventText(one)),
        headers: {},
        timestampMs: nowMs,
      }))
      const first = kafka.produce(partition, records)
      events.forEach((one, n) => {
        const family = typeof one === 'string' ? '' : `events:${(one.type ?? 'com.x.cloud').split('.')[2]}`
        produced.set(`${partition}/${first + n}`, { id: typeof one === 'string' ? null : one.id, family })
      })
    },
  }
}

export interface ProcessOptions {
  readonly lanes?: number
  readonly rowsMax?: number
  readonly bytesInFlightMax?: number
  readonly streamLost?: 'refill' | 'stop'
  /** Storing goes on without Redis from the first failed call on; otherwise it waits for ever. */
  readonly storesOn?: boolean
  readonly startFrom?: 'earliest' | 'latest'
  /** How long Kafka takes. */
  readonly trip?: MemoryConsumeOptions['trip']
  /** In place of the plain memory rooms. */
  readonly persist?: (plain: Persist) => Persist
  readonly publish?: (plain: Publish) => Publish
  readonly consume?: (plain: Consume) => Consume
  readonly observe?: Partial<Observer>
  /** Traces are on. */
  readonly tracerOf?: (lane: number) => LaneTracer
  readonly business?: Business
  readonly admit?: (batch: Decoded) => void
}

export interface Process {
  readonly assignment: Assignment
  readonly lanes: readonly Lane[]
  readonly budget: Budget
  readonly absence: Absence<Lane>
  readonly consume: Consume
  /** What was found lost at the gate. */
  readonly refills: string[]
  readonly sought: string[]
  /** Partitions that came to a stop, and that went on. */
  readonly stops: string[]
  /** How often a lane started over. */
  resets(): number
  compareStreams(): Promise<void>
  /** Rejects when the process has failed. */
  readonly failed: Promise<never>
  /** All lanes have ended. */
  readonly served: Promise<unknown>
  drain(): Promise<void>
  /** As kill -9 does: nothing is told to anybody, and nothing of it happens any more. */
  kill(): Promise<void>
}

/** What src/process/service.ts puts together, with hooks between the parts. */
export function startProcess(house: House, options: ProcessOptions = {}): Process {
  const { lanes: laneCount = 2, rowsMax = 50, bytesInFlightMax = 1_000_000 } = options
  const stop = new AbortController()
  const failure = Promise.withResolvers<never>()
  failure.promise.catch(() => {})
  const fail = (error: unknown) => failure.reject(error)
  let dead = false
  /** The dead do nothing: what a killed process had under way never reaches the world. */
  const alive = <T>(apply: () => T): T => {
    if (dead) throw new LostError('REVOKED', 'this process was killed')
    return apply()
  }
  const plainPersist = openMemoryPersist(
    { ...house.database, commit: (apply) => house.database.commit(() => alive(apply)) },
    target,
  )
  const plainPublish = openMemoryPublish(
    { ...house.streams, call: (apply) => house.streams.call(() => alive(apply)) },
    { callEntriesMax: 20 },
  )
  const persist = options.persist?.(plainPersist) ?? plainPersist
  const publish = options.publish?.(plainPublish) ?? plainPublish
  const settle = openMemorySettle(house.committed)
  const plainConsume = openMemoryConsume(house.kafka, {
    group,
    settle: { commit: async (nextOffsets) => alive(() => settle.commit(nextOffsets)) },
    fetchBatchesMax: 3,
    ...(options.trip && { trip: options.trip }),
  })
  const consume = options.consume?.(plainConsume) ?? plainConsume
  const settler = openSettler(
    consume.settle,
    { intervalMs: 1, sleep },
    { committed() {}, failed: (error) => !dead && fail(error) },
  )
  const backoff = { minMs: 0, maxMs: 0, random: () => 0, sleep }
  const absence = new Absence<Lane>({
    graceMs: options.storesOn ? 0 : Number.POSITIVE_INFINITY,
    probeMs: 0,
    probe: () => publish.probe(),
    now: () => nowMs,
    sleep,
    signal: stop.signal,
    on: { away() {}, back: () => catchUp(), failed: (error) => !dead && fail(error) },
  })
  const budget = new Budget(bytesInFlightMax)
  const lanes = Array.from(
    { length: laneCount },
    (_, index) => new Lane(index, { rowsMax, bytesMax: 100_000, fewRecords: 3 }, (bytes) => budget.give(bytes)),
  )
  const refills: string[] = []
  const sought: string[] = []
  const stops: string[] = []
  const assignment = new Assignment({
    consume,
    persist,
    publish,
    lanes,
    budget,
    absence,
    policy: { topic: definition.topic, publishes: true, streamLost: options.streamLost ?? 'refill' },
    startFrom: options.startFrom ?? 'earliest',
    patiently: (work) => retry(work, backoff, stop.signal, () => {}),
    nowMs: () => nowMs,
    on: {
      assigned() {},
      heard() {},
      taken() {},
      jumped() {},
      sought: (partition, from, to) => sought.push(`${partition}: ${from} -> ${to}`),
      streamLost: (partition, all, from) =>
        refills.push(
          `${all.map(({ family, found, expected }) => `${family}:{${partition}} ${found} of ${expected}`)}, from ${from}`,
        ),
      stopped: (partition, error) => stops.push(`${partition}: ${error.code}`),
      resumed: ({ partition }, from) => stops.push(`${partition}: resumed from ${from}`),
      wentBack: (lane, lost) => startOver(lane, lost),
      failed: fail,
    },
  })
  const reset = assignment.reset.bind(assignment)
  let resets = 0
  assignment.reset = (lane) => {
    resets++
    reset(lane)
  }
  const metrics = createMetrics({ processMetrics: false })
  const clock = { nowMs: () => nowMs, steadyMs: () => 0 }
  const observers = lanes.map(
    ({ index }): LaneObserver => ({
      ...observeLane(metrics, clock, { last: 0 }, () => {}, options.business),
      tracer: options.tracerOf?.(index) ?? null,
      ...options.observe,
    }),
  )
  const decode = openMemoryDecode(definition, { ...limits, tracedMax: options.tracerOf ? 4 : 0 }, () => nowMs)
  const { serving, compareStreams, catchUp, startOver } = serveLanes({
    lanes,
    observers,
    rooms: { consume, decode, persist, publish, publishes: true, partitionCount: house.kafka.partitions },
    settler,
    absence,
    admit: options.admit ?? (() => {}),
    assignment,
    backoff,
    metrics,
    logger: pino({ level: 'silent' }),
    signal: stop.signal,
  })
  for (const one of serving) one.catch((error: unknown) => !dead && fail(error))
  const running = consume.run(assignment)
  running.catch((error: unknown) => !dead && fail(error))

  return {
    assignment,
    lanes,
    budget,
    absence,
    consume,
    refills,
    sought,
    stops,
    resets: () => resets,
    compareStreams,
    failed: failure.promise,
    served: Promise.allSettled(serving),
    async drain() {
      consume.pause()
      for (const lane of lanes) lane.end()
      await Promise.race([Promise.all(serving), failure.promise])
      await settler.flush()
      await persist.note(new Map([...assignment.states()].map((state) => [state.partition, notedSince(state)])))
      settler.stop()
      await consume.stop()
      await running
    },
    async kill() {
      dead = true
      stop.abort(new Error('killed'))
      settler.stop()
      await consume.stop()
      await Promise.allSettled(serving)
    },
  }
}

/** Turns of the event loop until it is so. */
export async function until(what: string, isSo: () => boolean, ...processes: readonly Process[]): Promise<void> {
  for (let turns = 0; !isSo(); turns++) {
    if (turns === 20_000) throw new Error(`waited in vain for ${what}`)
    await Promise.race([turn(), ...processes.map(({ failed }) => failed)])
  }
}

/** Every record up to each end of the log is stored, and every entry of what is stored is there. */
export function isCaughtUp({ kafka, database, streams, produced }: House): boolean {
  for (let partition = 0; partition < kafka.partitions; partition++) {
    const { low, high } = kafka.watermarks(partition)
    const row = database.ledger.get(`${target.consumer}/${target.topic}/${partition}`)
    if (high > low && row?.nextOffset !== high) return false
  }
  let entries = 0
  for (const { entries: all } of streams.streams.values()) entries += all.length
  let stored = 0
  for (const row of database.rows.values()) if (produced.has(`${row.partition}/${row.offset}`)) stored++
  return entries === stored
}

/**
 * The promise, from what the world holds: every record is one row, one reject or a duplicate of a stored event; every row has one entry in the
 * stream of its family and partition, in order, and there is no other entry.
 */
export function assertPromise(house: House): void {
  const { database, streams, produced } = house
  const stored = new Map([...database.rows.values()].map((row) => [`${row.partition}/${row.offset}`, row]))
  const byId = new Map([...database.rows.values()].map((row) => [row.eventId, row]))
  assert.equal(byId.size, database.rows.size, 'an event is one row')
  const rejected = new Set([...database.rejects.values()].map((one) => `${one.partition}/${one.offset}`))
  const expected = new Map<string, number[]>()
  for (const [where, { id, family }] of produced) {
    const row = stored.get(where)
    if (id === null) {
      assert.ok(rejected.has(where) && row === undefined, `${where} is a reject`)
      continue
    }
    assert.ok(!rejected.has(where), `${where} is no reject`)
    assert.ok(byId.has(id), `event ${id} of ${where} is stored`)
    if (row === undefined) continue
    assert.equal(row.eventId, id)
    const key = `${family}:{${row.partition}}`
    expected.set(key, [...(expected.get(key) ?? []), row.offset + 1])
  }
  for (const where of [...stored.keys(), ...rejected]) assert.ok(produced.has(where), `${where} was produced`)
  const found = [...streams.streams].filter(([, { entries }]) => entries.length > 0)
  assert.deepEqual(
    Object.fromEntries(found.map(([key, { entries }]) => [key, entries.map(({ id }) => id)])),
    Object.fromEntries(expected),
  )
  for (const [key, { entries }] of found) {
    for (const { id, event } of entries) {
      const partition = /\{(\d+)\}/.exec(key)?.[1]
      assert.equal(JSON.parse(event).id, produced.get(`${partition}/${id - 1}`)?.id, `${key} ${id}`)
    }
  }
}

/** What may be said at every moment: no entry without its row, nothing settled that is not published, and the law of the marks. */
export function assertLaw(house: House, ...processes: readonly Process[]): void {
  const { database, streams, committed } = house
  const stored = new Set([...database.rows.values()].map((row) => `${row.partition}/${row.offset}`))
  for (const [key, { entries }] of streams.streams) {
    const partition = /\{(\d+)\}/.exec(key)?.[1]
    let before = 0
    for (const { id } of entries) {
      assert.ok(stored.has(`${partition}/${id - 1}`), `${key} shows ${id}, which is not stored`)
      assert.ok(id > before, `${key}: ${id} behind ${before}`)
      before = id
    }
  }
  const lostStreams = new Set<string>()
  for (const row of database.rows.values()) {
    if (row.offset >= (committed.get(row.partition) ?? 0)) continue
    const key = `events:${row.type.split('.')[2]}:{${row.partition}}`
    const stream = streams.streams.get(key)
    if (stream === undefined || stream.lastId <= row.offset) lostStreams.add(key)
  }
  assert.deepEqual([...lostStreams], [], 'settled, and not in its stream')
  for (const { assignment } of processes) {
    for (const { marks } of assignment.states()) {
      const { consume, decode, persist, publish, settle } = marks.all()
      assert.ok(settle <= publish && publish <= persist && persist <= decode && decode <= consume)
    }
  }
}

/** What a batch covers, for an observer. */
export const rangesOf = ({ slices }: Decoded) =>
  slices.map(({ partition, firstOffset, nextOffset }) => `${partition}: [${firstOffset}, ${nextOffset})`)
