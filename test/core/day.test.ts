import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  aheadDays,
  dayBounds,
  dayMax,
  dayMs,
  dayOf,
  dayText,
  idFloor,
  parseDay,
  partitionName,
} from '../../src/core/day.ts'

const anyDay = fc.integer({ min: 0, max: dayMax })
const anyMs = fc.integer({ min: 0, max: (dayMax + 1) * dayMs - 1 })

test('known days', () => {
  assert.equal(dayOf(Date.parse('2026-11-21T23:59:59.999Z')), 20778)
  assert.equal(dayOf(Date.parse('2026-11-22T00:00:00Z')), 20779)
  assert.equal(dayOf(-1), -1)
  assert.equal(partitionName('cloud_events', 20778), 'cloud_events_2026_11_21')
  assert.equal(partitionName('cloud_events', 0), 'cloud_events_1970_01_01')
  assert.equal(partitionName('cloud_events', dayMax), 'cloud_events_9999_12_31')
  assert.deepEqual(dayBounds(20778), {
    fromMs: Date.parse('2026-11-21T00:00:00Z'),
    toMs: Date.parse('2026-11-22T00:00:00Z'),
    fromId: '01a1fb67-1800-0000-0000-000000000000',
    toId: '01a2008d-7400-0000-0000-000000000000',
  })
})

test('a day has no name outside of 1970 to 9999', () => {
  for (const day of [-1, dayMax + 1, 0.5, Number.NaN]) assert.throws(() => partitionName('t', day))
})

test('every millisecond lies in exactly the bounds of its day', () => {
  fc.assert(
    fc.property(anyMs, (ms) => {
      const { fromMs, toMs, fromId, toId } = dayBounds(dayOf(ms))
      assert.ok(fromMs <= ms && ms < toMs)
      assert.ok(fromId <= idFloor(ms) && idFloor(ms) < toId)
    }),
  )
})

test('days follow each other without gap, and ids sort as milliseconds do', () => {
  fc.assert(fc.property(anyDay, (day) => assert.equal(dayBounds(day).toId, dayBounds(day + 1).fromId)))
  fc.assert(fc.property(anyMs, anyMs, (a, b) => assert.equal(Math.sign(a - b), compare(idFloor(a), idFloor(b)))))
})

test('a day is read back from its text, and from no other text', () => {
  fc.assert(fc.property(anyDay, (day) => assert.equal(parseDay(dayText(day)), day)))
  for (const text of ['', '2026-02-30', '2026-13-01', '1969-12-31', '26-01-01', '2026-01-01T00:00Z', '2026_01_01']) {
    assert.equal(parseDay(text), undefined, text)
  }
})

test('the days ahead are yesterday to a week from today', () => {
  const now = Date.parse('2026-11-21T23:59:59.999Z')
  assert.deepEqual(aheadDays(now).map(dayText), [
    ...['2026-11-20', '2026-11-21', '2026-11-22', '2026-11-23', '2026-11-24'],
    ...['2026-11-25', '2026-11-26', '2026-11-27', '2026-11-28'],
  ])
  assert.deepEqual(aheadDays(now, { behind: 0, ahead: 0 }), [20778])
})

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
