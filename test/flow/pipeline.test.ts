import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { Arrivals } from '../../src/core/arrivals.ts'
import { LostError, TransientError } from '../../src/core/errors.ts'
import { Marks } from '../../src/core/marks.ts'
import { RoomClock } from '../../src/core/stage.ts'
import { expel } from '../../src/flow/consume/memory.ts'
import { Lane, type PartitionState } from '../../src/flow/lane.ts'
import { flow, notedSince, type Observer, type Rooms } from '../../src/flow/pipeline.ts'
import { batchOf, chunkOf, type EventSpec, record } from './batches.ts'
import {
  assertLaw,
  assertPromise,
  type House,
  isCaughtUp,
  neverAway,
  openHouse,
  rangesOf,
  sleep,
  startProcess,
  until,
} from './house.ts'

const kinds = ['cloud', 'order', 'payment']
let made = 0
const some = (count: number): EventSpec[] =>
  Array.from({ length: count }, () => ({ id: `e${++made}`, type: `com.x.${kinds[made % kinds.length]}` }))

/** Holds the law whenever the world changes. */
function watch(house: House): void {
  const { commit } = house.database
  const { call } = house.streams
  const thenLook = (apply: () => void) => () => {
    apply()
    assertLaw(house)
  }
  house.database.commit = (apply) => commit(thenLook(apply))
  house.streams.call = (apply) => call(thenLook(apply))
}

test('everything produced is stored once, published once and in order, and settled; the law holds at every step', async () => {
  const house = openHouse()
  watch(house)
  for (let round = 0; round < 30; round++) {
    house.produce(round % 4, ...some(1 + (round % 9)), ...(round % 5 === 0 ? ['bad'] : []))
    if (round % 6 === 0) house.kafka.skip(round % 4, 2)
  }
  const steps: string[] = []
  const process = startProcess(house, {
    observe: {
      decoded: (batch) => steps.push(...rangesOf(batch).map((range) => `decoded ${range}`)),
      persisted: (batch) => steps.push(...rangesOf(batch).map((range) => `persisted ${range}`)),
      published: (batch) => steps.push(...rangesOf(batch).map((range) => `published ${range}`)),
    },
  })
  const law = setInterval(() => assertLaw(house, process))
  await until('all of it', () => isCaughtUp(house), process)
  house.produce(0, ...some(3))
  await until('what came later', () => isCaughtUp(house), process)
  clearInterval(law)
  await process.drain()
  assertPromise(house)
  assertLaw(house, process)
  for (const [partition, offset] of house.committed) assert.equal(offset, house.kafka.watermarks(partition).high)
  assert.equal(house.committed.size, 4)
  assert.equal(process.budget.bytes, 0)
  assert.equal(process.resets(), 0)
  // Each range passed each room once, in the order of the rooms, and without a gap.
  for (let partition = 0; partition < 4; partition++) {
    for (const room of ['decoded', 'persisted', 'published']) {
      const ranges = steps.filter((step) => step.startsWith(`${room} ${partition}:`))
      let next = '0'
      for (const range of ranges) {
        const [, first, end] = /\[(\d+), (\d+)\)/.exec(range) as RegExpExecArray
        assert.equal(first, next)
        next = end as string
      }
      assert.equal(Number(next), house.kafka.watermarks(partition).high)
    }
  }
  // After a drain the ledger knows all that was published.
  for (const row of house.database.ledger.values()) assert.equal(row.publishedOffset, row.nextOffset)
})

test('batches flow through the rooms at the same time, each room in its own order', async () => {
  const house = openHouse(1)
  for (let n = 0; n < 200; n++) house.produce(0, ...some(1))
  const under = { persist: 0, publish: 0, both: 0 }
  const during =
    <T>(room: 'persist' | 'publish', work: () => Promise<T>) =>
    async (): Promise<T> => {
      under[room]++
      assert.equal(under[room], 1, `two batches in ${room}`)
      if (under.persist + under.publish === 2) under.both++
      for (let n = 0; n < 3; n++) await turn()
      const result = await work()
      under[room]--
      return result
    }
  const process = startProcess(house, {
    lanes: 1,
    rowsMax: 10,
    persist: (plain) => ({
      ...plain,
      lane(index) {
        const lane = plain.lane(index)
        return { ...lane, persist: (...args) => during('persist', () => lane.persist(...args))() }
      },
    }),
    publish: (plain) => ({ ...plain, publish: (...args) => during('publish', () => plain.publish(...args))() }),
  })
  await until('all of it', () => isCaughtUp(house), process)
  await process.drain()
  assertPromise(house)
  assert.ok(under.both > 5, `${under.both} times two rooms worked at once`)
})

test('a busy world is waited for: the same batch again, in its order, and nothing twice', async () => {
  const house = openHouse()
  watch(house)
  let hiccups = 0
  const { commit } = house.database
  const { call } = house.streams
  const hiccup = (code: 'POSTGRES_BUSY' | 'REDIS_BUSY') => {
    if (hiccups++ % 3 !== 0) return
    throw new TransientError(code, 'busy')
  }
  house.database.commit = (apply) => {
    hiccup('POSTGRES_BUSY')
    return commit(apply)
  }
  house.streams.call = (apply) => {
    hiccup('REDIS_BUSY')
    return call(apply)
  }
  for (let n = 0; n < 40; n++) house.produce(n % 4, ...some(5))
  const retried = new Set<string>()
  const process = startProcess(house, { observe: { retrying: (room) => retried.add(room) } })
  await until('all of it', () => isCaughtUp(house), process)
  await process.drain()
  assertPromise(house)
  assert.deepEqual([...retried].sort(), ['persist', 'publish'])
})

test("answers to COMMIT get lost, and a producer's duplicates are among the records: one row, one entry", async () => {
  const house = openHouse()
  watch(house)
  const { commit } = house.database
  let commits = 0
  house.database.commit = async (apply) => {
    await commit(apply)
    if (commits++ % 2 === 0) throw new TransientError('POSTGRES_UNREACHABLE', 'the answer is lost')
  }
  for (let n = 0; n < 40; n++) {
    const events = some(5)
    house.produce(n % 4, ...events, ...(n % 3 === 0 ? events.slice(0, 2) : []))
    if (n % 5 === 0) house.produce((n + 1) % 4, ...events.slice(1, 3))
  }
  const process = startProcess(house)
  await until('all of it', () => isCaughtUp(house), process)
  await process.drain()
  assertPromise(house)
})

test('a lane that was fenced starts over behind the gate, and ends right', async () => {
  const house = openHouse(2)
  watch(house)
  house.produce(0, ...some(5))
  house.produce(1, ...some(5))
  // The first process sleeps in the middle of its commit, and is taken for dead.
  const held = Promise.withResolvers<void>()
  const asleep = Promise.withResolvers<void>()
  const { commit } = house.database
  let first = true
  house.database.commit = async (apply) => {
    if (first) {
      first = false
      asleep.resolve()
      await held.promise
    }
    return commit(apply)
  }
  const zombie = startProcess(house, {
    lanes: 1,
    trip: async (_, ask) => {
      await (first ? turn() : held.promise)
      return ask()
    },
  })
  await asleep.promise
  const group = house.kafka.group('tests')
  expel(group, group.members[0])
  const heir = startProcess(house, { lanes: 1 })
  await until('the heir', () => isCaughtUp(house), heir)
  // It wakes up, is fenced, and reads the marks again.
  held.resolve()
  await until('the zombie to notice', () => zombie.resets() === 1, zombie, heir)
  house.produce(0, ...some(3))
  house.produce(1, ...some(3))
  await until('the rest', () => isCaughtUp(house), zombie, heir)
  await Promise.all([zombie.drain(), heir.drain()])
  assertPromise(house)
})

// --- Redis forgets ------------------------------------------------------------------------------------------------------------------------------

function forget(house: House, key: string, behind: number): void {
  const stream = house.streams.streams.get(key)
  if (stream === undefined) return
  if (behind === 0) house.streams.streams.delete(key)
  else {
    stream.entries.splice(0, stream.entries.length, ...stream.entries.filter(({ id }) => id <= behind))
    stream.lastId = behind
  }
}

test('a stream is gone: noticed by the next entry, and filled in again under the same ids', async () => {
  const house = openHouse(2)
  for (let n = 0; n < 20; n++) house.produce(n % 2, ...some(6))
  const process = startProcess(house)
  await until('all of it', () => isCaughtUp(house), process)
  forget(house, 'events:order:{0}', 0)
  forget(house, 'events:cloud:{1}', 30)
  house.produce(0, ...some(6))
  house.produce(1, ...some(6))
  await until('the refill', () => isCaughtUp(house), process)
  assertPromise(house)
  assert.ok(process.resets() > 0)
  assert.match(process.refills.join('; '), /events:order:\{0\} 0 of \d+, from 0/)
  await process.drain()
  assertPromise(house)
})

test('a stream whose next entry is far away: compared, its loss is noticed and mended without one', async () => {
  const house = openHouse(2)
  for (let n = 0; n < 20; n++) house.produce(n % 2, ...some(6))
  const process = startProcess(house)
  await until('all of it', () => isCaughtUp(house), process)
  await process.compareStreams()
  for (let n = 0; n < 20; n++) await turn()
  assert.equal(process.resets(), 0, 'nothing was lost')
  forget(house, 'events:order:{0}', 0)
  await process.compareStreams()
  await until('the refill', () => isCaughtUp(house), process)
  assert.equal(process.resets(), 1, 'the other lane goes on undisturbed')
  await process.drain()
  assertPromise(house)
})

test('a stream was lost while nobody looked: the next process fills it in, also from the ledger alone', async () => {
  const house = openHouse(2)
  for (let n = 0; n < 20; n++) house.produce(n % 2, ...some(6))
  const first = startProcess(house)
  await until('all of it', () => isCaughtUp(house), first)
  await first.drain()
  forget(house, 'events:order:{0}', 0)
  forget(house, 'events:payment:{1}', 20)
  const next = startProcess(house)
  await until('the refill', () => isCaughtUp(house), next)
  await next.drain()
  assertPromise(house)
})

test('told to stop at a lost stream, its partition stops and says so, and goes on when the stream is back; the others never stop', async () => {
  const house = openHouse(2)
  house.produce(0, ...some(9))
  const first = startProcess(house)
  await until('all of it', () => isCaughtUp(house), first)
  await first.drain()
  const before = structuredClone(house.streams.streams.get('events:order:{0}'))
  forget(house, 'events:order:{0}', 0)
  const next = startProcess(house, { streamLost: 'stop' })
  await until('the stop', () => next.stops.length > 0, next)
  house.produce(0, ...some(9))
  house.produce(1, ...some(9))
  await until('the other one', () => house.database.ledger.get('tests/cloud-events/1')?.nextOffset === 9, next)
  await next.assignment.survey()
  assert.equal(house.database.ledger.get('tests/cloud-events/0')?.nextOffset, 9)
  assert.equal(house.database.ledger.get('tests/cloud-events/0')?.stopped?.code, 'STREAM_LOST')
  house.streams.streams.set('events:order:{0}', before as NonNullable<typeof before>)
  await next.assignment.survey()
  await until('all of it', () => isCaughtUp(house), next)
  assert.deepEqual(next.stops, ['0: STREAM_LOST', '0: resumed from 9'])
  assert.equal(house.database.ledger.get('tests/cloud-events/0')?.stopped, null)
  await next.drain()
  assertPromise(house)
})

test('killed in the middle of a refill, with new records on their way: the next process goes on with the refill', async () => {
  const house = openHouse(1)
  for (let n = 0; n < 10; n++) house.produce(0, ...some(6))
  const first = startProcess(house, { lanes: 1 })
  await until('all of it', () => isCaughtUp(house), first)
  await first.drain()
  for (const key of [...house.streams.streams.keys()]) forget(house, key, 0)
  house.produce(0, ...some(6))

  // Redis is slow with the last batch of the refill; the next one, of new records, is stored meanwhile.
  const slow = Promise.withResolvers<void>()
  const second = startProcess(house, {
    lanes: 1,
    rowsMax: 20,
    publish: (plain) => ({
      ...plain,
      async publish(...args) {
        if (args[0].again && args[0].slices[0]?.nextOffset === 60) await slow.promise
        return plain.publish(...args)
      },
    }),
  })
  await until('the new records', () => house.database.rows.size === 66, second)
  const killed = second.kill()
  slow.resolve()
  await killed
  assert.ok(
    [...house.streams.streams.values()].some(({ entries }) => entries.length > 0),
    'the refill was half done',
  )

  const third = startProcess(house)
  await until('the rest of it', () => isCaughtUp(house), third)
  await third.drain()
  assertPromise(house)
})

// --- the hallway by itself ----------------------------------------------------------------------------------------------------------------------

const quiet: Observer = {
  get clocks() {
    const clock = () => new RoomClock(() => 0)
    return { decode: clock(), persist: clock(), publish: clock() }
  },
  decoded() {},
  storing() {},
  persisted() {},
  published() {},
  retrying() {},
}
const backoff = { minMs: 0, maxMs: 0, random: () => 0, sleep }

function oneLane(): { lane: Lane; state: PartitionState } {
  const lane = new Lane(0, { rowsMax: 1, bytesMax: 1_000_000, fewRecords: 0 }, () => {})
  const state: PartitionState = {
    partition: 0,
    marks: new Marks(0, 0),
    streams: new Map(),
    noted: new Map(),
    arrivals: new Arrivals(),
    highWatermark: 9,
    revoked: false,
  }
  lane.partitions.set(0, state)
  for (let offset = 0; offset < 4; offset++) {
    lane.push(chunkOf({ partition: 0, records: [record(offset, { id: `e${offset}` })] }))
    state.marks.advance('consume', offset + 1)
  }
  return { lane, state }
}

test('aborted from outside in any room: what comes out is the reason, and nothing is under way any more', async () => {
  for (const room of ['decode', 'persist', 'publish'] as const) {
    const { lane } = oneLane()
    const outer = new AbortController()
    let under = 0
    /** Notices the signal as a driver does: with an error of its own, or with the reason. */
    const until = async <T>(here: string, answer: T, signal: AbortSignal): Promise<T> => {
      if (here !== room) return answer
      under++
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
      await turn()
      under--
      throw signal.reason
    }
    const rooms: Rooms = {
      decode: {
        decode: async ({ slices: [slice] }, signal) =>
          until('decode', batchOf({ partition: 0, records: [record(slice?.firstOffset ?? 0, { id: 'x' })] }), signal),
        async close() {},
      },
      persist: {
        persist: (_, __, signal) => until('persist', { foreign: null, known: null, certain: true }, signal),
        async close() {},
      },
      publish: {
        publish: (_, __, ___, signal) => until('publish', 0, signal),
        last: async () => [],
        async probe() {},
        async close() {},
      },
      settle: { note() {}, async flush() {}, stop() {} },
      absence: neverAway(),
      admit() {},
    }
    const flowing = flow(lane, rooms, backoff, quiet, outer.signal)
    for (let n = 0; n < 10; n++) await turn()
    assert.ok(under > 0, room)
    outer.abort(new LostError('STREAM_LOST', 'gone'))
    await assert.rejects(flowing, (error: unknown) => error instanceof LostError && error.code === 'STREAM_LOST')
    assert.equal(under, 0, room)
  }
})

test('aborted from outside while a room waits to try again: the reason, at once', async () => {
  const { lane } = oneLane()
  const outer = new AbortController()
  const rooms: Rooms = {
    decode: { decode: async () => batchOf({ partition: 0, records: [record(0, { id: 'x' })] }), async close() {} },
    persist: {
      async persist() {
        throw new TransientError('POSTGRES_UNREACHABLE', 'down')
      },
      async close() {},
    },
    publish: { publish: async () => 0, last: async () => [], async probe() {}, async close() {} },
    settle: { note() {}, async flush() {}, stop() {} },
    absence: neverAway(),
    admit() {},
  }
  const hour = { minMs: 3_600_000, maxMs: 3_600_000, random: () => 0, sleep }
  const flowing = flow(lane, rooms, hour, quiet, outer.signal)
  for (let n = 0; n < 10; n++) await turn()
  outer.abort(new LostError('STREAM_LOST', 'gone'))
  await assert.rejects(flowing, (error: unknown) => error instanceof LostError)
})

test('what the ledger hears of the streams never goes back: a refill is not done before it has caught up', () => {
  const { state } = oneLane()
  state.noted.set('a', 100).set('b', 50)
  state.streams.set('a', 40).set('b', 70).set('c', 1)
  assert.deepEqual(notedSince(state).streams, { b: 70, c: 1 })
  state.streams.set('a', 101)
  assert.deepEqual(notedSince(state).streams, { a: 101, b: 70, c: 1 })
})
