import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Load, limitingRoom, usefulReplicas } from '../../src/core/replicas.ts'

const calm: Load = {
  partitions: 100,
  assigned: 50,
  lagging: 0,
  lagSeconds: 0,
  working: { decode: 0.2, persist: 0.4, publish: 0.2 },
  threadShare: 0.3,
  stretch: { persist: null, publish: null },
}
const behind: Load = { ...calm, lagging: 50, lagSeconds: 60, working: { decode: 0.5, persist: 0.95, publish: 0.6 } }

test('the limiting room: the busiest one, Kafka when all have time to spare, none without lag', () => {
  assert.equal(limitingRoom(calm), null)
  assert.equal(limitingRoom({ ...behind, lagSeconds: 1 }), null)
  assert.equal(limitingRoom(behind), 'persist')
  assert.equal(limitingRoom({ ...behind, working: { decode: 0.5, persist: 0.7, publish: 0.9 } }), 'publish')
  assert.equal(limitingRoom({ ...behind, working: { decode: 0.5, persist: 0.3, publish: 0.1 } }), 'consume')
})

test('no lag: as many as are busy for three fifths of the time, never more than there are', () => {
  assert.equal(usefulReplicas(calm), 2, 'two are there, and busy for 40 %')
  assert.equal(
    usefulReplicas({ ...calm, assigned: 10, working: { decode: 0, persist: 0.1, publish: 0 }, threadShare: 0.12 }),
    2,
  )
  assert.equal(usefulReplicas({ ...calm, assigned: 25, working: { decode: 0, persist: 0.9, publish: 0 } }), 4)
  assert.equal(usefulReplicas({ ...calm, assigned: 100 }), 1)
})

test('lag, and PostgreSQL answers as fast as ever: more help, at most twice as many', () => {
  const fast = { ...behind, stretch: { persist: 1.1, publish: 1.1 } }
  assert.equal(usefulReplicas(fast), 4)
  assert.equal(usefulReplicas({ ...fast, lagSeconds: 10 }), 3)
  assert.equal(usefulReplicas({ ...fast, lagSeconds: 100_000 }), 4)
  assert.equal(usefulReplicas({ ...fast, partitions: 3, assigned: 1, lagging: 1 }), 3)
})

test('lag, and a server is the limit, or nobody knows: not more than there are', () => {
  assert.equal(usefulReplicas({ ...behind, stretch: { persist: 2, publish: 1 } }), 2)
  assert.equal(usefulReplicas(behind), 2)
  const kafka = { ...behind, working: { decode: 0.1, persist: 0.2, publish: 0.1 }, stretch: { persist: 1, publish: 1 } }
  assert.equal(usefulReplicas(kafka), 2)
})

test('lag, and our own thread is the limit: more help, however PostgreSQL looks from a thread that comes late', () => {
  assert.equal(usefulReplicas({ ...behind, threadShare: 0.97, stretch: { persist: 3, publish: null } }), 4)
  const decoding = { ...behind, working: { decode: 0.95, persist: 0.5, publish: 0.2 } }
  assert.equal(usefulReplicas(decoding), 4)
})

test('one hot partition is nobody else’s to help with', () => {
  assert.equal(usefulReplicas({ ...behind, lagging: 1, threadShare: 0.99 }), 2)
})

test('without a partition nothing is known', () => {
  assert.equal(usefulReplicas({ ...behind, assigned: 0 }), null)
})

const share = fc.double({ min: 0, max: 1, noNaN: true })
const stretch = fc.option(fc.double({ min: 1, max: 20, noNaN: true }))
const loads: fc.Arbitrary<Load> = fc
  .record({
    partitions: fc.integer({ min: 1, max: 200 }),
    assignedShare: share,
    laggingShare: share,
    lagSeconds: fc.oneof(fc.double({ min: 0, max: 10, noNaN: true }), fc.double({ min: 0, max: 1e6, noNaN: true })),
    working: fc.record({ decode: share, persist: share, publish: share }),
    threadShare: share,
    stretch: fc.record({ persist: stretch, publish: stretch }),
  })
  .map(({ assignedShare, laggingShare, ...load }) => {
    const assigned = Math.max(1, Math.round(assignedShare * load.partitions))
    return { ...load, assigned, lagging: Math.round(laggingShare * assigned) }
  })
const there = ({ partitions, assigned }: Load) => Math.max(1, Math.round(partitions / assigned))

test('always between one and the partitions, and never more than twice as many as there are', () => {
  fc.assert(
    fc.property(loads, (load) => {
      const useful = usefulReplicas(load) ?? Number.NaN
      assert.ok(Number.isInteger(useful) && useful >= 1 && useful <= load.partitions)
      assert.ok(useful <= 2 * there(load))
    }),
  )
})

test('more than there are only with lag, only with partitions to share out, never while a server is slower than it was', () => {
  fc.assert(
    fc.property(loads, (load) => {
      const useful = usefulReplicas(load) ?? Number.NaN
      if (useful <= there(load)) return
      assert.notEqual(limitingRoom(load), null)
      assert.ok(load.lagging >= 2)
      const room = limitingRoom(load)
      const slow = (room === 'persist' || room === 'publish') && (load.stretch[room] ?? 99) >= 1.5
      assert.ok(load.threadShare >= 0.85 || !slow)
    }),
  )
})

test('more lag never asks for fewer, a slower server never for more', () => {
  fc.assert(
    fc.property(loads, fc.double({ min: 0, max: 1000, noNaN: true }), (load, more) => {
      const now = usefulReplicas(load) ?? Number.NaN
      const room = limitingRoom(load)
      if (room !== null) assert.ok((usefulReplicas({ ...load, lagSeconds: load.lagSeconds + more }) ?? 0) >= now)
      const slower = { persist: (load.stretch.persist ?? 1) + more, publish: (load.stretch.publish ?? 1) + more }
      if (load.stretch.persist !== null && load.stretch.publish !== null)
        assert.ok((usefulReplicas({ ...load, stretch: slower }) ?? 0) <= now)
    }),
  )
})
