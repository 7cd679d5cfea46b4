import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { aheadDays, dayMs, dayOf } from '../../src/core/day.ts'
import {
  dueToRetire,
  dueToSeal,
  horizonDays,
  isClosed,
  type Policy,
  retireNotes,
  sealedNote,
  sealIndexes,
} from '../../src/keeper/plan.ts'
import type { Partition, Partitions } from '../../src/schema/partitions.ts'

const hourMs = 3_600_000
const anyTime = fc.integer({ min: dayMs, max: 200 * 365 * dayMs })
const policy: Policy = { aheadDays: 7, sealAfterHours: 6, retentionDays: 40 }

const partition = (day: number, more: Partial<Partition> = {}): Partition => ({
  day,
  name: `t_${day}`,
  state: 'attached',
  note: null,
  indexes: [],
  ...more,
})
const of = (serverMs: number, partitions: Partition[]): Partitions => ({
  table: 't',
  schema: 's',
  owner: 'o',
  owned: true,
  serverMs,
  partitions,
})
const days = (found: readonly Partition[]) => found.map(({ day }) => day)

test('the horizon is the last day before the first gap, whatever else there is', () => {
  fc.assert(
    fc.property(anyTime, fc.nat(20), fc.uniqueArray(fc.integer({ min: -30, max: 30 })), (nowMs, ahead, strays) => {
      const today = dayOf(nowMs)
      const gap = today + ahead + 1
      const known = new Set([
        ...Array.from({ length: ahead + 1 }, (_, n) => today + n),
        ...strays.map((stray) => today + stray).filter((day) => day !== gap),
      ])
      assert.equal(horizonDays(known, nowMs), ahead)
      known.delete(today)
      assert.equal(horizonDays(known, nowMs), -1)
    }),
  )
})

test('what is made ahead gives the whole horizon at any moment of the day, and one less at midnight', () => {
  fc.assert(
    fc.property(anyTime, fc.integer({ min: 1, max: 90 }), (nowMs, ahead) => {
      const known = new Set(aheadDays(nowMs, { ahead }))
      assert.equal(horizonDays(known, nowMs), ahead)
      const midnightMs = (dayOf(nowMs) + 1) * dayMs
      assert.equal(horizonDays(known, midnightMs - 1), ahead)
      assert.equal(horizonDays(known, midnightMs), ahead - 1)
    }),
  )
})

test('a day is closed to the millisecond, and only when both clocks say so', () => {
  const day = dayOf(Date.parse('2026-10-25T00:00:00Z'))
  const endMs = (day + 1) * dayMs + 6 * hourMs
  assert.deepEqual([isClosed(day, endMs - 1, 6), isClosed(day, endMs, 6)], [false, true])
  for (const [nowMs, serverMs, due] of [
    [endMs, endMs, [day]],
    [endMs + 100 * dayMs, endMs - 1, []],
    [endMs - 1, endMs + 100 * dayMs, []],
  ] as const) {
    assert.deepEqual(days(dueToSeal(of(serverMs, [partition(day)]), nowMs, policy)), due)
  }
  assert.deepEqual(dueToSeal(of(endMs * 2, [partition(day)]), endMs * 2, { ...policy, sealAfterHours: 0 }), [])
})

test('today and what is younger than retention is never taken away, whichever clock is wrong', () => {
  fc.assert(
    fc.property(anyTime, anyTime, fc.nat(400), (nowMs, serverMs, retentionDays) => {
      const early = dayOf(Math.min(nowMs, serverMs))
      const table = of(
        serverMs,
        [early - retentionDays - 1, early - retentionDays, early, early + 1].map((day) => partition(day)),
      )
      const due = days(dueToRetire(table, nowMs, { ...policy, retentionDays }))
      assert.deepEqual(due, retentionDays === 0 ? [] : [early - retentionDays - 1])
    }),
  )
})

test('what was begun is finished, what somebody else detached is left alone', () => {
  const now = 20_000 * dayMs
  const found = dueToRetire(
    of(now, [
      partition(19_000, { state: 'detached', note: retireNotes.drop }),
      partition(19_001, { state: 'detached', note: 'mine, thank you' }),
      partition(19_002, { state: 'detached' }),
      partition(19_999, { state: 'pending' }),
      // Marked, and then retention was turned off.
      partition(19_500, { note: retireNotes.drop }),
    ]),
    now,
    { ...policy, retentionDays: 0 },
  )
  assert.deepEqual(days(found), [19_000, 19_999])
})

test('sealed is what has every index, valid, and was done to the end', () => {
  const now = 20_000 * dayMs
  const due = (indexes: Partition['indexes']) =>
    dueToSeal(of(now, [partition(19_000, { indexes })]), now, policy).length === 1
  const whole = sealIndexes.map(({ suffix }, at) => ({
    name: `t_19000_${suffix}`,
    valid: true,
    note: at === sealIndexes.length - 1 ? sealedNote : null,
  }))
  assert.equal(due(whole), false)
  for (const at of whole.keys()) {
    assert.equal(due(whole.filter((_, n) => n !== at)), true)
    assert.equal(due(whole.map((one, n) => ({ ...one, valid: n !== at }))), true)
  }
  assert.equal(due(whole.map((one) => ({ ...one, note: null }))), true)
})
