import assert from 'node:assert/strict'
import { test } from 'node:test'
import { planReplay, type TopicTimes } from '../../src/replay/plan.ts'
import { describe } from './world.ts'

const now = Date.parse('2026-11-21T12:00:00Z')
const hour = 3_600_000

/** Partition 0 holds 100 to 200, one a minute up to now; partition 1 is empty; partition 2 holds 0 to 50, all of an hour ago. */
const kafka: TopicTimes = {
  ends: async () =>
    new Map([
      [0, { low: 100, high: 200 }],
      [1, { low: 0, high: 0 }],
      [2, { low: 0, high: 50 }],
    ]),
  at: async (ms) =>
    new Map([
      [0, Math.max(100, 200 - Math.ceil((now - ms) / 60_000))],
      [1, 0],
      [2, ms <= now - hour ? 0 : 50],
    ]),
  timeOf: async (partition, offset) =>
    partition === 0 ? now - (200 - offset) * 60_000 : partition === 2 ? now - hour : null,
}
const ledger = (marks: Record<number, number>, repeated: Record<number, number> = {}) => ({
  query: async () => ({
    rows: Object.entries(marks).map(([partition, next]) => ({
      partition: Number(partition),
      next: String(next),
      repeated: repeated[Number(partition)]?.toString() ?? null,
    })),
  }),
})
const common = {
  session: ledger({ 0: 150, 2: 50 }),
  consumer: 'c',
  topic: 't',
  kafka,
  futureMs: hour,
  retentionDays: 0,
  nowMs: now,
}
const code = (expected: string, pattern: RegExp) => (error: Error & { code?: string }) =>
  error.code === expected && pattern.test(error.message)

test('auto: below the ledger from rows, the rest from Kafka', async () => {
  const plan = await planReplay({ ...common, description: describe({ source: 'auto' }) })
  assert.deepEqual(plan, { cuts: { 0: 150, 1: 0, 2: 50 }, kafka: [{ partition: 0, from: 150, to: 200 }] })
})

test('auto: a partition that the ledger has never seen is all of Kafka', async () => {
  const session = ledger({ 0: 200 })
  const plan = await planReplay({ ...common, session, description: describe({ source: 'auto' }) })
  assert.deepEqual(plan, { cuts: { 0: 200, 1: 0, 2: 0 }, kafka: [{ partition: 2, from: 0, to: 50 }] })
})

test('auto: what was never stored, and is gone, is told', async () => {
  const session = ledger({ 0: 90, 2: 50 })
  await assert.rejects(
    planReplay({ ...common, session, description: describe({ source: 'auto' }) }),
    code('HISTORY_EXPIRED', /Kafka begins at offset 100 of partition 0/),
  )
})

test('rows alone: up to where the ledger stands', async () => {
  const plan = await planReplay({ ...common, kafka: null, description: describe({ source: 'postgres' }) })
  assert.deepEqual(plan, { cuts: { 0: 150, 2: 50 }, kafka: [] })
})

test('a group that was taken back: its rows are stored all the same; auto takes from Kafka what is read again', async () => {
  const session = ledger({ 0: 120, 2: 50 }, { 0: 170 })
  const rows = await planReplay({ ...common, session, kafka: null, description: describe({ source: 'postgres' }) })
  assert.deepEqual(rows.cuts, { 0: 170, 2: 50 })
  const both = await planReplay({ ...common, session, description: describe({ source: 'auto' }) })
  assert.deepEqual(both, { cuts: { 0: 120, 1: 0, 2: 50 }, kafka: [{ partition: 0, from: 120, to: 200 }] })
})

test('auto: a ledger that is ahead of Kafka belongs to another log, whose events nobody has stored', async () => {
  const session = ledger({ 0: 201, 2: 50 })
  await assert.rejects(
    planReplay({ ...common, session, description: describe({ source: 'auto' }) }),
    code('TOPIC_TRUNCATED', /Partition 0 ends at offset 200, and the ledger stands at 201/),
  )
})

test('Kafka by time: from so early that no event of the range is missed, to the end of the log', async () => {
  const fromMs = now - 20 * 60_000
  const plan = await planReplay({
    ...common,
    futureMs: 10 * 60_000,
    description: describe({ source: 'kafka', fromMs }),
  })
  assert.deepEqual(plan, { cuts: null, kafka: [{ partition: 0, from: 170, to: 200 }] })
  const whole = await planReplay({ ...common, description: describe({ source: 'kafka' }) })
  assert.deepEqual(whole.kafka, [
    { partition: 0, from: 100, to: 200 },
    { partition: 2, from: 0, to: 50 },
  ])
})

test('Kafka by time: before what it still holds', async () => {
  const description = describe({ source: 'kafka', fromMs: now - 5 * hour })
  await assert.rejects(
    planReplay({ ...common, description }),
    code('HISTORY_EXPIRED', /holds partition 0 only from 2026-11-21T10:20/),
  )
})

test('Kafka by offsets', async () => {
  const of = (partition: number, from: number | null, to: number | null) =>
    planReplay({ ...common, description: describe({ source: 'kafka', offsets: [{ partition, from, to }] }) })
  assert.deepEqual((await of(0, 120, 130)).kafka, [{ partition: 0, from: 120, to: 130 }])
  assert.deepEqual((await of(0, null, null)).kafka, [{ partition: 0, from: 100, to: 200 }])
  assert.deepEqual((await of(1, null, null)).kafka, [])
  await assert.rejects(of(0, 99, 130), code('HISTORY_EXPIRED', /begins at offset 100/))
  await assert.rejects(of(0, 120, 201), code('USAGE', /ends at offset 200/))
  await assert.rejects(of(7, null, null), code('USAGE', /no partition 7/))
})

test('days that the keeper has taken away', async () => {
  const of = (fromMs: number, retentionDays: number) =>
    planReplay({ ...common, kafka: null, retentionDays, description: describe({ source: 'postgres', fromMs }) })
  const day = 24 * hour
  await of(Date.parse('2026-11-14T00:00:00Z'), 7)
  await of(now - 100 * day, 0)
  await assert.rejects(of(Date.parse('2026-11-13T23:59:59Z'), 7), code('HISTORY_EXPIRED', /Days before 2026-11-14/))
})
