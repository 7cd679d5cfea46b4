import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FatalError } from '../../src/core/errors.ts'
import { readFlags, type SimulateFlags } from '../../src/simulate/flags.ts'

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
    tenants: 20,
    tenantSkew: 1,
    hotShare: 0,
    hotPartitions: 1,
    idempotent: false,
    abort: 0,
    processes: 1,
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
    tenants: '500',
    tenantSkew: '1.5',
    keySkew: '2',
    hot: '0.3',
    hotPartitions: '2',
    processes: '4',
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
    tenants: 500,
    tenantSkew: 1.5,
    keySkew: 2,
    hotShare: 0.3,
    hotPartitions: 2,
    idempotent: false,
    abort: 0,
    processes: 4,
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
    { profile: 'flat' },
    { tenants: '0' },
    { processes: '1000' },
    { hot: '2' },
    { size: '10' },
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

test('a profile is a plan; what it needs and what it has no use for is said', () => {
  const read = (flags: SimulateFlags) => readFlags(flags, now)
  assert.equal(read({ profile: 'constant' }).profile, undefined)
  assert.deepEqual(read({ profile: 'spike', rate: '1000', period: '10s' }).profile, {
    name: 'spike',
    rate: 1000,
    peak: 3000,
    periodMs: 10_000,
  })
  assert.equal(read({ profile: 'ramp', rate: '1000', peak: '20_000' }).profile?.peak, 20_000)
  assert.throws(() => read({ profile: 'sine', rate: 'max' }), /needs a rate/)
  assert.throws(() => read({ profile: 'soak', peak: '5' }), /has no --peak/)
})

test('what kafkajs cannot do together is refused', () => {
  assert.equal(readFlags({ transactional: true }, now).transactionalId, 'millrace-simulate')
  assert.deepEqual(readFlags({ transactional: 'mine' }, now).idempotent, true)
  assert.throws(() => readFlags({ idempotent: true, acks: '1' }, now), /waits for all replicas/)
  assert.throws(() => readFlags({ abort: '0.1' }, now), /without --transactional/)
})

test('sizes are one, or a range', () => {
  assert.deepEqual(readFlags({ size: '2KiB' }, now).size, [2048, 2048])
  assert.deepEqual(readFlags({ size: '200-20kB' }, now).size, [200, 20_000])
  assert.throws(() => readFlags({ size: '20kB-200' }, now), /--size reads/)
})
