import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkDescription, type ReplayDescription } from '../../src/replay/description.ts'
import { checkTogether, readDescription, readOffsets, readSpeed, readTarget, readWhen } from '../../src/replay/flags.ts'

const now = Date.parse('2026-11-21T12:00:00Z')
const given = { consumer: 'cloud-events', source: 'auto', into: 'stdout', format: 'jsonl', httpMode: 'structured' }
const usage = (pattern: RegExp) => (error: Error & { code?: string }) =>
  error.code === 'USAGE' && pattern.test(error.message)

test('times: with a zone, a day, or so long ago', () => {
  assert.equal(readWhen('from', '2026-11-21T09:30:00+01:00', now), Date.parse('2026-11-21T08:30:00Z'))
  assert.equal(readWhen('from', '2026-11-20', now), Date.parse('2026-11-20T00:00:00Z'))
  assert.equal(readWhen('from', '1h30m', now), now - 5_400_000)
  assert.equal(readWhen('to', 'now', now), now)
  for (const wrong of ['2026-11-21T09:30:00', '2026-13-45', 'yesterday', '', '12'])
    assert.throws(() => readWhen('from', wrong, now), usage(/from|--from/), wrong)
})

test('speeds', () => {
  assert.deepEqual(['max', 'step', 'real', '10x', '0.5x', '3'].map(readSpeed), ['max', 'step', 1, 10, 0.5, 3])
  for (const wrong of ['0', '0x', '-1', '-2x', 'fast', 'NaN', '1e9', ''])
    assert.throws(() => readSpeed(wrong), usage(/--speed/))
})

test('offsets', () => {
  assert.deepEqual(readOffsets('3:100-200'), { partition: 3, from: 100, to: 200 })
  assert.deepEqual(readOffsets('3:-200'), { partition: 3, from: null, to: 200 })
  assert.deepEqual(readOffsets('3'), { partition: 3, from: null, to: null })
  for (const wrong of ['', 'a', '3:', '3:5', '3:1-2-3', '-1:2-3'])
    assert.throws(() => readOffsets(wrong), usage(/--offsets/), wrong)
})

test('targets', () => {
  const of = (into: string) => readTarget({ ...given, into }, '/d')
  assert.deepEqual(of('file:a/b:c.jsonl'), { kind: 'file', path: '/d/a/b:c.jsonl', format: 'jsonl' })
  assert.deepEqual(of('redis:replay:x'), { kind: 'redis', stream: 'replay:x' })
  assert.deepEqual(of('https://h/p'), { kind: 'webhook', url: 'https://h/p', mode: 'structured' })
  assert.throws(() => of('elsewhere'), usage(/--into/))
  assert.throws(() => readTarget({ ...given, into: 'file:x', format: 'xml' }, '/d'), usage(/--format/))
})

function description(changes: Partial<ReplayDescription>): ReplayDescription {
  return { ...readDescription(given, { id: 'r-1', nowMs: now, directory: '/d' }), ...changes }
}

test('what no server needs to be asked about is told at once', () => {
  checkDescription(description({}))
  const select = description({}).select
  const wrongs: [Partial<ReplayDescription>, RegExp][] = [
    [{ fromMs: 5, toMs: 5 }, /range is empty/],
    [{ fromMs: 6, toMs: 5 }, /range is empty/],
    [{ fromMs: -1 }, /No event/],
    [{ fromMs: Number.NaN }, /No event/],
    [{ speed: 0 }, /speed of 0/],
    [{ speed: -3 }, /speed of -3/],
    [{ speed: Number.NaN }, /speed of NaN/],
    [{ ratePerSecond: 0 }, /rate of 0/],
    [{ offsets: [{ partition: 0, from: 1, to: 2 }] }, /places in Kafka/],
    [{ source: 'kafka', offsets: [{ partition: 0, from: 2, to: 2 }] }, /are none/],
    [{ source: 'kafka', offsets: [{ partition: 0, from: 1, to: 2 }], fromMs: 1 }, /Both/],
    [{ select: { ...select, keys: ['k'] } }, /keys of records/],
    [{ select: { ...select, types: [''] } }, /types/],
    [{ target: { kind: 'redis', stream: 'events:cloud:{0}' } }, /live/],
    [{ target: { kind: 'redis', stream: 'replay:' } }, /live/],
    [{ target: { kind: 'table', table: 'Robert"; drop' } }, /no name for a table/],
    [{ target: { kind: 'webhook', url: 'http://', mode: 'binary' } }, /no URL/],
    [{ target: { kind: 'webhook', url: 'ftp://h/', mode: 'binary' } }, /no URL/],
    [{ target: { kind: 'webhook', url: 'http://me:secret@h/', mode: 'binary' } }, /^The URL of h holds/],
    [{ target: { kind: 'file', path: '', format: 'jsonl' } }, /no name/],
    [{ id: 'A"b' }, /cannot be called/],
  ]
  for (const [changes, pattern] of wrongs)
    assert.throws(() => checkDescription(description(changes)), usage(pattern), JSON.stringify(changes))
})

test('a description is plain JSON', () => {
  const one = description({ source: 'kafka', offsets: [{ partition: 1, from: null, to: 7 }], ratePerSecond: null })
  assert.deepEqual(JSON.parse(JSON.stringify(one)), one)
})

test('what would change nothing is refused', () => {
  const read = (more: object) => readDescription({ ...given, ...more }, { id: 'r-1', nowMs: now, directory: '/d' })
  assert.throws(() => read({ format: 'batch' }), usage(/--format is of a file/))
  assert.throws(() => read({ into: 'file:x', httpMode: 'batch' }), usage(/--http-mode is of a webhook/))
  checkTogether({ ...given, type: ['t'], id: 'x', speed: '2x' })
  checkTogether({ ...given, resume: 'r-1', speed: '2x', rate: 'max', json: true })
  checkTogether({ ...given, list: true, json: true })
  assert.throws(
    () => checkTogether({ ...given, resume: 'r-1', eventSource: ['/s'] }),
    usage(/--event-source .* --resume/),
  )
  assert.throws(() => checkTogether({ ...given, resume: 'r-1', into: 'file:x' }), usage(/--into .* --resume/))
  assert.throws(() => checkTogether({ ...given, resume: 'r-1', dryRun: true }), usage(/--dry-run/))
  assert.throws(() => checkTogether({ ...given, discard: 'r-1', speed: '2x' }), usage(/--speed .* --discard/))
  assert.throws(() => checkTogether({ ...given, resume: 'a', discard: 'b' }), usage(/--discard .* --resume/))
})
