import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createHealth, type Vitals } from '../../src/process/health.ts'

const timeout = 120_000
const calm: Vitals = { phase: 'running', moved: 0, lagRecords: 0, heardMs: 0, down: [], away: [] }

function run() {
  let nowMs = 0
  const health = createHealth({ progressTimeoutMs: timeout, now: () => nowMs })
  return {
    health,
    /** A second at a time, as the process does it. */
    pass(ms: number, vitals: (nowMs: number) => Partial<Vitals>) {
      for (const end = nowMs + ms; nowMs < end; ) {
        nowMs += 1000
        health.observe({ ...calm, heardMs: nowMs, ...vitals(nowMs) })
      }
    },
  }
}

test('idle is healthy for ever', () => {
  const { health, pass } = run()
  pass(10 * timeout, () => ({}))
  assert.deepEqual(
    [health.live(), health.ready()],
    [
      { ok: true, reasons: [] },
      { ok: true, reasons: [] },
    ],
  )
})

test('lag that moves is healthy, lag that stands still is not', () => {
  const { health, pass } = run()
  pass(5 * timeout, (now) => ({ lagRecords: 10, moved: now }))
  assert(health.live().ok)
  pass(timeout, () => ({ lagRecords: 10, moved: 1 }))
  assert(health.live().ok)
  pass(2000, () => ({ lagRecords: 10, moved: 1 }))
  assert.match(health.live().reasons.join(), /10 records wait and nothing has moved for 12\d s/)
  pass(1000, () => ({ lagRecords: 9, moved: 2 }))
  assert(health.live().ok)
})

test('a server that is down makes it not ready, and is no reason to restart', () => {
  const { health, pass } = run()
  pass(5 * timeout, () => ({ lagRecords: 10, down: ['PostgreSQL'], heardMs: 0 }))
  assert.deepEqual(health.ready(), { ok: false, reasons: ['PostgreSQL is down'] })
  assert(health.live().ok)
  // The clock starts anew when it is back.
  pass(timeout - 1000, () => ({ lagRecords: 10, heardMs: 0 }))
  assert(health.live().ok)
  assert(health.ready().ok)
  pass(3000, () => ({ lagRecords: 10 }))
  assert(!health.live().ok)
})

test('one partition that stands still is found though the others move', () => {
  const { health, pass } = run()
  const others = (now: number) => ({ partition: 1, records: 5, at: now })
  pass(timeout, (now) => ({ moved: now, lagRecords: 7, work: [others(now), { partition: 4, records: 2, at: 30 }] }))
  assert(health.live().ok)
  pass(3000, (now) => ({ moved: now, lagRecords: 7, work: [others(now), { partition: 4, records: 2, at: 30 }] }))
  assert.match(health.live().reasons.join(), /2 records wait in partition 4 and nothing has moved there for 12\d s/)
  pass(1000, (now) => ({ moved: now, lagRecords: 7, work: [others(now), { partition: 4, records: 1, at: 31 }] }))
  assert(health.live().ok)
})

test('a server that only is silent is not known to be down: with nothing moving it is not ready, and still alive', () => {
  let nowMs = 0
  const health = createHealth({ progressTimeoutMs: timeout, standstillMs: 15_000, now: () => nowMs })
  const pass = (ms: number, at: (nowMs: number) => readonly [number, number]) => {
    for (const end = nowMs + ms; nowMs < end; ) {
      nowMs += 1000
      const work = at(nowMs).map((one, partition) => ({ partition, records: 5, at: one }))
      health.observe({ ...calm, heardMs: nowMs, moved: nowMs, lagRecords: 10, work })
    }
  }
  pass(60_000, (now) => [now, 3])
  assert(health.ready().ok, 'while one of them moves')
  pass(15_000, () => [7, 3])
  assert(health.ready().ok)
  pass(2000, () => [7, 3])
  assert.match(health.ready().reasons.join(), /10 records wait in partitions 0, 1 and nothing has moved there/)
  assert(health.live().ok)
  pass(1000, () => [8, 3])
  assert(health.ready().ok)
})

test('marks that are never read are no progress, nor is starting over again and again', () => {
  const { health, pass } = run()
  const starting = (now: number) => (now % 4000 < 2000 ? { records: null, at: -1 } : { records: 3, at: 10 })
  pass(timeout + 3000, (now) => ({ moved: now, lagRecords: null, work: [{ partition: 0, ...starting(now) }] }))
  assert.match(health.live().reasons.join(), /partition 0 .*nothing has moved there/)
})

test('a known outage is no standstill: the clock starts anew when it is over, and when there is nothing left to do', () => {
  for (const relief of [{ down: ['postgres'] }, { work: [] }]) {
    const { health, pass } = run()
    const stuck = [{ partition: 0, records: 3, at: 10 }]
    pass(timeout, (now) => ({ moved: now, lagRecords: 3, work: stuck }))
    pass(1000, (now) => ({ moved: now, lagRecords: 3, work: stuck, ...relief }))
    pass(timeout, (now) => ({ moved: now, lagRecords: 3, work: stuck }))
    assert(health.live().ok)
    pass(2000, (now) => ({ moved: now, lagRecords: 3, work: stuck }))
    assert(!health.live().ok)
  }
})

test('readiness tells the horizon of the partitions, and is lost without tomorrow; being alive is not', () => {
  const { health, pass } = run()
  pass(1000, () => ({ horizonDays: 7 }))
  assert.deepEqual(health.ready(), { ok: true, reasons: [], partitionHorizonDays: 7 })
  pass(1000, () => ({ horizonDays: 1 }))
  assert.equal(health.ready().ok, true)
  for (const [horizonDays, day] of [
    [0, 'tomorrow'],
    [-1, 'today'],
  ] as const) {
    pass(1000, () => ({ horizonDays }))
    const reasons = [`there is no partition for ${day}`]
    assert.deepEqual(health.ready(), { ok: false, reasons, partitionHorizonDays: horizonDays })
    assert.equal(health.live().ok, true)
  }
})

test('a client that died inside is found although its last word was "no lag"', () => {
  const { health, pass } = run()
  pass(10_000, () => ({}))
  pass(timeout + 2000, () => ({ heardMs: 10_000 }))
  assert.match(health.live().reasons.join(), /no sign of life from the Kafka client/)
})

test('starting has its time too, and draining is left to its own deadline', () => {
  const starting = run()
  starting.pass(timeout, () => ({ phase: 'starting', lagRecords: null, heardMs: null }))
  assert(starting.health.live().ok)
  assert.deepEqual(starting.health.ready().reasons, ['starting'])
  starting.pass(2000, () => ({ phase: 'starting', lagRecords: null, heardMs: null }))
  assert.match(starting.health.live().reasons.join(), /still starting/)

  const draining = run()
  draining.pass(3 * timeout, () => ({ phase: 'draining', lagRecords: 5, heardMs: null }))
  assert(draining.health.live().ok)
  assert.deepEqual(draining.health.ready().reasons, ['draining'])
})

test('whatever happens, progress within the timeout is health', () => {
  const step = fc.record({
    phase: fc.constantFrom('starting' as const, 'running' as const),
    lagRecords: fc.option(fc.nat(5)),
    down: fc.constantFrom([], ['Redis']),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 50 }), (steps) => {
      const { health, pass } = run()
      let moved = 0
      for (const vitals of steps) {
        pass(timeout / 2, () => ({ ...vitals, moved }))
        moved++
        assert(health.live().ok)
      }
    }),
  )
})
