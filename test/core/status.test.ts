import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rooms } from '../../src/core/marks.ts'
import { createMetrics } from '../../src/core/registry.ts'
import { bottleneckOf, quantiles, readStatus, type Status, windowOf } from '../../src/core/status.ts'
import { factsOf } from '../live/statuses.ts'

const facts = factsOf({ startedMs: 1000 })

/** As the live view gets it: over the wire. */
const wire = (status: Status): Status => JSON.parse(JSON.stringify(status))

test('a window is the difference of two statuses', () => {
  const metrics = createMetrics({ processMetrics: false })
  const persist = { working: 0, input: 0, output: 0 }
  metrics.observe('room_seconds_total', () =>
    (['working', 'input', 'output'] as const).map((state) => [{ room: 'persist', state }, persist[state]] as const),
  )
  const step = (atMs: number, rows: number, ms: number, working: number) => {
    metrics.counter('records_total', { room: 'persist' }).add(rows)
    metrics.counter('rows_total').add(rows)
    metrics.counter('rejects_total', { code: 'not_json' }).add(1)
    metrics.histogram('produced_to_stored_seconds').record(ms, rows)
    metrics.histogram('batch_rows').record(rows)
    persist.working += working
    persist.input += 4 - working
    return wire(readStatus({ ...facts, atMs }, metrics))
  }
  const first = step(3000, 1000, 900, 1)
  const second = step(5000, 400, 12, 3)

  const window = windowOf(first, second)
  assert.equal(window.seconds, 2)
  assert.equal(window.perSecond.persist, 200)
  assert.equal(window.totals.rows, 400)
  assert.equal(window.totals.rejects, 1)
  assert.equal(window.working.persist, 0.75)
  assert.equal(window.bottleneck, 'persist')
  const { count, p50, p99 } = quantiles(window.storedMs)
  assert.equal(count, 400)
  assert(Math.abs(p50 - 12) < 0.6 && Math.abs(p99 - 12) < 0.6)
  assert.equal(window.batchRows.count, 1)
  assert.deepEqual(second.rejectsByCode, { not_json: 2 })

  // Started anew: everything since its own start.
  const anew = windowOf({ ...first, pid: 9 }, second)
  assert.deepEqual([anew.seconds, anew.totals.rows, anew.storedMs.count], [4, 1400, 1400])
})

test('the bottleneck is the busiest room, the source when none is busy, nobody when nothing flows', () => {
  const of = (share: Partial<Record<(typeof rooms)[number], number>>) =>
    Object.fromEntries(rooms.map((room) => [room, share[room] ?? 0])) as Record<(typeof rooms)[number], number>
  assert.equal(bottleneckOf(of({ decode: 0.7, persist: 0.9 }), of({ decode: 5 })), 'persist')
  assert.equal(bottleneckOf(of({ persist: 0.2 }), of({ persist: 5 })), 'source')
  assert.equal(bottleneckOf(of({ persist: 0.9 }), of({})), null)
})
