import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Pace } from '../../src/core/pace.ts'

/** Windows of ten seconds, each so many seconds of work for 50,000 rows in 20 batches. */
function noted(pace: Pace, fromMs: number, ...seconds: number[]): number {
  let ms = fromMs
  for (const one of seconds) {
    ms += 10_000
    pace.note(ms, one, 50_000, 20)
  }
  return ms
}

test('a row now against a row at its best; not before a minute of full batches', () => {
  const pace = new Pace()
  let ms = noted(pace, 0, 4, 4, 4, 4, 4)
  assert.equal(pace.stretch, null)
  ms = noted(pace, ms, 2)
  assert.equal(pace.stretch, 1)
  noted(pace, ms, 6)
  assert.equal(pace.stretch, 3)
})

test('small batches pay for their round trip and say nothing, nor do a few rows', () => {
  const pace = new Pace()
  const ms = noted(pace, 0, 4, 4, 4, 4, 4, 4)
  pace.note(ms + 10_000, 4, 50_000, 1000)
  assert.equal(pace.stretch, null)
  pace.note(ms + 20_000, 0.001, 500, 1)
  assert.equal(pace.stretch, null)
  noted(pace, ms + 20_000, 4)
  assert.equal(pace.stretch, 1, 'and are not taken for the best')
})

test('the best is forgotten after an hour', () => {
  const pace = new Pace()
  let ms = noted(pace, 0, 1, 1, 1, 1, 1, 1)
  ms = noted(pace, ms, ...Array<number>(340).fill(3))
  assert.equal(pace.stretch, 3)
  ms = noted(pace, ms, ...Array<number>(60).fill(3))
  assert.equal(pace.stretch, 1)
  noted(pace, ms + 10 * 3_600_000, 9)
  assert.equal(pace.stretch, 1, 'nothing is left of before a long silence')
})
