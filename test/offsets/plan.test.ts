import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { partitionsOf } from '../../src/offsets/command.ts'
import { goalsOf } from '../../src/offsets/decide.ts'
import { type FullRow, planSet } from '../../src/offsets/plan.ts'
import { type LedgerState, stateOf } from '../../src/offsets/read.ts'

const policy = { publishes: true, key: (family: string) => `${family}:{3}` }
const row = (over: Partial<FullRow> = {}): FullRow => ({
  partition: 3,
  startOffset: 10,
  nextOffset: 100,
  publishedOffset: 100,
  streams: new Map([['a', 100]]),
  stopped: null,
  topicId: 'T',
  passedOver: [],
  repeatedBelow: null,
  ...over,
})
const kafka = (low: number, high: number, topicId = 'T') => ({ low, high, topicId })
const held = (last: number) => new Map([['a', last]])

test('forward: what lies between is left out; what is not published yet still will be', () => {
  const all = planSet(row(), kafka(0, 200), 150, held(100), policy)
  assert.deepEqual([all.kind, all.skipped, all.after.publishedOffset], ['forward', 50, 150])
  assert.deepEqual(all.after.passedOver, [[100, 150]])
  const tail = planSet(row({ publishedOffset: 90 }), kafka(0, 200), 150, held(95), policy)
  assert.deepEqual([tail.after.publishedOffset, tail.after.nextOffset, tail.refusal], [90, 150, null])
  const more = planSet(all.after, kafka(0, 200), 170, held(100), policy)
  assert.deepEqual(more.after.passedOver, [[100, 170]])
})

test('back: read again; nothing that was left out before, once its stream went on', () => {
  const back = planSet(row(), kafka(0, 200), 40, held(100), policy)
  assert.deepEqual([back.kind, back.again, back.refusal], ['back', 60, null])
  assert.deepEqual([back.after.publishedOffset, back.after.repeatedBelow, back.after.startOffset], [40, 100, 10])
  const over = row({ passedOver: [[50, 60]] })
  assert.match(planSet(over, kafka(0, 200), 55, held(100), policy).refusal ?? '', /a:\{3\} went on: delete/)
  const filled = planSet(over, kafka(0, 200), 55, held(0), policy)
  assert.equal(filled.refusal, null, 'the stream is gone: it is filled in anew')
  assert.deepEqual(filled.after.passedOver, [[50, 55]])
  assert.match(planSet(row(), kafka(0, 200), 5, held(100), policy).refusal ?? '', /left out before/)
  assert.equal(planSet(row(), kafka(0, 200), 5, held(100), { ...policy, publishes: false }).refusal, null)
})

test('another log: begun anew, and not while its ids are taken', () => {
  const truncated = { stopped: { code: 'TOPIC_TRUNCATED' as const, reason: '', at: '' } }
  for (const [over, marks] of [
    [{}, kafka(0, 200, 'U')],
    [{}, kafka(0, 60)],
    [truncated, kafka(0, 200)],
  ] as const) {
    const taken = planSet(row(over), marks, 50, held(100), policy)
    assert.deepEqual([taken.kind, /DEL/.test(taken.refusal ?? '')], ['anew', true])
    const free = planSet(row(over), marks, 50, held(50), policy)
    assert.equal(free.refusal, null)
    const { startOffset, nextOffset, publishedOffset, streams, topicId } = free.after
    assert.deepEqual([startOffset, nextOffset, publishedOffset, streams.size, topicId], [50, 50, 50, 0, marks.topicId])
  }
})

test('a lost stream is accepted where the ledger stands', () => {
  const stopped = { code: 'STREAM_LOST' as const, reason: '', at: '' }
  const { kind, after } = planSet(row({ stopped, publishedOffset: 80 }), kafka(0, 200), 100, held(20), policy)
  assert.deepEqual([kind, after.publishedOffset, after.streams.size, after.stopped], ['same', 100, 0, null])
})

test('whatever is set: the law of the marks holds, what was left out is known, what Kafka does not hold is refused', () => {
  const offset = fc.nat(300)
  const worlds = fc.record({
    start: offset,
    stored: offset,
    published: fc.option(fc.nat(600)),
    goals: fc.array(fc.tuple(offset, offset, offset), { minLength: 1, maxLength: 6 }),
  })
  fc.assert(
    fc.property(worlds, ({ start, stored, published, goals }) => {
      const next = start + stored
      const publishedOffset = published === null ? null : Math.min(Math.max(published, start), next)
      let at = row({ startOffset: start, nextOffset: next, publishedOffset, streams: new Map() })
      const isLeftOut = new Set<number>()
      for (const [goal, low, more] of goals) {
        const marks = kafka(low, Math.max(low, at.nextOffset) + more)
        const plan = planSet(at, marks, goal, new Map(), policy)
        assert.equal(plan.refusal !== null, goal < marks.low || goal > marks.high)
        if (plan.refusal !== null) continue
        for (let one = at.nextOffset; one < goal; one++) isLeftOut.add(one)
        for (const one of isLeftOut) if (one >= goal) isLeftOut.delete(one)
        const before = at
        at = plan.after
        assert.equal(at.nextOffset, goal)
        assert.ok(at.startOffset <= at.nextOffset && (at.publishedOffset ?? 0) <= at.nextOffset)
        assert.ok(at.startOffset <= before.startOffset, 'what was proved before stays so')
        // Stored and not published yet: still to be published.
        const waited = before.publishedOffset ?? before.startOffset
        if (plan.kind === 'forward' && waited < before.nextOffset) {
          assert.equal(at.publishedOffset ?? at.startOffset, waited)
        }
        const left = at.passedOver.flatMap(([from, to]) => Array.from({ length: to - from }, (_, n) => from + n))
        assert.deepEqual(left.toSorted(ascending), [...isLeftOut].sort(ascending))
      }
    }),
    { numRuns: 1000 },
  )
})
const ascending = (a: number, b: number) => a - b

test('where to, and which: as the command line has it', async () => {
  const rows = [{ partition: 0 }, { partition: 1 }] as LedgerState[]
  const marks = new Map([
    [0, kafka(5, 9)],
    [1, kafka(0, 7)],
  ])
  const at = async (timeMs: number) => new Map([[0, timeMs % 1000]])
  const goals = async (to: string) => [...(await goalsOf(to, rows, { marks, at })).values()]
  assert.deepEqual(await goals('earliest'), [5, 0])
  assert.deepEqual(await goals('latest'), [9, 7])
  assert.deepEqual(await goals('6'), [6, 6])
  assert.deepEqual(await goals('2026-11-21T09:30:00.250Z'), [250])
  for (const bad of ['', '-1', 'yesterday', '2026-11-21', '2026-11-21T09:30:00']) {
    await assert.rejects(goals(bad), { code: 'USAGE' })
  }
  assert.deepEqual([...(partitionsOf('3,7, 12') as Set<number>)], [3, 7, 12])
  for (const bad of ['', '3,', 'x', '1-3']) assert.throws(() => partitionsOf(bad), { code: 'USAGE' })
  assert.equal(stateOf(row(), kafka(0, 50)), 'ahead of the end')
  assert.equal(stateOf(row(), kafka(101, 150)), 'behind retention')
  assert.equal(stateOf(row(), kafka(0, 150, 'U')), 'another topic')
  assert.equal(stateOf(row(), kafka(0, 150)), 'ok')
})
