import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  fullName,
  type MetricName,
  metricRows,
  renderBusinessTable,
  renderMetricsTable,
  seriesNames,
} from '../../src/core/metrics.ts'
import { createMetrics } from '../../src/core/registry.ts'

test('counters, gauges and readers are rendered as Prometheus reads them', async () => {
  const metrics = createMetrics({ processMetrics: false })
  const stored = metrics.counter('records_total', { room: 'persist' })
  stored.add(3)
  metrics.counter('records_total', { room: 'persist' }).add()
  metrics.counter('rejects_total', { code: 'not_json' }).add(2)
  metrics.counter('rejects_total', { code: 'a"b\\c\nd' }).add(1)
  metrics.gauge('bytes_in_flight').set(12)
  let partitions = [7, 8]
  metrics.observe('mark', () =>
    partitions.map((partition) => [{ room: 'settle', topic: 't', partition }, 100 + partition] as const),
  )

  const text = await metrics.render()
  assert.match(text, /^# TYPE millrace_records_total counter$/m)
  assert.match(text, /^millrace_records_total\{room="persist"\} 4$/m)
  assert.match(text, /^millrace_rejects_total\{code="a\\"b\\\\c\\nd"\} 1$/m)
  assert.match(text, /^millrace_rows_total 0$/m)
  assert.match(text, /^millrace_bytes_in_flight 12$/m)
  assert.match(text, /^millrace_mark\{room="settle",topic="t",partition="8"\} 108$/m)
  partitions = [7]
  assert.doesNotMatch(await metrics.render(), /partition="8"/)
  assert.equal(metrics.sum('rejects_total'), 3)
  assert.equal(metrics.sum('records_total', { room: 'decode' }), 0)
  assert.deepEqual(metrics.by('records_total', 'room'), { persist: 4 })
  for (const name of Object.keys(metricRows)) assert.match(text, new RegExp(`^# HELP millrace_${name} `, 'm'))
  assert.equal(renderMetricsTable().trim().split('\n').length, Object.keys(metricRows).length + 2)
})

test('histograms publish cumulative buckets in seconds', async () => {
  const metrics = createMetrics({ processMetrics: false })
  const stored = metrics.histogram('produced_to_stored_seconds')
  for (const ms of [4, 10, 14, 55, 200_000]) stored.record(ms)
  metrics.histogram('batch_rows').record(8192)
  const text = await metrics.render()
  const bucket = (le: string) =>
    Number(new RegExp(`^millrace_produced_to_stored_seconds_bucket\\{le="${le}"\\} (.+)$`, 'm').exec(text)?.[1])
  assert.deepEqual(['0.005', '0.01', '0.02', '0.05', '0.1', '102.4', '\\+Inf'].map(bucket), [1, 2, 3, 3, 4, 4, 5])
  assert.match(text, /^millrace_produced_to_stored_seconds_sum 200\.083$/m)
  assert.match(text, /^millrace_produced_to_stored_seconds_count 5$/m)
  assert.match(text, /^millrace_batch_rows_bucket\{le="8192"\} 1$/m)
  assert.match(text, /^millrace_batch_rows_bucket\{le="4096"\} 0$/m)
})

test('the process speaks for itself too', async () => {
  assert.match(await createMetrics().render(), /^nodejs_eventloop_lag_seconds /m)
})

test('the names that a query may use, with the labels of their parts', () => {
  const names = seriesNames([
    { name: 'x_total', help: '', label: 'kind', values: ['a'], of: () => 'a' },
    { name: 'x_bytes', help: '', measure: 'event_bytes' },
    { name: 'x_seconds', help: '', measure: 'processing_seconds' },
  ])
  assert.deepEqual(names.get('x_total')?.labels, ['kind'])
  assert.deepEqual(names.get('x_bytes')?.labels, ['quantile'])
  assert.deepEqual(names.get('x_bytes_sum')?.labels, [])
  assert.deepEqual(names.get('x_seconds_bucket')?.labels, ['le'])
  assert.ok(!names.has('x_seconds'))
  assert.deepEqual(names.get('millrace_mark')?.labels, ['room', 'topic', 'partition'])
  assert.ok(names.has('millrace_batch_rows_bucket') && !names.has('millrace_batch_rows'))
  assert.match(
    renderBusinessTable([{ name: 'x_total', help: 'All.' }]),
    /^\| `x_total` \| counter \| events \| {2}\| All\. \|$/m,
  )
})

test('names, units and labels keep to one pattern, and no label is a person, a tenant or an id', () => {
  const bounded = [
    'version',
    'consumer',
    'replica',
    'room',
    'state',
    'code',
    'action',
    'topic',
    'partition',
    'family',
    'server',
    'quantile',
    'outcome',
  ]
  for (const [name, { type, unit, labels }] of Object.entries(metricRows)) {
    assert.equal(fullName(name as MetricName), `millrace_${name}`)
    assert.equal(name.endsWith('_total'), type === 'counter', name)
    for (const base of ['seconds', 'bytes']) {
      assert.equal(new RegExp(`(^|_)${base}(_|$)`).test(name), unit === base, name)
    }
    for (const label of labels) assert.ok((bounded as readonly string[]).includes(label), `${name}: ${label}`)
  }
})
