/** What a lane's observer makes of a batch: times, and what is counted of it and what not. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Arrivals } from '../../src/core/arrivals.ts'
import { Marks } from '../../src/core/marks.ts'
import { createMetrics } from '../../src/core/registry.ts'
import { openBusiness } from '../../src/core/tally.ts'
import type { PartitionState } from '../../src/flow/lane.ts'
import { observeLane } from '../../src/process/observe.ts'
import { batchOf, definition, nowMs, record } from '../flow/batches.ts'

const stored = { foreign: null, known: null, certain: true }

function open() {
  const metrics = createMetrics({ processMetrics: false })
  const business = openBusiness(definition.metrics ?? [], () => 0)
  const clock = { now: nowMs, steady: 0 }
  const clocks = { nowMs: () => clock.now, steadyMs: () => clock.steady }
  const observer = observeLane(metrics, clocks, { last: 0 }, () => {}, business)
  const state: PartitionState = {
    partition: 0,
    marks: new Marks(0, 0),
    streams: new Map(),
    noted: new Map(),
    arrivals: new Arrivals(),
    highWatermark: 0,
    revoked: false,
  }
  const counted = () => (business.series[0]?.read() ?? []).reduce((sum, { value }) => sum + value, 0)
  return { metrics, observer, clock, state, counted }
}
const batch = (again = false) =>
  batchOf({
    partition: 0,
    records: [
      record(0, { id: 'a', timeMs: nowMs - 5000 }),
      record(1, { id: 'b', timeMs: nowMs - 9000 }),
      record(2, 'bad'),
    ],
    again,
  })

test('from the event and from Kafka to COMMIT; the time of the attempt that stored, not of those before', () => {
  const { metrics, observer, clock, state, counted } = open()
  observer.storing()
  clock.steady += 70_000
  observer.storing()
  clock.steady += 25
  clock.now += 40
  observer.persisted(batch(), stored, [state])
  assert.equal(metrics.sum('copy_seconds_total'), 0.025)
  assert.equal(metrics.sum('rows_total'), 2)
  assert.equal(metrics.sum('rejects_total'), 1)
  assert.equal(metrics.histogram('produced_to_stored_seconds').sum, 80)
  assert.equal(metrics.histogram('event_to_stored_seconds').sum, 5040 + 9040)
  assert.equal(counted(), 2)
  observer.published(batch(), 2)
  assert.equal(metrics.histogram('event_to_published_seconds').count, 2)
})

test('rows that were there before are duplicates: neither rows nor events, and no latency of anything', () => {
  const { metrics, observer, state, counted } = open()
  observer.storing()
  observer.persisted(batch(), { ...stored, known: new Set([1]) }, [state])
  assert.deepEqual([metrics.sum('rows_total'), metrics.sum('duplicates_total'), counted()], [1, 1, 1])
  assert.equal(metrics.histogram('event_to_stored_seconds').count, 1)
})

test('what comes by again, and what an heir may have stored, has passed the room and is counted no further', () => {
  for (const [one, answer] of [
    [batch(true), stored],
    [batch(), { ...stored, certain: false }],
  ] as const) {
    const { metrics, observer, state, counted } = open()
    observer.storing()
    observer.persisted(one, answer, [state])
    assert.equal(metrics.sum('records_total', { room: 'persist' }), 3)
    assert.deepEqual([metrics.sum('rows_total'), metrics.sum('rejects_total'), counted()], [0, 0, 0])
    assert.equal(metrics.sum('copy_seconds_total'), 0)
  }
})
