import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMetrics } from '../../src/core/registry.ts'
import { readStatus, type Status } from '../../src/core/status.ts'
import { createRecorder } from '../../src/live/recorder.ts'
import { factsOf } from './statuses.ts'

/** One life of a replica whose metrics a test moves on. */
function life(pid: number, startedMs: number) {
  const metrics = createMetrics({ processMetrics: false })
  return {
    store(rows: number, ms: number) {
      metrics.counter('rows_total').add(rows)
      metrics.counter('records_total', { room: 'persist' }).add(rows)
      metrics.histogram('produced_to_stored_seconds').record(ms, rows)
    },
    work(working: number, input: number) {
      metrics.counter('room_seconds_total', { room: 'persist', state: 'working' }).add(working)
      metrics.counter('room_seconds_total', { room: 'persist', state: 'input' }).add(input)
    },
    at: (atMs: number): Status => readStatus(factsOf({ pid, startedMs, atMs }), metrics),
  }
}

test('rates are of the window, summed over replicas', () => {
  const recorder = createRecorder()
  const one = life(1, 0)
  const two = life(2, 0)
  one.store(1000, 5)
  for (const second of [10, 11, 12]) {
    recorder.add('a', one.at(second * 1000))
    recorder.add('b', two.at(second * 1000))
    one.store(100, 5)
    two.store(300, 50)
    one.work(0.9, 0.1)
    two.work(0.3, 0.7)
  }
  recorder.add('a', one.at(13_000))
  recorder.add('b', two.at(13_000))
  const window = recorder.window(2000)
  assert.equal(window.stored, 400)
  assert.equal(recorder.window(2000, 'b').stored, 300)
  assert.ok(Math.abs((window.working.persist ?? 0) - 0.6) < 1e-9)
  assert.equal(window.working.consume, null)
  assert.equal(window.bottleneck, 'persist')
  assert.equal(window.storedMs.count, 800)
  assert.ok(window.storedMs.percentile(0.2) < 6 && window.storedMs.percentile(0.5) > 45)
})

test('a replica that began again counts from zero, and loses nothing it had told', () => {
  const recorder = createRecorder()
  const first = life(1, 0)
  first.store(500, 5)
  recorder.add('a', first.at(1000))
  recorder.mark()
  first.store(100, 10)
  recorder.add('a', first.at(2000))
  const second = life(2, 3000)
  second.store(50, 20)
  recorder.add('a', second.at(4000))
  assert.equal(recorder.totals().rows, 650)
  assert.equal(recorder.latest('a')?.pid, 2)
  // 50 rows in the second since it started; the first life has nothing to say in this window.
  assert.equal(recorder.window(1500).stored, 50)
  const { storedMs } = recorder.sinceMark()
  assert.equal(storedMs.count, 150)
  assert.ok(storedMs.percentile(0.5) < 11 && storedMs.percentile(0.99) > 19)
})

test('a clock that is set back leaves nothing behind that would stay', () => {
  const recorder = createRecorder()
  const one = life(1, 0)
  for (let second = 100; second < 110; second += 1) {
    one.store(100, 5)
    recorder.add('a', one.at(second * 1000))
  }
  for (let second = 40; second < 50; second += 1) {
    one.store(100, 5)
    recorder.add('a', one.at(second * 1000))
  }
  assert.equal(recorder.window(2000).stored, 100)
  assert.equal(recorder.totals().rows, 2000)
})
