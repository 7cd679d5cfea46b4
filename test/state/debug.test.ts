/** A debug session: where it stops and what it shows is what a plain fold says, whatever way it got there; and what conditions and keys mean. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Json } from '../../src/core/json.ts'
import { keysOf } from '../../src/core/terminal-keys.ts'
import { defineReducer } from '../../src/define.ts'
import { readBreakpoint } from '../../src/state/breakpoint.ts'
import { type DebugOptions, keyBefore, openDebug } from '../../src/state/debug.ts'
import { firstFace, press, renderDebug } from '../../src/state/debug-screen.ts'
import type { StoredEvent } from '../../src/state/history.ts'
import { byTime } from '../../src/state/postgres-history.ts'
import { at, inOrder, memoryHistory, remembers, same, stored } from './memory-history.ts'

const days = ['2026-11-19', '2026-11-20', '2026-11-21']
const rowsOf = fc
  .array(fc.record({ subject: fc.constantFrom('a1', 'a2', 'b1'), step: fc.nat(15), data: fc.nat(9) }), {
    maxLength: 40,
  })
  .map((all) => all.map(({ subject, step, data }, n) => stored(subject, step * 1000, (n * 7919) % 1000, data)))

/** The state of an event's subject before it and after it; of subjects beginning with b nobody says anything. */
function statesOf(rows: readonly StoredEvent[], one: StoredEvent): [before: Json, after: Json] {
  if (!one.event.subject.startsWith('a')) return [null, null]
  const mine = rows.filter(({ event }) => event.subject === one.event.subject).sort(inOrder)
  const upTo = (count: number): Json =>
    count === 0 ? null : mine.slice(0, count).map(({ event }) => [event.id, event.data])
  const place = mine.indexOf(one)
  return [upTo(place), upTo(place + 1)]
}

const open = (rows: StoredEvent[], options: Partial<DebugOptions> = {}) => {
  const history = memoryHistory(rows, days)
  return openDebug({
    subject: null,
    from: null,
    to: at(1e9),
    reducerOf: (subject) => (subject.startsWith('a') ? remembers : null),
    look: (work) => work(history),
    ...options,
  })
}

test('any steps forward and back, with and without breakpoints on states: each event is where it belongs, with its states', async () => {
  const moves = fc.array(fc.constantFrom('step', 'step', 'step', 'back', 'back', 'run', 'restart'), {
    maxLength: 60,
    size: 'max',
  })
  const breaks = fc.subarray(['subject:a2', 'data = 3', 'after.2 exists', 'type:nothing.*'])
  await fc.assert(
    fc.asyncProperty(rowsOf, moves, breaks, fc.constantFrom(null, 'a1'), async (rows, all, texts, subject) => {
      const debug = open(rows, { subject })
      for (const text of texts) await debug.toggle(text)
      const wanted = rows.filter(({ event }) => subject === null || event.subject === subject).sort(inOrder)
      const stops = wanted.map((one) => {
        const [before, after] = statesOf(rows, one)
        return texts.some((text) => readBreakpoint(text).hits(one.event, before, after))
      })
      let position = 0
      for (const move of all) {
        const view = await debug[move as 'step']()
        if (move === 'step') position = Math.min(position + 1, wanted.length)
        else if (move === 'back') position = Math.max(position - 1, 0)
        else if (move === 'restart') position = 0
        else {
          const found = stops.findIndex((one, n) => one && n >= position)
          position = found === -1 ? wanted.length : found + 1
        }
        assert.equal(view.position, position, move)
        const one = wanted[position - 1]
        assert.equal(view.event?.key, one?.event.key)
        assert.equal(view.atEnd, position === wanted.length)
        if (one === undefined) continue
        const [before, after] = statesOf(rows, one)
        assert.ok(same(view.before, before) && same(view.after, after), `${move} to ${position}`)
      }
    }),
    { numRuns: 300 },
  )
})

test('calls that come together are carried out one after the other, and one that fails does not hold the next', async () => {
  const debug = open(Array.from({ length: 5 }, (_, n) => stored('a1', n * 1000, n, n)))
  const bad = debug.toggle('nonsense')
  const views = [debug.step(), debug.step(), debug.back(), debug.step(), debug.step()]
  await assert.rejects(bad, { code: 'USAGE' })
  assert.deepEqual(
    (await Promise.all(views)).map(({ position }) => position),
    [1, 2, 1, 2, 3],
  )
})

test('only some types, from some time on: the states are still those of all events', async () => {
  const rows = Array.from({ length: 6 }, (_, n) => {
    const one = stored('a1', n * 1000, n, n)
    return { ...one, event: { ...one.event, type: n % 2 === 0 ? 'even' : 'odd' } }
  })
  const debug = open(rows, { subject: 'a1', types: ['odd'], from: at(2000) })
  const first = await debug.step()
  assert.deepEqual([first.event?.id, (first.before as Json[]).length, (first.after as Json[]).length], ['3', 3, 4])
  const second = await debug.step()
  assert.deepEqual([second.event?.id, (second.before as Json[]).length, second.atEnd], ['5', 5, true])
})

test('a reducer that fails is shown with the state before it, and the session goes on', async () => {
  const fails = {
    ...remembers,
    definition: defineReducer<number>({
      subjects: ['a'],
      reduce: (state, { data }) => {
        if (data === 2) throw new Error('two')
        return (state ?? 0) + 1
      },
    }),
  }
  const debug = open(
    [1, 2, 3].map((n) => stored('a1', n * 1000, n, n)),
    { reducerOf: () => fails },
  )
  assert.equal((await debug.step()).after, 1)
  const failed = await debug.step()
  assert.deepEqual([failed.before, failed.after], [1, null])
  assert.match(failed.failed ?? '', /it throws Error: two/)
  assert.match((await debug.step()).failed ?? '', /at the event 00000000-0000-7000-8000-000000000002/)
  assert.equal((await debug.back()).before, 1)
  assert.match(
    renderDebug(failed, firstFace, 'a1', { columns: 80, rows: 30 }).join('\n'),
    /THE REDUCER FAILED[\s\S]*before:\n1/,
  )
})

test('breakpoints: what they say', () => {
  const { event } = stored('ord_1', 5, 1, { amount: 12.5, tags: ['x', 'y'], 'a.b': 'c d', note: null })
  const before = { status: 'open', n: 1 }
  const after = { status: 'fulfilled', n: 1 }
  const yes = [
    'type:com.bss.order.*',
    'type:com.bss.order.updated',
    'subject:ord_*',
    'data.amount > 12',
    'data.amount >= 12.5 and data.amount <= 12.5',
    'data.tags.1 = y',
    'data."a.b" = "c d"',
    'data.note = null',
    'data.note exists',
    'data.other missing',
    'data.other != 1',
    'after.status = fulfilled and before.status = open',
    'after.status changes and after.n != 2',
    'subject ~ rd_',
    'time >= 2026-11-19T00:00:00',
    'type="com.bss.order.updated"',
  ]
  const no = [
    'type:com.bss.order',
    'type:com.bss.orderx*',
    'subject:ord',
    'data.amount > "12"',
    'data.amount < 12',
    'after.n changes',
    'data.tags.2 exists',
    'data.constructor exists',
    'data.tags.length exists',
    'data.note = 0',
    'data.amount = "12.5"',
    'data.amount > 1 and data.amount > 100',
  ]
  for (const text of yes) assert.equal(readBreakpoint(text).hits(event, before, after), true, text)
  for (const text of no) assert.equal(readBreakpoint(text).hits(event, before, after), false, text)
  for (const text of [
    '',
    'amount > 1',
    'data.amount',
    'data.amount >',
    'data. = 1',
    'data.a = 1 or data.b = 2',
    'data.a changes',
    'data.a = "x',
    'process.exit = 1',
  ])
    assert.throws(() => readBreakpoint(text), { code: 'USAGE' }, text)
})

test('a condition on any member compares as the values do, and no text makes it throw anything but USAGE', () => {
  const name = fc.string({ minLength: 1 })
  fc.assert(
    fc.property(name, fc.integer(), fc.integer(), (member, a, b) => {
      const { event } = stored('s', 0, 1, { [member]: a })
      for (const [operator, holds] of [
        ['<', a < b],
        ['>=', a >= b],
        ['=', a === b],
        ['!=', a !== b],
      ] as const) {
        const text = `data.${JSON.stringify(member)} ${operator} ${b}`
        assert.equal(readBreakpoint(text).hits(event, null, null), holds, text)
      }
    }),
  )
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.string({ unit: fc.constantFrom('data', '.', ' ', '=', '"', 'and', '\\', '>', '1', 'x', '*', ':') }),
      ),
      (text) => {
        try {
          readBreakpoint(text).hits(stored('s', 0, 1, {}).event, null, null)
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'USAGE', text)
        }
      },
    ),
  )
})

test('keys: several in one piece, arrows, and a condition that is typed', () => {
  const { event } = stored('ord_1', 5, 1, {})
  assert.deepEqual(keysOf('n\x1b[Cb\x1bOP\x1b'), ['n', '\x1b[C', 'b', '\x1bOP', '\x1b'])
  const typed = [':', 'd', 'x', '\x7f', 'a', '\r'].reduce(({ face }, key) => press(face, key, { event }), {
    face: firstFace,
    command: null,
  } as ReturnType<typeof press>)
  assert.deepEqual([typed.command, typed.face.typing], [{ toggle: 'da' }, null])
  const commandOf = (key: string) => press(firstFace, key, { event }).command
  assert.deepEqual(['n', '\x1b[D', 'r', 'q', '\x03', 't', 's', 'z'].map(commandOf), [
    'step',
    'back',
    'run',
    'quit',
    'quit',
    { toggle: 'type:com.bss.order.updated' },
    { toggle: 'subject:ord_1' },
    null,
  ])
  assert.equal(press({ ...firstFace, typing: 'q' }, 'q', {}).face.typing, 'qq')
  assert.equal(press({ ...firstFace, typing: 'q' }, '\x03', {}).command, 'quit')
})

test('what is shown fits the terminal, and brings no control characters of an event along', async () => {
  const rows = [
    stored('a1', 5, 1, {
      text: '\x1b[31m\u009b31m\x07',
      long: 'x'.repeat(500),
      many: Array.from({ length: 90 }, (_, n) => n),
    }),
  ]
  const view = await open(rows).step()
  for (const shows of ['changes', 'before', 'after'] as const) {
    const lines = renderDebug(view, { ...firstFace, shows }, 'title', { columns: 60, rows: 24 })
    assert.ok(lines.length <= 24 && lines.every((line) => line.length <= 60), `${shows}: ${lines.length}`)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    assert.doesNotMatch(lines.join(''), /[\u0000-\u001f\u007f-\u009f]/)
  }
})

test('the key before a key; and the order of the key becomes the order of time, page by page', () => {
  assert.equal(keyBefore('01a1f640-bc00-7000-8000-000000000000'), '01a1f640-bc00-7000-7fff-ffffffffffff')
  const times = fc.array(fc.tuple(fc.nat(4), fc.nat(999), fc.nat(99)), { maxLength: 30 })
  fc.assert(
    fc.property(times, fc.integer({ min: 1, max: 5 }), (all, size) => {
      const rows = all.map(([ms, micros, tail], n) => {
        const one = stored('s', ms * 1000 + micros, n, null)
        const key = `00000000-000${ms}-7000-8000-${String(tail * 100 + n).padStart(12, '0')}`
        return { ...one, event: { ...one.event, key } }
      })
      const byKey = rows.toSorted((a, b) => (a.event.key < b.event.key ? -1 : 1))
      const told: StoredEvent[] = []
      let held: readonly StoredEvent[] = []
      for (let from = 0; from === 0 || from < byKey.length; from += size) {
        const page = byTime(held, byKey.slice(from, from + size), from + size >= byKey.length)
        told.push(...page.ready)
        held = page.held
      }
      assert.deepEqual(told, rows.toSorted(inOrder))
    }),
  )
})
