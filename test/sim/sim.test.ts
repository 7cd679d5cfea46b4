/**
 * A handful of simulated worlds, and that a seed is a world: the same history, bit for bit. A seed means another world as soon as the simulation changes, so
 * what simulations have found is kept as cases beside the code: in test/process/assignment.test.ts (a ledger that goes back while nothing comes in, two
 * batches that wait at one gate, a stop while a batch waits for room, a Kafka that is busy when a gap is looked into) and in test/contract/persist.ts (a note that knows less).
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { timeline } from './history.ts'
import { runSeed } from './run.ts'

test('the same seed is the same world, bit for bit', async () => {
  for (const seed of [7, 11]) {
    const [first, second] = [await runSeed(seed), await runSeed(seed)]
    assert.equal(first.hash, second.hash)
    assert.deepEqual(first.history, second.history)
    assert.ok(first.history.length > 100)
  }
  assert.notEqual((await runSeed(7)).hash, (await runSeed(8)).hash)
})

test('a few worlds: everything comes to its end once, whatever happens', async (t) => {
  let simulatedMs = 0
  for (const seed of Array.from({ length: 25 }, (_, n) => 1000 + n)) {
    const outcome = await runSeed(seed)
    simulatedMs += outcome.simulatedMs
    assert.equal(outcome.finding, null, `npm run sim -- --seed ${seed}\n${timeline(outcome.history.slice(-40))}`)
  }
  t.diagnostic(`${Math.round(simulatedMs / 60_000)} simulated minutes`)
})
