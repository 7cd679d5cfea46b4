import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Arrivals } from '../../src/core/arrivals.ts'
import { TransientError } from '../../src/core/errors.ts'
import { Marks } from '../../src/core/marks.ts'
import type { PartitionState } from '../../src/flow/lane.ts'
import type { Settle } from '../../src/flow/settle/port.ts'
import { openSettler } from '../../src/flow/settle/settler.ts'

const intervalMs = 5

function published(partition: number, nextOffset: number): PartitionState {
  const marks = new Marks(partition, 0)
  const state = {
    partition,
    marks,
    streams: new Map(),
    noted: new Map(),
    arrivals: new Arrivals(),
    highWatermark: 0,
    revoked: false,
  }
  publishTo(state, nextOffset)
  return state
}

function publishTo({ marks }: PartitionState, nextOffset: number): void {
  for (const room of ['consume', 'decode', 'persist', 'publish'] as const) marks.advance(room, nextOffset)
}

/** Writes down every commit, and answers when it is told to. */
function openRecorder(answer: () => void | Promise<void> = () => {}) {
  const commits: [number, number][][] = []
  let under = 0
  const failures: unknown[] = []
  let settled = 0
  let happened = Promise.withResolvers<void>()
  const settle: Settle = {
    async commit(nextOffsets) {
      assert.equal(++under, 1, 'one commit at a time')
      commits.push([...nextOffsets])
      try {
        await answer()
      } finally {
        under--
        happened.resolve()
        happened = Promise.withResolvers()
      }
    },
  }
  const settler = openSettler(
    settle,
    { intervalMs, sleep: (ms, signal) => sleep(ms, undefined, { signal }) },
    {
      committed: (records) => {
        settled += records
      },
      failed: (error) => failures.push(error),
    },
  )
  return { settler, commits, failures, settled: () => settled, next: () => happened.promise }
}

test('all that was published since goes out in one commit; the mark follows, and the records are counted', async () => {
  const { settler, commits, settled, next } = openRecorder()
  const [one, two] = [published(1, 5), published(2, 7)]
  settler.note(one)
  settler.note(two)
  settler.note(one)
  publishTo(one, 9)
  await next()
  await sleep(0)
  assert.deepEqual(commits, [
    [
      [1, 9],
      [2, 7],
    ],
  ])
  assert.deepEqual([one.marks.get('settle'), two.marks.get('settle'), settled()], [9, 7, 16])
  settler.stop()
})

test('what is published while a commit is under way goes out with the next one, and the mark never says more than was committed', async () => {
  const slow = Promise.withResolvers<void>()
  let first = true
  const { settler, commits, next } = openRecorder(async () => {
    if (first) {
      first = false
      await slow.promise
    }
  })
  const one = published(1, 5)
  settler.note(one)
  while (commits.length === 0) await sleep(1)
  publishTo(one, 8)
  settler.note(one)
  assert.equal(one.marks.get('settle'), 0)
  slow.resolve()
  await next()
  await sleep(0)
  assert.equal(one.marks.get('settle'), 5)
  await next()
  assert.deepEqual(commits, [[[1, 5]], [[1, 8]]])
  settler.stop()
})

test('a commit that failed is late, nothing more: the next one carries the same and what came since', async () => {
  let down = true
  const { settler, commits, failures, next, settled } = openRecorder(() => {
    if (down) throw new TransientError('KAFKA_UNREACHABLE', 'down')
  })
  const one = published(1, 5)
  settler.note(one)
  await next()
  await sleep(0)
  assert.equal(failures.length, 1)
  assert.equal(one.marks.get('settle'), 0)
  publishTo(one, 6)
  down = false
  await next()
  await sleep(0)
  assert.deepEqual(commits.at(-1), [[1, 6]])
  assert.equal(settled(), 6)
  settler.stop()
})

test('a partition that was revoked is not settled any more', async () => {
  const { settler, commits, next } = openRecorder()
  const [one, two] = [published(1, 5), published(2, 7)]
  one.revoked = true
  settler.note(one)
  settler.note(two)
  await next()
  assert.deepEqual(commits, [[[2, 7]]])
  settler.stop()
})

test('flush: what is outstanding goes out now, also behind a commit that is under way', async () => {
  const { settler, commits, settled } = openRecorder()
  const one = published(1, 5)
  settler.note(one)
  await settler.flush()
  assert.deepEqual(commits, [[[1, 5]]])
  publishTo(one, 6)
  settler.note(one)
  await settler.flush()
  assert.equal(settled(), 6)
  await settler.flush()
  assert.equal(commits.length, 2, 'nothing outstanding, nothing to say')
  settler.stop()
})

test('stop: nothing more is committed', async () => {
  const { settler, commits } = openRecorder()
  settler.note(published(1, 5))
  settler.stop()
  await sleep(intervalMs * 3)
  assert.deepEqual(commits, [])
})
