import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Rate } from '../../src/core/rate.ts'

test('events a second over the last whole seconds; the one that is not over does not count', () => {
  const rate = new Rate(10)
  for (let ms = 0; ms < 30_000; ms += 100) rate.add(ms, 5)
  assert.equal(rate.perSecond(30_500), 50)
  assert.equal(rate.perSecond(35_000), 25, 'half of the window was silent')
  assert.equal(rate.perSecond(41_000), 0)
  assert.equal(new Rate(10).perSecond(5000), 0)
})

test('a pause longer than the window leaves nothing behind in its slots', () => {
  const rate = new Rate(3)
  rate.add(1000, 100)
  rate.add(41_000, 9)
  assert.equal(rate.perSecond(42_000), 3)
})
