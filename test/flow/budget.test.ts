import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { Budget } from '../../src/flow/budget.ts'

const begun = (budget: Budget, bytes: number) => {
  const state = { taken: false }
  void budget.take(bytes).then(() => {
    state.taken = true
  })
  return state
}

test('whoever does not fit waits until enough has left', async () => {
  const budget = new Budget(100)
  await budget.take(60)
  const waiting = begun(budget, 50)
  await turn()
  assert.equal(waiting.taken, false)
  budget.give(5)
  await turn()
  assert.equal(waiting.taken, false)
  budget.give(5)
  await turn()
  assert.equal(waiting.taken, true)
  assert.equal(budget.bytes, 100)
})

test('a load larger than the bound passes when it is alone, and only then', async () => {
  const budget = new Budget(100)
  await budget.take(1)
  const large = begun(budget, 1000)
  await turn()
  assert.equal(large.taken, false)
  budget.give(1)
  await turn()
  assert.equal(large.taken, true)
  const small = begun(budget, 1)
  await turn()
  assert.equal(small.taken, false)
  budget.give(1000)
  await turn()
  assert.equal(small.taken, true)
})

test('for any loads: never more than the bound is held unless by one alone, and everybody gets through', async () => {
  await fc.assert(
    fc.asyncProperty(
      // A load of nothing may be taken in beside one that passed alone.
      fc.array(fc.integer({ min: 1, max: 150 }), { maxLength: 20 }),
      fc.scheduler(),
      async (loads, s) => {
        const budget = new Budget(100)
        const all = loads.map(async (bytes, index) => {
          await s.schedule(Promise.resolve(), `arrive ${index}`)
          await budget.take(bytes)
          assert.ok(budget.bytes <= 100 || budget.bytes === bytes, `${budget.bytes} are held`)
          await s.schedule(Promise.resolve(), `leave ${index}`)
          budget.give(bytes)
        })
        await s.waitFor(Promise.all(all))
        assert.equal(budget.bytes, 0)
      },
    ),
  )
})
