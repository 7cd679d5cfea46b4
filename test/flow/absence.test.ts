/** When storing goes on without Redis, and how lanes come back. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { TransientError } from '../../src/core/errors.ts'
import { Absence } from '../../src/flow/absence.ts'
import { assertLaw, assertPromise, isCaughtUp, openHouse, startProcess, until } from './house.ts'

const down = new TransientError('REDIS_UNREACHABLE', 'down')

function openAbsence(graceMs = 1000) {
  let nowMs = 0
  let probe = { asked: Promise.withResolvers<void>(), answer: Promise.withResolvers<void>() }
  const told: string[] = []
  const absence = new Absence<string>({
    graceMs,
    probeMs: 0,
    probe() {
      probe.asked.resolve()
      return probe.answer.promise
    },
    now: () => nowMs,
    sleep: () => turn(),
    signal: new AbortController().signal,
    on: {
      away: (error) => told.push(`away: ${error.code}`),
      back: (awayMs) => told.push(`back after ${awayMs}`),
      failed: (error) => told.push(`failed: ${error}`),
    },
  })
  return {
    absence,
    told,
    pass(ms: number) {
      nowMs += ms
    },
    async answer(error?: Error) {
      const { asked, answer } = probe
      const patience = setTimeout(() => asked.reject(new Error('nobody asks')), 5000)
      await asked.promise
      clearTimeout(patience)
      probe = { asked: Promise.withResolvers(), answer: Promise.withResolvers() }
      if (error === undefined) answer.resolve()
      else answer.reject(error)
      await turn()
    },
  }
}

test('failures within the grace are waited for, and one success ends them', () => {
  const { absence, told, pass } = openAbsence()
  assert.equal(absence.failed(down), false)
  pass(999)
  assert.equal(absence.failed(down), false)
  absence.succeeded()
  pass(999)
  assert.equal(absence.failed(down), false)
  assert.equal(absence.passes('a'), false)
  assert.deepEqual(told, [])
})

test('past the grace lanes pass by until they start over, though Redis is back before', async () => {
  const { absence, told, pass, answer } = openAbsence()
  absence.failed(down)
  pass(1000)
  assert.equal(absence.failed(down), true)
  assert.equal(absence.passes('a'), true)
  await answer(down)
  assert.equal(absence.away, true)
  pass(500)
  await answer()
  assert.equal(absence.away, false)
  assert.deepEqual([...absence.behind], ['a'])
  assert.equal(absence.passes('a'), true, 'a stream must have no hole')
  assert.equal(absence.passes('b'), false)
  absence.startsOver('a')
  assert.equal(absence.passes('a'), false)
  assert.deepEqual(told, ['away: REDIS_UNREACHABLE', 'back after 1500'])
  assert.equal(absence.failed(down), false, 'the grace begins anew')
})

test('what a probe meets that does not pass by itself is told', async () => {
  const { absence, told, answer } = openAbsence(0)
  assert.equal(absence.failed(down), true)
  await answer(new Error('WRONGPASS'))
  assert.deepEqual(told, ['away: REDIS_UNREACHABLE', 'failed: Error: WRONGPASS'])
})

test('while Redis is away rows are stored, also of partitions that come meanwhile; then the streams are filled, in order, once', async () => {
  const house = openHouse(4)
  let isDown = false
  house.streams.call = (apply) => {
    if (isDown) throw new TransientError('REDIS_UNREACHABLE', 'down')
    apply()
  }
  const stored = () => house.database.rows.size
  const produce = (from: number) => {
    for (let n = from; n < from + 100; n++) house.produce(n % 4, { id: `e${n}`, type: `com.x.${n % 3 ? 'a' : 'b'}` })
  }
  const first = startProcess(house, { storesOn: true })
  produce(0)
  await until('the first hundred', () => isCaughtUp(house) && stored() === 100, first)
  isDown = true
  produce(100)
  await until('rows without entries', () => stored() === 200, first)
  assert.equal(first.absence.away, true)
  assertLaw(house, first)

  // Its streams cannot be asked: it stores all the same.
  const second = startProcess(house, { storesOn: true })
  produce(200)
  await until('rows of both', () => stored() === 300, first, second)
  await first.kill()
  produce(300)
  await until('rows of the one that is left', () => stored() === 400, second)
  assertLaw(house, second)
  const entries = [...house.streams.streams.values()].reduce((sum, stream) => sum + stream.entries.length, 0)
  assert.equal(entries, 100)

  isDown = false
  await until('the streams to be filled', () => isCaughtUp(house), second)
  produce(400)
  await until('the end', () => isCaughtUp(house) && stored() === 500, second)
  assert.equal(second.absence.away, false)
  await second.drain()
  assertPromise(house)
  await turn()
})
