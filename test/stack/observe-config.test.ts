import assert from 'node:assert/strict'
import { test } from 'node:test'
import { paces, quicken, replicaTargets } from '../../src/stack/observe-config.ts'

test('at the usual pace nothing is changed', () => {
  const text = 'for: 5m\nexpr: rate(x[1m])'
  assert.equal(quicken(text, paces.usual), text)
})

test('every duration is divided, windows stay long enough for a rate, and nothing else is touched', () => {
  const pace = { scrapeMs: 1000, divisor: 20 }
  assert.equal(quicken('        for: 30s\n', pace), '        for: 1500ms\n')
  assert.equal(quicken('        for: 0s\n', pace), '        for: 0s\n')
  assert.equal(quicken('rate(x[1m])', pace), 'rate(x[5000ms])')
  assert.equal(
    quicken('avg_over_time(a:b:rate5m[1h] offset 10m)', pace),
    'avg_over_time(a:b:rate5m[180000ms] offset 30000ms)',
  )
  assert.equal(
    quicken('  group_wait: 10s\n  group_interval: 1m\n  repeat_interval: 4h\n', pace),
    '  group_wait: 500ms\n  group_interval: 3000ms\n  repeat_interval: 720000ms\n',
  )
  const untouched = 'description: "50 ms, within 15 minutes, 6 * 3600"\nrecord: millrace:records:rate1m'
  assert.equal(quicken(untouched, pace), untouched)
})

test('a replica is a target under its name', () => {
  const text = replicaTargets('cloud-events', new Map([['replica-1', 'http://127.0.0.1:4711']]))
  assert.deepEqual(JSON.parse(text), [
    { targets: ['127.0.0.1:4711'], labels: { consumer: 'cloud-events', instance: 'replica-1' } },
  ])
})
