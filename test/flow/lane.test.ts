import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import type { Chunk } from '../../src/core/batch.ts'
import { FatalError } from '../../src/core/errors.ts'
import { Marks } from '../../src/core/marks.ts'
import { RecordView } from '../../src/core/record.ts'
import { Lane, type LaneBatch, type LaneLimits, type PartitionState, splitChunk } from '../../src/flow/lane.ts'

const never = new AbortController().signal
const wide: LaneLimits = { rowsMax: 1000, bytesMax: 1_000_000 }

const stateOf = (partition: number): PartitionState => ({
  partition,
  marks: new Marks(partition, 0),
  streams: new Map(),
  noted: new Map(),
  pending: [],
  highWatermark: 0,
  lastTimestampMs: 0,
  revoked: false,
})

/** `count` records from `firstOffset` on, one offset apart, and `tail` offsets behind them that hold none. */
function chunk(partition: number, firstOffset: number, count: number, over: Partial<Chunk> & { tail?: number } = {}) {
  const { tail = 0, ...rest } = over
  const nextOffset = firstOffset + count + tail
  const records = Array.from({ length: count }, (_, n) => ({
    offset: String(firstOffset + n),
    timestamp: '0',
    key: null,
    value: null,
  }))
  return { partition, firstOffset, nextOffset, records, bytes: count * 100, highWatermark: 0, again: false, ...rest }
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
  for await (const batch of lane.batches(never)) batches.push(batch)
  return batches
}

const shape = ({ packed }: LaneBatch) =>
  packed.slices.map(({ partition, firstOffset, nextOffset, records }) => [partition, firstOffset, nextOffset, records])

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
  const limits = fc.record({ rowsMax: fc.integer({ min: 1, max: 20 }), bytesMax: fc.integer({ min: 1, max: 3000 }) })
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
        pushed.flatMap((one) => one.records.map(({ offset }) => [`${one.partition}/${offset}`, one.again])),
      )
      const covered = new Map<number, number>()
      let bytes = 0
      for (const batch of await drain(lane)) {
        const { packed, states } = batch
        assert.ok(packed.records <= limits.rowsMax, `${packed.records} rows of ${limits.rowsMax}`)
        // Bytes are shared out by the record: the last one taken may stick out.
        assert.ok(packed.bytes < limits.bytesMax + 501, `${packed.bytes} bytes of ${limits.bytesMax}`)
        assert.deepEqual(
          states.map(({ partition }) => partition),
          packed.slices.map(({ partition }) => partition),
        )
        const view = new RecordView(Buffer.from(packed.buffer))
        for (const slice of packed.slices) {
          assert.equal(slice.firstOffset, covered.get(slice.partition) ?? 0, 'goes on where the last one ended')
          covered.set(slice.partition, slice.nextOffset)
          for (let n = 0; n < slice.records; n++) {
            view.next(slice.firstOffset)
            assert.equal(kinds.get(`${slice.partition}/${view.offset}`), packed.again)
            kinds.delete(`${slice.partition}/${view.offset}`)
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

test('a cut chunk: both parts together are the whole, with every offset between them in one of them', () => {
  const gaps = fc.array(fc.nat(5), { minLength: 2, maxLength: 10 })
  fc.assert(
    fc.property(fc.nat(1000), gaps, fc.nat(), fc.nat(10_000), (firstOffset, gaps, pick, bytes) => {
      let offset = firstOffset
      const records = gaps.map((gap) => {
        const at = offset + gap
        offset = at + 1
        return { offset: String(at), timestamp: '0', key: null, value: null }
      })
      const whole: Chunk = { ...chunk(0, firstOffset, 0), records, nextOffset: offset + 3, bytes }
      const count = 1 + (pick % (records.length - 1))
      const [head, tail] = splitChunk(whole, count)
      assert.deepEqual([...head.records, ...tail.records], records)
      assert.equal(head.records.length, count)
      assert.equal(head.firstOffset, whole.firstOffset)
      assert.equal(head.nextOffset, tail.firstOffset)
      assert.equal(tail.nextOffset, whole.nextOffset)
      assert.equal(head.bytes + tail.bytes, bytes)
      for (const { offset } of head.records) assert.ok(Number(offset) < head.nextOffset)
      for (const { offset } of tail.records) assert.ok(Number(offset) >= tail.firstOffset)
    }),
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
