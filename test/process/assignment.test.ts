import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import type { Chunk } from '../../src/core/batch.ts'
import { FatalError, TransientError } from '../../src/core/errors.ts'
import type { LedgerRow, Watermarks } from '../../src/core/ledger.ts'
import { type RecordRun, runBytes, runOf } from '../../src/core/record.ts'
import { Budget } from '../../src/flow/budget.ts'
import type { Consume, Fetched } from '../../src/flow/consume/port.ts'
import { Lane } from '../../src/flow/lane.ts'
import { createMemoryDatabase, type MemoryLedgerRow, openMemoryPersist } from '../../src/flow/persist/memory.ts'
import { createMemoryStreams, openMemoryPublish } from '../../src/flow/publish/memory.ts'
import { Assignment, chunksOf } from '../../src/process/assignment.ts'
import { nowMs, record } from '../flow/batches.ts'
import { neverAway } from '../flow/house.ts'

const target = { consumer: 'tests', topic: 't' }

interface GateOptions {
  readonly lanes?: number
  readonly bytesMax?: number
  readonly startFrom?: 'earliest' | 'latest'
  /** Marks are read when it says so. */
  readonly shut?: Promise<void>
  readonly watermarks?: Record<number, Watermarks>
  readonly rows?: Record<number, Partial<LedgerRow>>
  readonly streams?: Record<string, number>
  /** Told when Kafka is asked for its watermarks, with how often it was. */
  readonly onAsked?: (times: number, kafka: Map<number, Watermarks>) => void
}

const patiently = <T>(work: () => Promise<T>): Promise<T> =>
  work().catch((error) => (error instanceof TransientError ? patiently(work) : Promise.reject(error)))

/** A gate on memory, with a client that writes down what it is told. */
function openGate(options: GateOptions = {}) {
  const database = createMemoryDatabase()
  const streams = createMemoryStreams()
  const row = (partition: number, over: Partial<LedgerRow>): MemoryLedgerRow => ({
    partition,
    startOffset: 0,
    nextOffset: 0,
    publishedOffset: null,
    streams: new Map(),
    stored: 0,
    rejected: 0,
    duplicated: 0,
    skipped: 0,
    ...over,
  })
  for (const [partition, over] of Object.entries(options.rows ?? {})) {
    database.ledger.set(`tests/t/${partition}`, row(Number(partition), over))
  }
  for (const [key, lastId] of Object.entries(options.streams ?? {})) streams.streams.set(key, { lastId, entries: [] })
  const kafka = new Map<number, Watermarks>(
    Array.from({ length: 20 }, (_, partition) => [
      partition,
      options.watermarks?.[partition] ?? { low: 0, high: 1000 },
    ]),
  )
  const seeks: string[] = []
  const held = new Set<number>()
  const told: string[] = []
  const failures: Error[] = []
  let asked = 0
  const consume: Consume = {
    run: () => Promise.reject(new Error('not here')),
    seek: (partition, nextOffset) => seeks.push(`${partition} to ${nextOffset}`),
    hold: (partition) => held.add(partition),
    resume: (partition) => held.delete(partition),
    async watermarks() {
      asked++
      options.onAsked?.(asked, kafka)
      const answer = new Map(kafka)
      await options.shut
      return answer
    },
    retentionMs: async () => null,
    pause() {},
    async stop() {},
    settle: { async commit() {} },
  }
  const budget = new Budget(options.bytesMax ?? 1_000_000)
  const lanes = Array.from(
    { length: options.lanes ?? 1 },
    (_, index) => new Lane(index, { rowsMax: 100, bytesMax: 100_000, fewRecords: 0 }, (bytes) => budget.give(bytes)),
  )
  const gate = new Assignment({
    consume,
    persist: openMemoryPersist(database, target),
    publish: openMemoryPublish(streams),
    lanes,
    budget,
    absence: neverAway(),
    policy: { topic: 't', publishes: true, streamLost: 'refill' },
    startFrom: options.startFrom ?? 'earliest',
    patiently,
    nowMs: () => nowMs,
    on: {
      assigned: (_, added, removed) => told.push(`+${added} -${removed}`),
      heard() {},
      taken() {},
      jumped: (partition, from, to) => told.push(`jumped ${partition} from ${from} to ${to}`),
      sought: (partition, from, to) => told.push(`sought ${partition} from ${from} to ${to}`),
      streamLost: (partition, _, from) => told.push(`lost ${partition} from ${from}`),
      stopped: (partition, error) => told.push(`stopped ${partition} ${error.code}`),
      resumed: ({ partition }, from) => told.push(`resumed ${partition} from ${from}`),
      wentBack: (lane, { message }) => told.push(`lane ${lane.index}: ${message}`),
      failed: (error) => failures.push(error),
    },
  })
  const state = (partition: number) => {
    for (const one of gate.states()) if (one.partition === partition) return one
    return assert.fail(`no state of partition ${partition}`)
  }
  const queued = () =>
    lanes
      .flatMap(({ waiting }) => waiting)
      .map((chunk) => `${chunk.partition} [${chunk.firstOffset}, ${chunk.nextOffset})${chunk.again ? ' again' : ''}`)
  return {
    gate,
    lanes,
    budget,
    seeks,
    held,
    told,
    failures,
    kafka,
    database,
    streams,
    state,
    queued,
    asked: () => asked,
  }
}

/** As a client hands over what it fetched: one record per offset. */
function fetched(partition: number, fetchedOffset: number, nextOffset: number, over: Partial<Fetched> = {}): Fetched {
  const records = Array.from({ length: nextOffset - fetchedOffset }, (_, n) => record(fetchedOffset + n, 'x'))
  return { partition, fetchedOffset, nextOffset, highWatermark: 1000, runs: [runOf(records)], ...over }
}

const open = async (gate: Assignment) => {
  while (gate.gated) await turn()
}

test('the first batch waits until the marks are read, and is taken where it begins where the partition does', async () => {
  const shut = Promise.withResolvers<void>()
  const { gate, queued, seeks, state } = openGate({ shut: shut.promise })
  gate.assigned([3])
  assert.equal(gate.gated, true)
  let taken: boolean | null = null
  const taking = gate.fetched(fetched(3, 0, 5)).then((answer) => {
    taken = answer
  })
  for (let n = 0; n < 5; n++) await turn()
  assert.equal(taken, null)
  shut.resolve()
  await taking
  assert.equal(taken, true)
  assert.equal(gate.gated, false)
  assert.deepEqual(queued(), ['3 [0, 5)'])
  assert.deepEqual(seeks, ['3 to 0'])
  assert.equal(state(3).marks.get('consume'), 5)
})

test('a partition that starts elsewhere: the first batch is replaced by a seek', async () => {
  const { gate, queued, seeks, told } = openGate({ rows: { 1: { nextOffset: 40, publishedOffset: 40 } } })
  gate.assigned([1])
  assert.equal(await gate.fetched(fetched(1, 0, 5)), false)
  assert.equal(seeks.at(-1), '1 to 40')
  assert.deepEqual(told, ['+1 -0', 'sought 1 from 0 to 40'])
  assert.equal(await gate.fetched(fetched(1, 40, 45)), true)
  assert.deepEqual(queued(), ['1 [40, 45)'])
})

test('stored and not published: from the lowest mark, and what is stored comes by again, cut where the ledger stands', async () => {
  const { gate, queued, state } = openGate({
    rows: { 1: { nextOffset: 40, publishedOffset: 30, streams: new Map([['a', 30]]) } },
    streams: { 'a:{1}': 35 },
  })
  gate.assigned([1])
  assert.equal(await gate.fetched(fetched(1, 30, 50)), true)
  assert.deepEqual(queued(), ['1 [30, 40) again', '1 [40, 50)'])
  assert.deepEqual([...state(1).streams], [['a', 35]])
  assert.deepEqual([...state(1).noted], [['a', 30]])
})

test('a lost stream is told, and refilled from what it holds', async () => {
  const { gate, queued, told } = openGate({
    rows: { 1: { nextOffset: 40, publishedOffset: 40, streams: new Map([['a', 40]]) } },
    streams: { 'a:{1}': 10 },
  })
  gate.assigned([1])
  await open(gate)
  assert.deepEqual(told, ['+1 -0', 'lost 1 from 10'])
  assert.equal(await gate.fetched(fetched(1, 10, 40)), true)
  assert.deepEqual(queued(), ['1 [10, 40) again'])
})

test('a partition never seen: from the beginning of what Kafka holds, or from its end', async () => {
  for (const [startFrom, from] of [
    ['earliest', 7],
    ['latest', 90],
  ] as const) {
    const { gate, seeks, database } = openGate({ startFrom, watermarks: { 2: { low: 7, high: 90 } } })
    gate.assigned([2])
    await open(gate)
    assert.deepEqual(seeks, [`2 to ${from}`])
    assert.equal(database.ledger.get('tests/t/2')?.startOffset, from)
  }
})

test('a ledger that another process moved on since Kafka was asked: Kafka is asked again', async () => {
  const rows = { 1: { nextOffset: 1100, publishedOffset: 1100 } }
  const grown = openGate({ rows, onAsked: (times, kafka) => times === 2 && kafka.set(1, { low: 0, high: 1200 }) })
  grown.gate.assigned([1])
  await open(grown.gate)
  assert.deepEqual(grown.seeks, ['1 to 1100'])
  assert.equal(grown.asked(), 2)

  const truncated = openGate({ rows })
  truncated.gate.assigned([1])
  await open(truncated.gate)
  assert.equal(truncated.asked(), 2)
  assert.deepEqual(truncated.told, ['+1 -0', 'stopped 1 TOPIC_TRUNCATED'])
})

test('a batch from before where we are: sought, not taken, and the next one is right', async () => {
  const { gate, queued, told, seeks } = openGate()
  gate.assigned([0])
  assert.equal(await gate.fetched(fetched(0, 0, 10)), true)
  assert.equal(await gate.fetched(fetched(0, 4, 20)), false)
  assert.equal(seeks.at(-1), '0 to 10')
  assert.equal(told.at(-1), 'sought 0 from 4 to 10')
  assert.equal(await gate.fetched(fetched(0, 10, 20)), true)
  assert.deepEqual(queued(), ['0 [0, 10)', '0 [10, 20)'])
})

test('a batch from beyond: sought once; the same again, and Kafka still holding what was jumped over, there is nothing in between', async () => {
  const { gate, queued, told, seeks, failures } = openGate()
  gate.assigned([0])
  assert.equal(await gate.fetched(fetched(0, 0, 10)), true)
  assert.equal(await gate.fetched(fetched(0, 15, 20)), false)
  assert.equal(seeks.at(-1), '0 to 10')
  assert.equal(told.at(-1), 'sought 0 from 15 to 10')
  assert.equal(await gate.fetched(fetched(0, 15, 20)), true)
  assert.deepEqual(queued(), ['0 [0, 10)', '0 [10, 20)'], 'the gap is covered')
  assert.equal(told.at(-1), 'jumped 0 from 10 to 15')
  assert.deepEqual(failures, [])
  // And that was that: the next jump is sought again.
  assert.equal(await gate.fetched(fetched(0, 30, 40)), false)
})

test('a batch from beyond, and Kafka is busy when it is asked what it holds: it is asked again', async () => {
  const { gate, queued, failures } = openGate({
    onAsked(times) {
      if (times === 2) throw new TransientError('KAFKA_UNREACHABLE', 'timed out')
    },
  })
  gate.assigned([0])
  assert.equal(await gate.fetched(fetched(0, 0, 10)), true)
  assert.equal(await gate.fetched(fetched(0, 15, 20)), false)
  assert.equal(await gate.fetched(fetched(0, 15, 20)), true)
  assert.deepEqual([queued(), failures], [['0 [0, 10)', '0 [10, 20)'], []])
})

test('a batch from beyond, and Kafka has forgotten what was jumped over: the partition stops, nothing is skipped', async () => {
  const { gate, queued, kafka, told, held, failures } = openGate()
  gate.assigned([0])
  assert.equal(await gate.fetched(fetched(0, 0, 10)), true)
  kafka.set(0, { low: 15, high: 1000 })
  assert.equal(await gate.fetched(fetched(0, 15, 20)), false)
  assert.equal(await gate.fetched(fetched(0, 15, 20)), false)
  assert.equal(told.at(-1), 'stopped 0 RETENTION_OVERTOOK')
  assert.deepEqual([[...held], failures, queued()], [[0], [], []])
})

test('the end of the log falls behind where we are, while we read: it stops once Kafka confirms it', async () => {
  const { gate, kafka, told, failures, seeks } = openGate()
  gate.assigned([0])
  assert.equal(await gate.fetched(fetched(0, 0, 10)), true)
  const early = fetched(0, 2, 5, { highWatermark: 5 })
  assert.equal(await gate.fetched(early), false)
  // An old answer that was still on its way: Kafka itself says otherwise.
  assert.equal(await gate.fetched(early), false)
  assert.deepEqual(failures, [])
  assert.equal(seeks.at(-1), '0 to 10')
  kafka.set(0, { low: 0, high: 5 })
  assert.equal(await gate.fetched(early), false)
  assert.equal(told.at(-1), 'stopped 0 TOPIC_TRUNCATED')
})

test('control records and the like: covered, wherever the client says it went on; an old saying changes nothing', async () => {
  const { gate, queued, state } = openGate()
  gate.assigned([0])
  gate.skipped(0, 0, 3)
  await open(gate)
  assert.deepEqual(queued(), [], 'the gate was shut')
  await gate.fetched(fetched(0, 0, 5))
  gate.skipped(0, 5, 7)
  gate.skipped(0, 3, 6)
  gate.skipped(0, 9, 12)
  gate.skipped(8, 0, 5)
  assert.deepEqual(queued(), ['0 [0, 5)', '0 [5, 7)'])
  assert.equal(state(0).marks.get('consume'), 7)
  assert.equal(await gate.fetched(fetched(0, 7, 9)), true)
})

test('not ours: not taken', async () => {
  const { gate, queued } = openGate()
  gate.assigned([0])
  assert.equal(await gate.fetched(fetched(1, 0, 5)), false)
  assert.deepEqual(queued(), [])
})

test('revoked while waiting at the gate: not taken; the marks of the others are read', async () => {
  const shut = Promise.withResolvers<void>()
  const { gate, queued, lanes } = openGate({ shut: shut.promise })
  gate.assigned([0, 1])
  const taking = [0, 1].map((partition) => gate.fetched(fetched(partition, 0, 5)))
  gate.assigned([1])
  shut.resolve()
  assert.deepEqual(await Promise.all(taking), [false, true])
  assert.deepEqual(queued(), ['1 [0, 5)'])
  assert.deepEqual([...(lanes[0] as Lane).partitions.keys()], [1])
})

test('revoked and given back while waiting at the gate: the old batch waits no longer, the new assignment reads its own marks', async () => {
  const shut = Promise.withResolvers<void>()
  const { gate, queued } = openGate({ shut: shut.promise })
  gate.assigned([0])
  const old = gate.fetched(fetched(0, 0, 5))
  gate.assigned([])
  gate.assigned([0])
  const fresh = gate.fetched(fetched(0, 0, 6))
  shut.resolve()
  assert.deepEqual(await Promise.all([old, fresh]), [false, true])
  assert.deepEqual(queued(), ['0 [0, 6)'])
})

test('revoked while waiting for room: not taken, and the room is given back', async () => {
  const bytes = runBytes(fetched(0, 0, 5).runs[0] as RecordRun)
  const { gate, queued, budget } = openGate({ bytesMax: bytes + 1 })
  gate.assigned([0, 1])
  assert.equal(await gate.fetched(fetched(0, 0, 5)), true)
  const waiting = gate.fetched(fetched(1, 0, 5))
  for (let n = 0; n < 5; n++) await turn()
  assert.equal(budget.bytes, bytes)
  gate.assigned([0])
  budget.give(bytes)
  assert.equal(await waiting, false)
  assert.equal(budget.bytes, 0)
  assert.deepEqual(queued(), ['0 [0, 5)'])
})

test('moved on while waiting for room: the batch is not taken twice', async () => {
  const bytes = runBytes(fetched(0, 0, 5).runs[0] as RecordRun)
  const { gate, queued, budget } = openGate({ bytesMax: bytes + 1 })
  gate.assigned([0, 1])
  await gate.fetched(fetched(1, 0, 5))
  // The client was made to join anew while a handler waited, and fetched the same once more.
  const twice = [gate.fetched(fetched(0, 0, 5)), gate.fetched(fetched(0, 0, 5))]
  for (let n = 0; n < 5; n++) await turn()
  budget.give(bytes)
  for (let n = 0; n < 5; n++) await turn()
  budget.give(bytes)
  assert.deepEqual((await Promise.all(twice)).sort(), [false, true])
  assert.deepEqual(queued(), ['1 [0, 5)', '0 [0, 5)'])
})

test('what stays after a join goes on from where it is: the client is told so, and no marks are read', async () => {
  const { gate, seeks, told, asked } = openGate()
  gate.assigned([0, 1])
  await gate.fetched(fetched(0, 0, 8))
  const before = asked()
  gate.assigned([0, 2])
  assert.ok(seeks.includes('0 to 8'))
  assert.equal(told.at(-1), '+1 -1')
  assert.deepEqual(gate.partitions, [0, 2])
  await open(gate)
  assert.equal(asked(), before + 1, 'for the new one only')
  assert.equal(await gate.fetched(fetched(0, 8, 9)), true)
})

test('losing a partition drops what is queued of it and gives its bytes back', async () => {
  const { gate, queued, budget } = openGate()
  gate.assigned([0, 1])
  await gate.fetched(fetched(0, 0, 5))
  await gate.fetched(fetched(1, 0, 5))
  const both = budget.bytes
  gate.assigned([1])
  assert.deepEqual(queued(), ['1 [0, 5)'])
  assert.equal(budget.bytes, both / 2)
})

test('reset: all partitions of the lane, and only they, go back behind the gate and read their marks', async () => {
  const { gate, lanes, queued, seeks, state } = openGate({ lanes: 2 })
  gate.assigned([0, 1, 2, 3])
  for (const partition of [0, 1, 2, 3]) await gate.fetched(fetched(partition, 0, 5))
  const [first, second] = lanes as [Lane, Lane]
  const ofFirst = [...first.partitions.keys()]
  const ofSecond = [...second.partitions.keys()]
  const before = state(ofFirst[0] as number)
  seeks.length = 0
  gate.reset(first)
  assert.equal(before.revoked, true)
  assert.equal(first.waiting.length, 0)
  await open(gate)
  assert.deepEqual(seeks.sort(), ofFirst.map((partition) => `${partition} to 0`).sort())
  assert.deepEqual([...first.partitions.keys()].sort(), ofFirst)
  assert.deepEqual([...second.partitions.keys()], ofSecond)
  assert.notEqual(state(ofFirst[0] as number), before)
  assert.equal(await gate.fetched(fetched(ofFirst[0] as number, 0, 5)), true)
  assert.equal(queued().filter((one) => one.startsWith(`${ofFirst[0]} `)).length, 1)
})

test('marks that cannot be read: the process is told, and the batch is not taken', async () => {
  const broken = new FatalError('POSTGRES_DENIED', 'no', 'grant')
  const { gate, failures } = openGate({
    onAsked() {
      throw broken
    },
  })
  gate.assigned([0])
  await assert.rejects(gate.fetched(fetched(0, 50, 55)), broken)
  assert.deepEqual(failures, [broken])
})

test('retention overtook one partition: it stops, the ledger says why, the other goes on; set forward, it begins by itself', async () => {
  const { gate, lanes, held, told, failures, queued, database } = openGate({
    watermarks: { 0: { low: 50, high: 60 } },
    rows: { 0: { nextOffset: 10, publishedOffset: 10 } },
  })
  gate.assigned([0, 1])
  assert.deepEqual([await gate.fetched(fetched(0, 50, 55)), await gate.fetched(fetched(1, 0, 5))], [false, true])
  assert.deepEqual([told, [...held], failures], [['+2 -0', 'stopped 0 RETENTION_OVERTOOK'], [0], []])
  assert.deepEqual(
    gate.stopped.map(({ partition, code }) => [partition, code]),
    [[0, 'RETENTION_OVERTOOK']],
  )
  assert.match(gate.stopped[0]?.error.remedy ?? '', /millrace offsets set .*--partition 0 --to earliest/)
  const row = () => database.ledger.get('tests/t/0') as MemoryLedgerRow
  assert.equal(row().stopped?.code, 'RETENTION_OVERTOOK')
  // Looked at, given out anew, started over: it stays where it is, and is told once.
  await gate.survey()
  gate.assigned([0, 1])
  gate.reset(lanes[0] as Lane)
  await open(gate)
  assert.deepEqual([told.filter((one) => one.startsWith('stopped')).length, [...held]], [1, [0]])
  assert.equal(await gate.fetched(fetched(0, 50, 55)), false)
  database.ledger.set('tests/t/0', { ...row(), nextOffset: 52, publishedOffset: 52 })
  await gate.survey()
  assert.deepEqual([told.at(-1), [...held], row().stopped], ['resumed 0 from 52', [], null])
  assert.equal(await gate.fetched(fetched(0, 52, 55)), true)
  assert.ok(queued().includes('0 [52, 55)'))
})

test('a truncated log that has grown beyond the ledger since is still a truncated log', async () => {
  const first = openGate({ rows: { 0: { nextOffset: 100, publishedOffset: 100 } } })
  first.kafka.set(0, { low: 0, high: 40 })
  first.gate.assigned([0])
  await open(first.gate)
  assert.equal(first.told.at(-1), 'stopped 0 TOPIC_TRUNCATED')
  first.kafka.set(0, { low: 0, high: 500 })
  await first.gate.survey()
  assert.equal(first.gate.stopped.length, 1)
  const row = first.database.ledger.get('tests/t/0') as MemoryLedgerRow
  const second = openGate({ rows: { 0: row } })
  second.gate.assigned([0])
  await open(second.gate)
  assert.equal(second.told.at(-1), 'stopped 0 TOPIC_TRUNCATED')
})

test('a partition that comes to a stop while a batch of it waits for room: the batch is not taken', async () => {
  const { gate, kafka, budget, told } = openGate({ rows: { 3: { nextOffset: 5, publishedOffset: 5 } }, bytesMax: 100 })
  gate.assigned([3])
  await open(gate)
  await budget.take(100)
  const waiting = gate.fetched(fetched(3, 5, 9))
  await turn()
  // Retention overtakes us; two surveys agree.
  kafka.set(3, { low: 8, high: 1000 })
  await gate.survey()
  await gate.survey()
  assert.deepEqual(told, ['+1 -0', 'stopped 3 RETENTION_OVERTOOK'])
  budget.give(100)
  assert.equal(await waiting, false)
  assert.equal(budget.bytes, 0)
})

test('two batches that wait at the gate from beyond where the partition starts: neither is a gap', async () => {
  // A rebalance while the marks are read: the client fetches the same again, from an offset of the group that lies.
  const shut = Promise.withResolvers<void>()
  const { gate, queued, asked } = openGate({ rows: { 3: { nextOffset: 5, publishedOffset: 5 } }, shut: shut.promise })
  gate.assigned([3])
  const early = [gate.fetched(fetched(3, 20, 30)), gate.fetched(fetched(3, 20, 30))]
  shut.resolve()
  assert.deepEqual(await Promise.all(early), [false, false])
  assert.deepEqual(queued(), [])
  assert.equal(asked(), 1)
  assert.equal(await gate.fetched(fetched(3, 5, 9)), true)
  assert.deepEqual(queued(), ['3 [5, 9)'])
})

test('a ledger that goes back while nothing comes in is noticed, and its lane starts over', async () => {
  const { gate, lanes, database, told, queued } = openGate({ rows: { 3: { nextOffset: 7, publishedOffset: 7 } } })
  gate.assigned([3])
  await open(gate)
  await gate.survey()
  assert.deepEqual(told, ['+1 -0'])
  // A failover to a replica that was behind.
  const row = database.ledger.get('tests/t/3') as MemoryLedgerRow
  database.ledger.set('tests/t/3', { ...row, nextOffset: 5, publishedOffset: 5 })
  await gate.survey()
  assert.deepEqual(told, ['+1 -0', 'lane 0: partition 3: the ledger has gone back from 7 to 5'])
  gate.reset(lanes[0] as Lane)
  await open(gate)
  assert.equal(await gate.fetched(fetched(3, 5, 9)), true)
  assert.deepEqual(queued(), ['3 [5, 9)'])
})

test('a log that falls behind us while nothing comes in: two surveys, since one answer may be old', async () => {
  const { gate, kafka, told } = openGate()
  gate.assigned([0])
  await gate.fetched(fetched(0, 0, 10))
  kafka.set(0, { low: 0, high: 5 })
  await gate.survey()
  await gate.fetched(fetched(0, 10, 20))
  await gate.survey()
  assert.deepEqual(gate.stopped, [], 'it has moved between them')
  await gate.survey()
  assert.equal(told.at(-1), 'stopped 0 TOPIC_TRUNCATED')
})

test('a topic made anew: told by its id, even when the new log has outgrown the ledger; a ledger without an id takes it up', async () => {
  const { gate, kafka, told, database } = openGate({ rows: { 0: { nextOffset: 10, publishedOffset: 10 } } })
  kafka.set(0, { low: 0, high: 1000, topicId: 'old' })
  kafka.set(1, { low: 0, high: 1000, topicId: 'old' })
  gate.assigned([0, 1])
  await open(gate)
  assert.equal(database.ledger.get('tests/t/0')?.topicId, 'old')
  await gate.fetched(fetched(0, 10, 20))
  for (const partition of [0, 1]) kafka.set(partition, { low: 0, high: 5000, topicId: 'new' })
  await gate.survey()
  await gate.survey()
  assert.ok(told.includes('stopped 0 TOPIC_RECREATED'))
  const again = openGate({ rows: { 0: { nextOffset: 20, topicId: 'old' }, 1: { topicId: 'old' } } })
  for (const partition of [0, 1]) again.kafka.set(partition, { low: 0, high: 5000, topicId: 'new' })
  again.gate.assigned([0, 1])
  await open(again.gate)
  assert.deepEqual(again.told, ['+2 -0', 'stopped 0 TOPIC_RECREATED'], 'where nothing was stored, nothing is lost')
  assert.equal(again.database.ledger.get('tests/t/1')?.topicId, 'new')
})

test('partitions are spread evenly over the lanes, whichever the group hands out', async () => {
  const some = fc.uniqueArray(fc.nat(19), { maxLength: 20 })
  await fc.assert(
    fc.asyncProperty(some, fc.integer({ min: 1, max: 5 }), async (partitions, count) => {
      const { gate, lanes } = openGate({ lanes: count })
      gate.assigned(partitions)
      await open(gate)
      const loads = lanes.map((lane) => lane.partitions.size)
      assert.ok(Math.max(...loads) - Math.min(...loads) <= 1, `${loads}`)
      assert.equal(
        loads.reduce((sum, load) => sum + load, 0),
        partitions.length,
      )
    }),
  )
})

test('with every second partition, each lane has its half', async () => {
  const { gate, lanes } = openGate({ lanes: 2 })
  gate.assigned([1, 3, 5, 7, 9, 11])
  await open(gate)
  assert.deepEqual(
    lanes.map(({ partitions }) => partitions.size),
    [3, 3],
  )
  // One goes, two come: the emptier lane takes first.
  gate.assigned([3, 5, 7, 9, 11, 13, 15])
  await open(gate)
  assert.deepEqual(lanes.map(({ partitions }) => partitions.size).sort(), [3, 4])
})

// --- chunks -------------------------------------------------------------------------------------------------------------------------------------

const runs = fc
  .tuple(
    fc.nat(100),
    fc.array(fc.record({ gap: fc.nat(4), count: fc.integer({ min: 1, max: 700 }) }), { maxLength: 8 }),
  )
  .map(([start, all]) => {
    let next = start
    const made = all.map(({ gap, count }): RecordRun => {
      const baseOffset = next + gap
      next = baseOffset + count
      const bytes = new Uint8Array(count)
      return {
        bytes,
        codec: 0,
        baseOffset,
        lastOffset: next - 1,
        count,
        baseTimestampMs: 0,
        maxTimestampMs: 0,
        appendTime: false,
      }
    })
    return { start, made, end: next }
  })

test('chunks cover the range without gap or overlap, are cut at the ledger, and each has every run that reaches into it', () => {
  fc.assert(
    fc.property(runs, fc.nat(5), fc.nat(4000), fc.nat(600), ({ start, made, end }, tail, mark, inside) => {
      // A broker hands out whole batches: the first may begin below what was asked for.
      const firstOffset = made.length > 0 ? Math.min(start + inside, (made[0] as RecordRun).lastOffset) : start
      const nextOffset = end + tail + (end + tail === firstOffset ? 1 : 0)
      const persistedOffset = start + mark
      const chunks = chunksOf(7, firstOffset, nextOffset, made, persistedOffset)
      let next = firstOffset
      for (const chunk of chunks) {
        assert.equal(chunk.firstOffset, next)
        assert.ok(chunk.nextOffset > chunk.firstOffset)
        next = chunk.nextOffset
        assert.equal(chunk.partition, 7)
        assert.equal(chunk.again, chunk.nextOffset <= persistedOffset)
        assert.ok(chunk.again || chunk.firstOffset >= persistedOffset, 'never both kinds in one')
        const reaching = made.filter((run) => run.baseOffset < chunk.nextOffset && run.lastOffset >= chunk.firstOffset)
        assert.deepEqual(chunk.runs, reaching)
        assert.ok(chunk.records <= chunk.nextOffset - chunk.firstOffset)
        const inRange = (run: RecordRun) =>
          Math.min(run.lastOffset + 1, chunk.nextOffset) - Math.max(run.baseOffset, chunk.firstOffset)
        assert.ok(chunk.records >= reaching.reduce((sum, run) => sum + inRange(run), 0), 'room for every record')
      }
      assert.equal(next, nextOffset)
    }),
    { numRuns: 2000 },
  )
})

test('whatever is cut, the bytes handed to a lane are the bytes taken from the bound', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 30 }),
      fc.integer({ min: 1, max: 30 }),
      fc.nat(60),
      async (one, other, mark) => {
        const { gate, budget, lanes } = openGate({ rows: { 0: { nextOffset: mark, publishedOffset: 0 } } })
        gate.assigned([0])
        const batch: Fetched = {
          ...fetched(0, 0, one + other),
          runs: [fetched(0, 0, one), fetched(0, one, one + other)].flatMap(({ runs }) => runs),
        }
        assert.equal(await gate.fetched(batch), true)
        const queued = (lanes[0] as Lane).waiting.reduce((sum, chunk: Chunk) => sum + chunk.bytes, 0)
        assert.equal(queued, budget.bytes)
        gate.assigned([])
        assert.equal(budget.bytes, 0)
      },
    ),
  )
})
