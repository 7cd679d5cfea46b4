import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Chunk, packChunks } from '../../src/core/batch.ts'
import { FatalError } from '../../src/core/errors.ts'
import { RecordView, runOf } from '../../src/core/record.ts'
import { chunkOf, record } from '../flow/batches.ts'

interface Piece {
  /** Offsets that exist, as gaps before each. */
  readonly gaps: readonly number[]
  /** Offsets behind the last record that the piece covers, too. */
  readonly tail: number
}
const piece = fc.record({ gaps: fc.array(fc.nat(3), { maxLength: 4 }), tail: fc.nat(3) })

/** Chunks of several partitions, each partition's in order, all of them shuffled into each other. */
const chunks = fc
  .uniqueArray(fc.nat(9), { maxLength: 5 })
  .chain((partitions) =>
    fc.tuple(
      ...partitions.map((partition) =>
        fc
          .tuple(fc.nat(1000), fc.array(piece, { minLength: 1, maxLength: 4 }))
          .map(([start, pieces]) => chunksOf(partition, start, pieces)),
      ),
    ),
  )
  .chain((perPartition) => fc.infiniteStream(fc.nat()).map((stream) => interleave(perPartition, stream)))

function chunksOf(partition: number, start: number, pieces: readonly Piece[]): Chunk[] {
  let next = start
  return pieces.map(({ gaps, tail }) => {
    const firstOffset = next
    const runs = gaps.map((gap) => {
      const one = record(next + gap, `${partition}/${next + gap}`)
      next += gap + 1
      return runOf([one])
    })
    next += tail
    return { ...chunkOf({ partition, runs, firstOffset, nextOffset: next }), bytes: 10 }
  })
}

function interleave(perPartition: readonly (readonly Chunk[])[], choices: Iterator<number>): Chunk[] {
  const queues = perPartition.map((queue) => [...queue])
  const all: Chunk[] = []
  for (;;) {
    const left = queues.filter((queue) => queue.length > 0)
    if (left.length === 0) return all
    all.push((left[(choices.next().value as number) % left.length] as Chunk[]).shift() as Chunk)
  }
}

test('a slice per partition, in the order of partitions, covering exactly what its chunks cover; every record once and in order', () => {
  fc.assert(
    fc.property(chunks, (given) => {
      const packed = packChunks(given)
      const partitions = packed.slices.map(({ partition }) => partition)
      assert.deepEqual(
        partitions,
        [...new Set(given.map(({ partition }) => partition))].sort((a, b) => a - b),
      )
      assert.equal(packed.bytes, given.length * 10)
      const view = new RecordView()
      for (const slice of packed.slices) {
        const own = given.filter(({ partition }) => partition === slice.partition)
        assert.equal(slice.firstOffset, own[0]?.firstOffset)
        assert.equal(slice.nextOffset, own.at(-1)?.nextOffset)
        const expected = own.flatMap(({ runs }) => runs.map(({ baseOffset }) => baseOffset))
        assert.deepEqual(
          slice.runs.map((run) => {
            view.open(Buffer.from(packed.buffer, run.start, run.end - run.start), run)
            view.next()
            assert.equal(
              view.bytes.toString('utf8', view.valueStart, view.valueEnd),
              `${slice.partition}/${view.offset}`,
            )
            return view.offset
          }),
          expected,
        )
      }
      assert.equal(
        packed.records,
        given.reduce((sum, { records }) => sum + records, 0),
      )
    }),
    { numRuns: 300 },
  )
})

test('a gap between two chunks of a partition is a bug, and said with both sides', () => {
  const [first, , third] = chunksOf(4, 10, [
    { gaps: [0], tail: 0 },
    { gaps: [0], tail: 0 },
    { gaps: [0], tail: 0 },
  ]) as [Chunk, Chunk, Chunk]
  assert.throws(
    () => packChunks([first, third]),
    (error: unknown) => error instanceof FatalError && error.code === 'BUG' && /from 12 .* at 11/.test(error.message),
  )
})

test('the buffer is exact and stands alone, so that it can be transferred', () => {
  const [chunk] = chunksOf(0, 0, [{ gaps: [0, 0], tail: 0 }]) as [Chunk]
  const { buffer } = packChunks([chunk])
  const bytes = buffer.byteLength
  const moved = structuredClone(buffer, { transfer: [buffer] })
  assert.equal(moved.byteLength, bytes)
  assert.equal(buffer.byteLength, 0)
})
