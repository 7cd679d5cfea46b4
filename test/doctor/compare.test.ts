import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compare } from '../../src/doctor/doctor.ts'

const kafka = { offsets: new Map([0, 1, 2].map((partition) => [partition, { low: 10, high: 100 }])) }
const streams = { families: 1, streamLengthMax: 100_000 }
const ledger = (...next: readonly [partition: number, nextOffset: number][]) => ({
  clock: null,
  ledger: next.map(([partition, nextOffset]) => ({ partition, nextOffset })),
})
const say = (findings: ReturnType<typeof compare>) => findings.map(({ level, found }) => `${level} ${found}`).join('\n')

test('a ledger within the topic is fine, and the backlog is counted', () => {
  assert.equal(
    say(compare(kafka, ledger([0, 100], [1, 40]), null, streams)),
    'ok 2 of 3 partitions begun, 150 records wait to be stored',
  )
})

test('what the ledger knows and the topic does not is said with the partitions', () => {
  const found = say(compare(kafka, ledger([0, 9], [1, 101], [7, 5]), null, streams))
  assert.match(found, /^fail TOPIC_SHRUNK: .*\(partitions 7\)$/m)
  assert.match(found, /^fail RETENTION_OVERTOOK: .*\(partitions 0\)$/m)
  assert.match(found, /^fail TOPIC_TRUNCATED: .*\(partitions 1\)$/m)
  assert.doesNotMatch(found, /begun/)
})

test('clocks apart are a warning, unless the question took as long', () => {
  const redis = (aheadMs: number, errorMs: number) =>
    compare(null, null, { clock: { aheadMs, errorMs }, masters: 1, memoryBytes: 0, memoryBound: 'maxmemory' }, streams)
  assert.match(say(redis(-1500, 2)), /^warn Redis's clock is 1500 ms behind ours \(to within 2 ms\)$/)
  assert.match(say(redis(1500, 700)), /^ok/)
})

test('streams that would not fit are a warning', () => {
  const clock = { aheadMs: 0, errorMs: 0 }
  const memory = (memoryBytes: number, families: number) =>
    say(compare(kafka, null, { clock, masters: 1, memoryBytes, memoryBound: 'maxmemory' }, { ...streams, families }))
  assert.match(
    memory(1024 ** 3, 1),
    /^ok 3 partitions x 1 families x 100000 entries would take about 0\.2 GiB; maxmemory is 1\.0 GiB$/m,
  )
  assert.match(memory(1024 ** 3, 6), /^warn .* 1\.2 GiB/m)
})
