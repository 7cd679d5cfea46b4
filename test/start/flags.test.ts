import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readStartFlags } from '../../src/start/flags.ts'

test('without flags: the main job', () => {
  assert.deepEqual(readStartFlags({}, 1234.5), {
    forMs: null,
    rate: 6667,
    replicas: 2,
    partitions: 100,
    seed: 1234,
    duplicates: 0.001,
    poison: 0.0005,
    binary: 0,
    observe: null,
    json: false,
    fresh: null,
    pagePort: null,
  })
})

test('flags as people write them', () => {
  const options = readStartFlags({ for: '1m30s', rate: '20_000', replicas: '3', seed: '7', keep: true, json: true }, 0)
  assert.deepEqual(
    [options.forMs, options.rate, options.replicas, options.seed, options.fresh, options.json],
    [90_000, 20_000, 3, 7, false, true],
  )
  assert.equal(readStartFlags({ rate: 'max', fresh: true }, 0).rate, Number.POSITIVE_INFINITY)
})

test('what cannot be is refused with what could', () => {
  for (const [flags, says] of [
    [{ for: '30' }, /no unit/],
    [{ for: '500ms' }, /a second or more|--for/],
    [{ rate: '0' }, /--rate reads '0'/],
    [{ replicas: '0' }, /--replicas/],
    [{ partitions: 'many' }, /--partitions/],
    [{ poison: '1.5' }, /--poison/],
    [{ pagePort: '70000' }, /--page-port/],
    [{ keep: true, fresh: true }, /both given/],
  ] as const) {
    assert.throws(
      () => readStartFlags(flags, 0),
      (error: Error & { code?: string }) => error.code === 'USAGE' && says.test(error.message),
    )
  }
})
