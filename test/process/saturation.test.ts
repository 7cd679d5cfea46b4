import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMetrics, type Metrics } from '../../src/core/registry.ts'
import type { PartitionLag } from '../../src/process/lag.ts'
import { watchSaturation } from '../../src/process/saturation.ts'

function second(metrics: Metrics, working: number, rows: number): void {
  for (const room of ['decode', 'persist', 'publish'] as const) {
    const share = room === 'persist' ? working : 0.1
    metrics.counter('room_seconds_total', { room, state: 'working' }).add(share)
    metrics.counter('room_seconds_total', { room, state: 'input' }).add(1 - share)
    metrics.counter('batches_total', { room }).add(rows / 1000)
  }
  metrics.counter('rows_total').add(rows)
  metrics.counter('entries_total').add(rows)
}

test('bottleneck, stretch and useful replicas from the counters of the last seconds', async (t) => {
  const metrics = createMetrics({ processMetrics: false })
  let ms = 0
  let lags: PartitionLag[] = []
  const saturation = watchSaturation({ metrics, steadyMs: () => ms, flush() {}, partitions: 4, lags: () => lags })
  t.after(() => saturation.close())
  const run = (seconds: number, working: number, rows: number) => {
    for (let n = 0; n < seconds; n++) {
      ms += 1000
      second(metrics, working, rows)
      saturation.look()
    }
  }
  const value = async (line: string) => {
    const found = (await metrics.render()).split('\n').find((one) => one.startsWith(`millrace_${line} `))
    return found === undefined ? null : Number(Number(found.slice(found.lastIndexOf(' ') + 1)).toFixed(6))
  }

  assert.equal(await value('useful_replicas'), null, 'no partition yet')
  lags = [0, 1].map((partition) => ({ partition, records: 0, seconds: 0 }))
  run(9, 0.9, 9000)
  assert.equal(await value('useful_replicas'), null, 'it has just begun')
  run(62, 0.9, 9000)
  assert.equal(await value('bottleneck{room="persist"}'), 0, 'no lag')
  assert.equal(await value('useful_replicas'), 2)
  assert.equal(await value('room_stretch{room="persist"}'), 1)

  lags = [0, 1].map((partition) => ({ partition, records: 1000, seconds: 60 }))
  assert.equal(await value('bottleneck{room="persist"}'), 1)
  assert.equal(await value('bottleneck{room="decode"}'), 0)
  assert.equal(await value('useful_replicas'), 4, 'PostgreSQL is as fast as ever')

  // Others have come, and PostgreSQL gives each of us half.
  run(20, 0.9, 4500)
  assert.equal(await value('room_stretch{room="persist"}'), 2)
  assert.equal(await value('useful_replicas'), 2)
  assert.ok(((await value('main_thread_share')) ?? -1) >= 0)
  assert.notEqual(await value('event_loop_delay_seconds{quantile="0.99"}'), null)
})
