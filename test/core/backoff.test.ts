import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import fc from 'fast-check'
import { type Backoff, retry } from '../../src/core/backoff.ts'
import { FatalError, LostError, TransientError } from '../../src/core/errors.ts'

const busy = () => new TransientError('POSTGRES_BUSY', 'busy')
const sleep: Backoff['sleep'] = (ms, signal) => delay(ms, undefined, { signal })
const quick: Backoff = { minMs: 0, maxMs: 0, random: () => 0, sleep }
const never = new AbortController().signal

test('transient errors are tried again until it works; each retry is told with its number', async () => {
  const told: number[] = []
  const answer = await retry(
    async (attempt) => {
      if (attempt < 4) throw busy()
      return `after ${attempt}`
    },
    quick,
    never,
    (_, attempt) => told.push(attempt),
  )
  assert.equal(answer, 'after 4')
  assert.deepEqual(told, [0, 1, 2, 3])
})

test('anything but a transient error ends it at once', async () => {
  for (const error of [new LostError('FENCED', ''), new FatalError('BUG', '', ''), new TypeError('x')]) {
    let attempts = 0
    const work = async () => {
      attempts++
      throw error
    }
    await assert.rejects(retry(work, quick, never, assert.fail), error)
    assert.equal(attempts, 1)
  }
})

test('a delay is between half of its cap and all of it', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 1000 }),
      fc.integer({ min: 1, max: 100_000 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      async (minMs, maxMs, random) => {
        const stop = new AbortController()
        const delays: number[] = []
        // The signal ends the first wait as it begins: no run waits.
        const retrying = retry(
          async () => {
            throw busy()
          },
          { minMs, maxMs, random: () => random, sleep },
          stop.signal,
          (_, __, delayMs) => {
            delays.push(delayMs)
            stop.abort(new Error('enough'))
          },
        )
        await assert.rejects(retrying, { message: 'enough' })
        const cap = Math.min(maxMs, minMs)
        assert.equal(delays.length, 1)
        assert.ok((delays[0] as number) >= cap / 2 && (delays[0] as number) <= cap, `${delays[0]} of ${cap}`)
      },
    ),
  )
})

test('delays double up to the cap, also after a hundred attempts', async () => {
  const delays: number[] = []
  await retry(
    async (attempt) => {
      if (attempt < 100) throw busy()
    },
    { minMs: 0.01, maxMs: 0.05, random: () => 1, sleep },
    never,
    (_, __, delayMs) => delays.push(delayMs),
  )
  assert.deepEqual(delays.slice(0, 5), [0.01, 0.02, 0.04, 0.05, 0.05])
  assert.equal(Math.max(...delays), 0.05)
})

test('aborted while waiting: the reason comes out, whatever it is, and no new attempt begins', async () => {
  // A lane whose publish/ waits for Redis is fenced by persist/: what is thrown must say "fenced", not "aborted".
  const stop = new AbortController()
  let attempts = 0
  const waiting = retry(
    async () => {
      attempts++
      throw busy()
    },
    { minMs: 60_000, maxMs: 60_000, random: () => 0, sleep },
    stop.signal,
    () => setImmediate(() => stop.abort(new LostError('FENCED', 'another process'))),
  )
  await assert.rejects(waiting, (error: unknown) => error instanceof LostError && error.code === 'FENCED')
  assert.equal(attempts, 1)
})

test('aborted before the first attempt: nothing is done', async () => {
  await assert.rejects(
    retry(async () => assert.fail(), quick, AbortSignal.abort(new Error('gone')), assert.fail),
    { message: 'gone' },
  )
})
