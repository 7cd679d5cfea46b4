import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatDuration, parseDuration } from '../../src/core/duration.ts'
import { FatalError } from '../../src/core/errors.ts'

test('what people write', () => {
  const known: [string, number][] = [
    ['250ms', 250],
    ['30s', 30_000],
    ['5m', 300_000],
    ['1h30m', 5_400_000],
    ['1.5h', 5_400_000],
    ['2d', 172_800_000],
    [' 10S ', 10_000],
    ['0s', 0],
    ['1s500ms', 1500],
  ]
  for (const [text, ms] of known) assert.equal(parseDuration(text), ms, text)
})

test('what nobody can read is refused by name, with what to write instead', () => {
  for (const text of [
    '',
    '30',
    '1.5',
    's',
    '-5s',
    '5 s',
    '30sec',
    '1m1h',
    '1s1s',
    '1e3s',
    '9999999999999d',
    'Infinity',
  ]) {
    assert.throws(
      () => parseDuration(text, '--for'),
      (error: unknown) =>
        error instanceof FatalError && error.code === 'USAGE' && error.message.includes('--for') && error.remedy !== '',
      text,
    )
  }
})

test('property: every whole number of milliseconds survives being written and read', () => {
  fc.assert(fc.property(fc.nat(2 ** 40), (ms) => parseDuration(formatDuration(ms)) === ms))
})

test('property: any text is a duration or a USAGE error, nothing else', () => {
  const text = fc.oneof(fc.string(), fc.stringMatching(/^[0-9.dhms ]{0,12}$/))
  fc.assert(
    fc.property(text, (value) => {
      try {
        return parseDuration(value) >= 0
      } catch (error) {
        return error instanceof FatalError && error.code === 'USAGE'
      }
    }),
  )
})
