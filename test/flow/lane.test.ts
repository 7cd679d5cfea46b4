import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { Arrivals } from '../../src/core/arrivals.ts'
import type { Chunk, Packed } from '../../src/core/batch.ts'
import { FatalError } from '../../src/core/errors.ts'
import { Marks } from '../../src/core/marks.ts'
import { Lane, type LaneBatch, type LaneLimits, type PartitionState } from '../../src/flow/lane.ts'
import { chunkOf, record } from './batches.ts'

const never = new AbortController().signal
const wide: LaneLimits = { rowsMax: 1000, bytesMax: 1_000_000, fewRecords: 0 }

const stateOf = (partition: number): PartitionState => ({
  partition,
  marks: new Marks(partition, 0),
  streams: new Map(),
  noted: new Map(),
  arrivals: new Arrivals(),
  highWatermark: 0,
  revoked: false,
})

/** `count` records from `firstOffset` on, one offset apart, and `tail` offsets behind them that hold none. */
function chunk(
  partition: number,
  firstOffset: number,
  count: number,
  over: Partial<Chunk> & { tail?: number } = {},
): Chunk {
  const { tail = 0, ...rest } = over
  const records = Array.from({ length: count }, (_, n) => record(firstOffset + n, null))
  const nextOffset = firstOffset + count + tail
  return { ...chunkOf({ partition, records, firstOffset, nextOffset }), bytes: count * 100, ...rest }
}

function openLane(limits: LaneLimits = wide, partitions: readonly number[] = [0, 1, 2, 3]) {
  const given: number[] = []
  const lane = new Lane(0, limits, (bytes) => given.push(bytes))
  for (const partition of partitions) lane.partitions.set(partition, stateOf(partition))
  return { lane, returned: () => given.reduce((sum, bytes) => sum + bytes, 0) }
}

async function drain(lane: Lane): Promise<LaneBatch[]> {
  lane.end()
  const batches: LaneBatch[] = []
  for await (const batch of lane.batches(never)) {
    batches.push(batch)
    lane.stored()
  }
  return batches
}

const recordsIn = (runs: Packed['slices'][number]['runs']) => runs.reduce((sum, { count }) => sum + count, 0)
const shape = ({ packed }: LaneBatch) =>
  packed.slices.map(({ partition, firstOffset, nextOffset, runs }) => [
    partition,
    firstOffset,
    nextOffset,
    recordsIn(runs),
  ])

test('whoever pulls takes all that has queued up, of all partitions', async () => {
  const { lane } = openLane()
  for (const one of [chunk(2, 0, 3), chunk(0, 5, 2), chunk(2, 3, 1), chunk(1, 0, 0, { tail: 4 })]) lane.push(one)
  assert.deepEqual((await drain(lane)).map(shape), [
    [
      [0, 5, 7, 2],
      [1, 0, 4, 0],
      [2, 0, 4, 4],
    ],
  ])
})

test('with nothing queued it waits, and one chunk is enough to go on: no timer, no linger', async () => {
  const { lane } = openLane()
  const batches = lane.batches(never)
  const first = batches.next()
  await turn()
  lane.push(chunk(0, 0, 1))
  assert.deepEqual(shape((await first).value as LaneBatch), [[0, 0, 1, 1]])
  const second = batches.next()
  lane.end()
  assert.deepEqual(await second, { done: true, value: undefined })
})

test('few records wait until the batch before them is stored, many do not', async () => {
  const { lane } = openLane({ ...wide, fewRecords: 4 })
  const batches = lane.batches(never)
  const taken: unknown[] = []
  const pull = () => batches.next().then(({ value }) => taken.push(shape(value as LaneBatch)))
  lane.push(chunk(0, 0, 1))
  await pull()
  lane.push(chunk(0, 1, 4))
  const second = pull()
  await turn()
  assert.equal(taken.length, 1, 'a batch of them would only wait, and the next one for it')
  lane.push(chunk(0, 5, 1))
  await second
  lane.push(chunk(0, 6, 1))
  const third = pull()
  lane.stored()
  await turn()
  assert.equal(taken.length, 2, 'one of two is stored')
  lane.push(chunk(1, 0, 2))
  lane.drop(1)
  lane.stored()
  await third
  assert.deepEqual(taken, [[[0, 0, 1, 1]], [[0, 1, 6, 5]], [[0, 6, 7, 1]]])
})

test('a lane that starts over waits for nothing of what went before', async () => {
  const { lane } = openLane({ ...wide, fewRecords: 4 })
  lane.push(chunk(0, 0, 1))
  await lane.batches(never).next()
  lane.push(chunk(0, 1, 1))
  lane.clear()
  lane.partitions.set(1, stateOf(1))
  lane.push(chunk(1, 0, 1))
  assert.deepEqual((await drain(lane)).map(shape), [[[1, 0, 1, 1]]])
})

test('records that come by again never share a batch with new ones', async () => {
  const { lane } = openLane()
  lane.push(chunk(0, 0, 2, { again: true }))
  lane.push(chunk(1, 0, 2, { again: true }))
  lane.push(chunk(0, 2, 2))
  lane.push(chunk(2, 0, 2, { again: true }))
  const batches = await drain(lane)
  assert.deepEqual(
    batches.map(({ packed }) => packed.again),
    [true, false, true],
  )
  assert.deepEqual(
    batches.flatMap(shape).map(([partition]) => partition),
    [0, 1, 0, 2],
  )
})

const queue = fc.array(
  fc.record({
    partition: fc.nat(3),
    count: fc.nat(12),
    tail: fc.nat(3),
    recordBytes: fc.integer({ min: 1, max: 500 }),
    again: fc.boolean(),
  }),
  { maxLength: 12 },
)

test('for any queue: caps hold, kinds never mix, order is kept, every offset and byte leaves exactly once', async () => {
  const limits = fc.record({
    rowsMax: fc.integer({ min: 1, max: 20 }),
    bytesMax: fc.integer({ min: 1, max: 3000 }),
    fewRecords: fc.nat(40),
  })
  await fc.assert(
    fc.asyncProperty(queue, limits, async (entries, limits) => {
      const { lane, returned } = openLane(limits)
      const next = new Map<number, number>()
      const pushed: Chunk[] = []
      for (const { partition, count, tail, recordBytes, again } of entries) {
        if (count + tail === 0) continue
        const first = next.get(partition) ?? 0
        const one = chunk(partition, first, count, { tail, again, bytes: count * recordBytes })
        next.set(partition, one.nextOffset)
        pushed.push(one)
        lane.push(one)
      }
      const kinds = new Map(
        pushed.flatMap(({ partition, again, firstOffset, records }) =>
          Array.from({ length: records }, (_, n) => [`${partition}/${firstOffset + n}`, again]),
        ),
      )
      const covered = new Map<number, number>()
      let bytes = 0
      for (const batch of await drain(lane)) {
        const { packed, states } = batch
        // A chunk is taken whole: one that is beyond a cap by itself passes alone.
        const alone = pushed.some((one) => one.records === packed.records && one.bytes === packed.bytes)
        assert.ok(packed.records <= limits.rowsMax || alone, `${packed.records} rows of ${limits.rowsMax}`)
        assert.ok(packed.bytes <= limits.bytesMax || alone, `${packed.bytes} bytes of ${limits.bytesMax}`)
        assert.deepEqual(
          states.map(({ partition }) => partition),
          packed.slices.map(({ partition }) => partition),
        )
        for (const { partition, firstOffset, nextOffset, runs } of packed.slices) {
          assert.equal(firstOffset, covered.get(partition) ?? 0, 'goes on where the last one ended')
          covered.set(partition, nextOffset)
          for (const { baseOffset, count } of runs) {
            for (let n = 0; n < count; n++) {
              assert.equal(kinds.get(`${partition}/${baseOffset + n}`), packed.again)
              kinds.delete(`${partition}/${baseOffset + n}`)
            }
          }
        }
        bytes += packed.bytes
        lane.finished(packed)
      }
      assert.deepEqual(covered, next)
      assert.equal(kinds.size, 0)
      assert.equal(
        bytes,
        pushed.reduce((sum, one) => sum + one.bytes, 0),
      )
      assert.equal(returned(), bytes)
    }),
    { numRuns: 400 },
  )
})

test('dropping a partition: its queued chunks go, their bytes come back, its state says so; the others stay', async () => {
  const { lane, returned } = openLane()
  const state = lane.partitions.get(1) as PartitionState
  lane.push(chunk(1, 0, 3))
  lane.push(chunk(0, 0, 2))
  lane.drop(1)
  assert.equal(state.revoked, true)
  assert.equal(returned(), 300)
  assert.deepEqual((await drain(lane)).map(shape), [[[0, 0, 2, 2]]])
})

test('clear gives back what is queued and what was under way, once', async () => {
  const { lane, returned } = openLane()
  lane.push(chunk(0, 0, 2))
  await lane.batches(never).next()
  lane.push(chunk(1, 0, 3))
  lane.clear()
  assert.equal(returned(), 500)
  lane.clear()
  assert.equal(returned(), 500)
  assert.equal(lane.partitions.size, 0)
  assert.equal(lane.waiting.length, 0)
})

test('end: what is queued is still served, then it ends; a later call ends at once', async () => {
  const { lane } = openLane()
  lane.push(chunk(0, 0, 2))
  assert.equal((await drain(lane)).length, 1)
  assert.equal((await drain(lane)).length, 0)
})

test("abort ends the wait with the signal's reason, also when it came before the call", async () => {
  const stop = new AbortController()
  const { lane } = openLane()
  const waiting = lane.batches(stop.signal).next()
  await turn()
  stop.abort(new Error('fenced'))
  await assert.rejects(waiting, { message: 'fenced' })
  lane.push(chunk(0, 0, 2))
  await assert.rejects(lane.batches(stop.signal).next(), { message: 'fenced' })
  assert.equal(lane.waiting.length, 1, 'nothing was taken')
})

test('a chunk of a partition that the lane does not serve is a bug', async () => {
  const { lane } = openLane(wide, [0])
  lane.push(chunk(5, 0, 1))
  await assert.rejects(
    lane.batches(never).next(),
    (error: unknown) => error instanceof FatalError && error.code === 'BUG' && /partition 5/.test(error.message),
  )
})

test('waiting leaves nothing behind: an idle lane that is woken a hundred thousand times holds no more than before', async () => {
  const { lane } = openLane()
  const batches = lane.batches(new AbortController().signal)
  const wake = async (from: number, times: number) => {
    for (let n = from; n < from + times; n++) {
      const next = batches.next()
      await Promise.resolve()
      lane.push(chunk(0, n, 0, { tail: 1 }))
      lane.finished(((await next).value as LaneBatch).packed)
      lane.stored()
    }
  }
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const held = () => {
    collect()
    return process.memoryUsage().heapUsed
  }
  await wake(0, 10_000)
  const before = held()
  await wake(10_000, 100_000)
  const grown = (held() - before) / 100_000
  assert.ok(grown < 20, `each wait left ${grown.toFixed(0)} bytes behind`)
})
