import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Progress } from '../../src/replay/port.ts'
import { estimateText, listText, progressLine, resultText, shownBytes } from '../../src/replay/print.ts'
import { describe } from './world.ts'

const progress: Progress = {
  id: 'r-1',
  state: 'running',
  speed: 10,
  events: 123_456,
  bytes: 70_000_000,
  fromPostgres: 120_000,
  fromKafka: 3456,
  atMs: Date.parse('2026-11-21T09:30:00Z'),
  share: 0.42,
  perSecond: 19_876.5,
  elapsedMs: 6200,
  etaMs: 8561,
  lateMs: 0,
  givesWay: false,
}

test('how far it is, on one line that fits', () => {
  assert.equal(
    progressLine(progress, 200),
    '[########............]  42 %  123,456 events  19,877/s, 10x  at 2026-11-21T09:30:00.000Z  9s left',
  )
  assert.match(progressLine({ ...progress, lateMs: 61_000 }, 200), /1m1s late$/)
  assert.match(progressLine({ ...progress, state: 'paused', etaMs: null, speed: 'step' }, 200), /paused \(step\)/)
  assert.equal(progressLine(progress, 40).length, 39)
})

test('how it ended, and how to go on', () => {
  assert.equal(
    resultText({ ...progress, state: 'done' }, 'file:x'),
    'Replay r-1: 123,456 events (66.8 MiB) into file:x; now 120,000 from PostgreSQL, 3,456 from Kafka, 6s200ms.\n',
  )
  assert.match(
    resultText({ ...progress, state: 'stopped' }, 'file:x'),
    /stopped after .*\nGo on with it: millrace replay --resume r-1; or/,
  )
})

test('what it would be', () => {
  const estimate = { events: 5, bytes: 2048, exact: true, postgres: 5, kafka: 0, firstMs: 0, lastMs: 1000 }
  assert.equal(
    estimateText(estimate),
    '5 events, about 2.0 KiB: 5 from PostgreSQL, 1970-01-01T00:00:00.000Z to 1970-01-01T00:00:01.000Z.\n',
  )
  assert.match(
    estimateText({ ...estimate, exact: false, kafka: 7, lastMs: null }),
    /^about 5 .*up to 7 from Kafka, from 1970.* on\.\n$/,
  )
  assert.equal(
    estimateText({ ...estimate, events: 0, bytes: 0, postgres: 0, firstMs: null, lastMs: null }),
    '0 events, about 0 B.\n',
  )
  assert.equal(shownBytes(5 * 1024 ** 4), '5.0 TiB')
})

test('a list', () => {
  assert.match(listText([]), /no replays/)
  const plan = { cuts: null, kafka: [] }
  const at = new Date(0)
  const stored = {
    description: describe(),
    plan,
    state: 'failed' as const,
    saved: null,
    failure: 'DISK_FULL: x',
    actor: 'a',
    begunAt: at,
    savedAt: at,
    held: false,
  }
  assert.match(
    listText([stored]),
    /^r-1 +failed +0 events, nowhere yet, 1970-01-01T00:00:00.000Z {2}stdout of r-1\n {4}DISK_FULL: x\n$/,
  )
  // Killed, it says nothing of that; the lock that died with it does.
  const running = { ...stored, state: 'running' as const, failure: null }
  assert.match(listText([running]), /^r-1 +interrupted /)
  assert.match(listText([{ ...running, held: true }]), /^r-1 +running /)
})
