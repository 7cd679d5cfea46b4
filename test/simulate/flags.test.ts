import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FatalError } from '../../src/core/errors.ts'
import { readFlags, type SimulateFlags } from '../../src/simulate/flags.ts'
import { createHistogram } from '../../src/simulate/histogram.ts'

const now = () => 1234.5

test('without flags: the figures of `npm start`', () => {
  assert.deepEqual(readFlags({}, now), {
    topic: 'cloud-events',
    rate: 6667,
    seed: 1234,
    codec: 'snappy',
    duplicates: 0.001,
    poison: 0.0005,
    binary: 0,
    replicationFactor: 1,
    acks: -1,
    create: false,
    json: false,
  })
})

test('every flag', () => {
  const flags: SimulateFlags = {
    topic: 't',
    rate: 'max',
    for: '1m30s',
    events: '1_000_000',
    seed: '7',
    codec: 'zstd',
    duplicates: '0',
    poison: '1',
    binary: '0.5',
    partitions: '12',
    replication: '3',
    acks: '1',
    create: true,
    json: true,
  }
  assert.deepEqual(readFlags(flags, now), {
    topic: 't',
    rate: Number.POSITIVE_INFINITY,
    forMs: 90_000,
    events: 1_000_000,
    seed: 7,
    codec: 'zstd',
    duplicates: 0,
    poison: 1,
    binary: 0.5,
    partitions: 12,
    replicationFactor: 3,
    acks: 1,
    create: true,
    json: true,
  })
})

test('what is wrong is named, with what it takes', () => {
  const wrong: SimulateFlags[] = [
    { rate: '0' },
    { rate: '-5' },
    { rate: 'fast' },
    { rate: '' },
    { for: '30' },
    { events: '1.5' },
    { events: '0' },
    { seed: '-1' },
    { codec: 'brotli' },
    { duplicates: '2' },
    { poison: '' },
    { binary: 'yes' },
    { partitions: '0' },
    { acks: '2' },
    { replication: 'all' },
  ]
  for (const flags of wrong) {
    const [name, value] = Object.entries(flags)[0] as [string, string]
    assert.throws(
      () => readFlags(flags, now),
      (error: unknown) =>
        error instanceof FatalError &&
        error.code === 'USAGE' &&
        error.message.includes(`--${name}`) &&
        error.message.includes(`'${value}'`) &&
        error.remedy.length > 10,
      JSON.stringify(flags),
    )
  }
})

test('quantiles are those of the values, in whole milliseconds rounded up', () => {
  const histogram = createHistogram()
  assert.equal(histogram.quantile(0.99), 0)
  for (let ms = 1; ms <= 100; ms++) histogram.add(ms - 0.5)
  assert.equal(histogram.quantile(0.5), 50)
  assert.equal(histogram.quantile(0.99), 99)
  assert.equal(histogram.quantile(1), 100)
  histogram.add(-3)
  histogram.add(1e9)
  assert.equal(histogram.quantile(1), 10_000)
  assert.equal(histogram.quantile(0), 0)
})
