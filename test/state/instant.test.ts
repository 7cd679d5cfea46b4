import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { instantOfMicros, justBefore, microsOf, readInstant, showInstant } from '../../src/state/instant.ts'

const nowMs = Date.parse('2026-11-21T12:00:00Z')

test('the order of the texts is the order of the times, to the microsecond', () => {
  const micros = fc.integer({ min: 1, max: Date.UTC(2250, 0) * 1000 })
  fc.assert(
    fc.property(micros, micros, (a, b) => {
      assert.equal(microsOf(instantOfMicros(a)), a)
      assert.equal(instantOfMicros(a) < instantOfMicros(b), a < b)
      assert.equal(microsOf(justBefore(instantOfMicros(a))), a - 1)
      assert.equal(readInstant('at', showInstant(instantOfMicros(a)), nowMs), instantOfMicros(a))
    }),
  )
})

test('what people write', () => {
  const cases: [string, string][] = [
    ['now', '2026-11-21T12:00:00.000000Z'],
    ['2h', '2026-11-21T10:00:00.000000Z'],
    ['1d12h', '2026-11-20T00:00:00.000000Z'],
    ['2026-11-20', '2026-11-20T00:00:00.000000Z'],
    ['2026-11-20T09:30', '2026-11-20T09:30:00.000000Z'],
    ['2026-11-20 09:30:01.5', '2026-11-20T09:30:01.500000Z'],
    ['2026-11-20T09:30:00.123456Z', '2026-11-20T09:30:00.123456Z'],
    ['2026-11-20T00:30:00+01:00', '2026-11-19T23:30:00.000000Z'],
  ]
  for (const [text, wanted] of cases) assert.equal(readInstant('at', text, nowMs), wanted, text)
})

test('impossible instants are refused, each with what was written', () => {
  for (const text of [
    '2026-02-30',
    '2026-11-21T25:00:00Z',
    '2026-13-01',
    '1969-12-31',
    '2300-01-01',
    '',
    'yesterday',
    '5',
    '-2h',
    '99999d',
    '2026-11-21T12:00:00+0100',
  ]) {
    assert.throws(
      () => readInstant('at', text, nowMs),
      (error: Error & { code?: string }) => error.code === 'USAGE' && error.message.includes(`'${text}'`),
      text,
    )
  }
})
