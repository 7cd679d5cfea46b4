/** A fold with snapshots is the fold of everything, whatever the cuts and whatever comes late; and what a reducer may answer. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Json } from '../../src/core/json.ts'
import { defineReducer } from '../../src/define.ts'
import type { LoadedReducer } from '../../src/process/load-reducer.ts'
import { createFold } from '../../src/state/fold.ts'
import type { StoredEvent } from '../../src/state/history.ts'
import { dayOfInstant } from '../../src/state/instant.ts'
import { foldTo, stateAt } from '../../src/state/state-at.ts'
import { between, type placeOf, timeline } from '../../src/state/timeline.ts'
import { at, dayMicros, inOrder, memoryHistory, remembers, same, stored } from './memory-history.ts'

const days = ['2026-11-19', '2026-11-20', '2026-11-21', '2026-11-22']
/** Few times, so that some are equal; over three days. */
const micros = fc.nat(5).map((step) => (step * dayMicros) / 2)
const subject = fc.constantFrom('a1', 'a2')

type Step =
  | { readonly do: 'event'; readonly subject: string; readonly micros: number; readonly data: Json }
  | { readonly do: 'snapshot'; readonly subject: string; readonly micros: number }

const steps = fc.array(
  fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constant('event' as const),
        subject,
        micros,
        data: fc.jsonValue() as fc.Arbitrary<Json>,
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('snapshot' as const), subject, micros }) },
  ),
  { maxLength: 40, size: 'max' },
)

/** What it must be, without any of the code under test. */
const plainly = (rows: readonly StoredEvent[], subject: string, to: string): Json => {
  const mine = rows.filter(({ event }) => event.subject === subject && event.time <= to).sort(inOrder)
  return mine.length === 0 ? null : mine.map(({ event }) => [event.id, event.data])
}

async function run(all: readonly Step[]) {
  const history = memoryHistory([], days)
  for (const [n, step] of all.entries()) {
    if (step.do === 'event') history.rows.push(stored(step.subject, step.micros, (n * 7919) % 1000, step.data))
    else await history.snap(remembers, step.subject, at(step.micros))
  }
  return history
}

test('events and snapshots in any order, events late or not: the state at any instant is that of all its events', async () => {
  let used = 0
  let passedOver = 0
  await fc.assert(
    fc.asyncProperty(steps, subject, micros, async (all, who, instant) => {
      const history = await run(all)
      const found = await foldTo(history, remembers, who, { time: at(instant) })
      assert.ok(same(found.state, plainly(history.rows, who, at(instant))))
      const full = await foldTo(history, remembers, who, { time: at(instant) }, { full: true })
      assert.ok(same(found.state, full.state))
      assert.equal(found.events, full.events)
      assert.equal(found.first, full.first)
      if (found.snapshot !== null) used++
      passedOver += found.passedOver.length
    }),
    { numRuns: 500 },
  )
  assert.ok(used > 20 && passedOver > 20, `snapshots were used ${used} times and passed over ${passedOver} times`)
})

test('days that are retired: a snapshot goes on from where they end, or is not used; it never answers less than it should', async () => {
  let saved = 0
  await fc.assert(
    fc.asyncProperty(steps, subject, micros, fc.nat(2), async (all, who, instant, retired) => {
      const history = await run(all)
      const before = plainly(history.rows, who, at(instant))
      history.oldest = days[retired] as string
      const found = await foldTo(history, remembers, who, { time: at(instant) })
      const isWhole = same(found.state, before)
      // All that a fold of the days that are kept has, and from a snapshot more.
      const kept = history.rows.filter(({ event }) => dayOfInstant(event.time) >= history.oldest)
      const idsOf = (state: Json) => ((state ?? []) as [string, Json][]).map(([id]) => id)
      const least = idsOf(plainly(kept, who, at(instant)))
      const told = new Set(idsOf(found.state))
      assert.ok(least.every((id) => told.has(id)))
      // Behind the snapshot nothing is missing, of days that are gone neither.
      const from = found.snapshot?.at ?? ''
      const behind = history.rows.filter(
        ({ event }) => event.subject === who && event.time > from && event.time <= at(instant),
      )
      if (found.snapshot !== null) assert.ok(behind.every(({ event }) => told.has(event.id)))
      if (found.snapshot === null) assert.deepEqual(idsOf(found.state), least)
      if (isWhole && !same(before, plainly(kept, who, at(instant)))) saved++
    }),
    { numRuns: 500 },
  )
  assert.ok(saved > 0, 'no snapshot ever knew more than a fold')
})

test('a timeline in pages of any size is all events in order; its states fit each other and the state at its end', async () => {
  await fc.assert(
    fc.asyncProperty(
      steps,
      subject,
      micros,
      micros,
      fc.integer({ min: 1, max: 7 }),
      async (all, who, one, other, limit) => {
        const [from, to] = [Math.min(one, other), Math.max(one, other)].map(at) as [string, string]
        const history = await run(all)
        const items = []
        for (let after: ReturnType<typeof placeOf> | undefined; ; ) {
          const options = { from, to, limit, states: true, ...(after !== undefined && { after }) }
          const page = await timeline(history, remembers, who, options)
          items.push(...page.items)
          assert.ok(page.items.length <= limit)
          if (page.next === null) break
          after = page.next
        }
        const wanted = history.rows
          .filter(({ event }) => event.subject === who && event.time >= from && event.time <= to)
          .sort(inOrder)
        assert.deepEqual(
          items.map(({ event }) => event.key),
          wanted.map(({ event }) => event.key),
        )
        for (const [n, item] of items.slice(1).entries()) assert.ok(same(item.before ?? null, items[n]?.after ?? null))
        const last = items.at(-1)
        if (last !== undefined) assert.ok(same(last.after ?? null, plainly(history.rows, who, to)))
        const found = await between(history, remembers, who, from, to)
        assert.ok(
          same(found.after, plainly(history.rows, who, to)) && same(found.before, plainly(history.rows, who, from)),
        )
      },
    ),
    { numRuns: 200 },
  )
})

test('what was known then: only what was stored by then, and no snapshot', async () => {
  const rows = [stored('a1', 10, 1, 'early', 20), stored('a1', 5, 2, 'late', 1000)]
  const history = memoryHistory(rows, days)
  await history.snap(remembers, 'a1', at(2000))
  const then = await foldTo(history, remembers, 'a1', { time: at(2000) }, { known: at(500) })
  assert.deepEqual([then.state, then.snapshot], [[['1', 'early']], null])
  const now = await foldTo(history, remembers, 'a1', { time: at(2000) })
  assert.deepEqual(now.state, [
    ['2', 'late'],
    ['1', 'early'],
  ])
  assert.equal(now.read, 0)
})

test('another reducer of the same name does not use its snapshots; deleted rows are noticed', async () => {
  const history = memoryHistory([stored('a1', 10, 1, 1), stored('a1', 20, 2, 2)], days)
  await history.snap(remembers, 'a1', at(30))
  assert.notEqual((await foldTo(history, remembers, 'a1', { time: at(40) })).snapshot, null)
  assert.equal((await foldTo(history, { ...remembers, hash: 'h2' }, 'a1', { time: at(40) })).snapshot, null)
  history.rows.pop()
  const found = await foldTo(history, remembers, 'a1', { time: at(40) })
  assert.deepEqual([found.snapshot, found.passedOver[0]?.standing], [null, { kind: 'deleted', events: 1 }])
})

test('who asks for what cannot be known is told so', async () => {
  const history = memoryHistory([stored('a1', dayMicros, 1, 1)], days)
  await assert.rejects(stateAt(history, remembers, 'a9', at(0)), { code: 'SUBJECT_UNKNOWN' })
  await assert.rejects(stateAt(history, remembers, 'a1', '2026-11-18T23:59:59.999999Z'), { code: 'HISTORY_EXPIRED' })
  const early = await stateAt(history, remembers, 'a1', at(0))
  assert.deepEqual([early.state, early.events, early.begins], [null, 0, at(dayMicros)])
  await assert.rejects(stateAt(memoryHistory([], []), remembers, 'a1', at(0)), { code: 'HISTORY_EXPIRED' })
})

test('a reducer that throws, changes what it was given, or answers no plain JSON is told with the event it was at', () => {
  const { event } = stored('a1', 10, 1, { amount: 1, lines: [1] })
  const foldOf = (reduce: (state: unknown, event: unknown) => unknown) =>
    createFold({ name: 'bad', definition: { subjects: ['a'], reduce } as unknown as LoadedReducer['definition'] })
  const cycle: { self?: unknown } = {}
  cycle.self = cycle
  const cases: [(state: unknown) => unknown, RegExp][] = [
    [() => undefined, /no plain JSON: state is undefined/],
    [() => ({ a: [1, { b: undefined }] }), /state\.a\[1\]\.b is undefined/],
    [() => ({ at: new Date(0) }), /state\.at is a Date/],
    [() => ({ n: Number.NaN }), /state\.n is NaN/],
    [() => ({ m: new Map() }), /state\.m is a Map/],
    [() => async () => 1, /state is a function/],
    [() => Promise.resolve(1), /state is a Promise/],
    [() => 1n, /state is a bigint/],
    [() => cycle, /in itself/],
    [
      () => {
        throw new RangeError('no such order')
      },
      /it throws RangeError: no such order/,
    ],
    [
      (state) => {
        ;(state as { n: number }).n = 2
        return state
      },
      /it throws TypeError/,
    ],
  ]
  for (const [reduce, said] of cases) {
    assert.throws(
      () => foldOf(reduce)({ n: 1 }, event),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, 'REDUCER_FAILED')
        assert.match(error.message, said)
        assert.match(
          error.message,
          new RegExp(`reducers/bad.ts at the event ${event.key} \\(${event.type}, ${event.time}\\)`),
        )
        return true
      },
    )
  }
})

test('a state that was told is not changed by what comes later', () => {
  const { event } = stored('a1', 10, 1, null)
  const shared = { n: 1 }
  const fold = createFold({
    name: 'shares',
    definition: defineReducer({ subjects: ['a'], reduce: () => shared }),
  })
  const told = fold(null, event)
  assert.throws(() => {
    ;(told as { n: number }).n = 2
  }, TypeError)
})
