/** The reducers of reducers/ over the simulator's events: they take all of them, say what an order, a customer, a subscription is, and are pure. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { canonicalJson, type Json } from '../../src/core/json.ts'
import type { ReducedEvent } from '../../src/define.ts'
import { fitting, loadReducer, loadReducers, reducerFor, reducerNames } from '../../src/process/load-reducer.ts'
import { createEvents } from '../../src/simulate/events.ts'
import { createFold } from '../../src/state/fold.ts'
import { instantOfMs } from '../../src/state/instant.ts'

const beginMs = Date.parse('2026-11-21T00:00:00Z')

function simulated(count: number): ReducedEvent[] {
  const events = createEvents({ seed: 7, partitions: 10, keySkew: 1.2 })
  return Array.from({ length: count }, (_, n) => {
    const { type, source, id, subject, tenant, timestampMs, data } = events.nextEvent(beginMs + n)
    const time = instantOfMs(timestampMs)
    return {
      key: id,
      source,
      id,
      type,
      subject,
      time,
      tenant,
      data: JSON.parse(data),
      dataBase64: null,
      extensions: {},
    }
  })
}

test('all events of the simulator are taken, twice with the same outcome', async () => {
  const all = await loadReducers()
  const run = () => {
    const states = new Map<string, Json>()
    const folds = new Map(all.map((one) => [one.name, createFold(one)]))
    for (const event of simulated(30_000)) {
      const reducer = fitting(all, event.subject)
      if (reducer === null) continue
      const fold = folds.get(reducer.name)
      assert.ok(fold)
      states.set(event.subject, fold(states.get(event.subject) ?? null, event))
    }
    return states
  }
  const [one, other] = [run(), run()]
  assert.ok(one.size > 1000)
  const kinds = new Set<string>()
  for (const [subject, state] of one) {
    assert.equal(canonicalJson(state), canonicalJson(other.get(subject) ?? null))
    assert.deepEqual(JSON.parse(JSON.stringify(state)), state, 'it comes back from text as it was')
    const { id, changes } = state as { id: string; changes: number }
    assert.equal(id, subject)
    assert.ok(changes > 0)
    kinds.add(subject.slice(0, 4))
  }
  assert.deepEqual([...kinds].sort(), ['cus_', 'ord_', 'sub_'])
})

const fold = async (name: string, subject: string, events: readonly [type: string, data: Json][]) => {
  const step = createFold(await loadReducer(name))
  let state: Json = null
  for (const [n, [type, data]] of events.entries()) {
    const time = instantOfMs(beginMs + n * 1000)
    const event = {
      key: String(n),
      source: 's',
      id: String(n),
      type,
      subject,
      time,
      tenant: null,
      data,
      dataBase64: null,
      extensions: {},
    }
    state = step(state, event)
  }
  return state as Record<string, Json>
}

test('an order, a customer, a subscription, as they become', async () => {
  const order = await fold('order', 'ord_1', [
    ['com.bss.order.created', { customerId: 'cus_1', amount: 10, currency: 'EUR' }],
    ['com.bss.order.updated', { amount: 12 }],
    ['com.bss.order.cancelled', null],
    ['com.bss.order.unheard-of', { amount: 99 }],
    ['com.bss.payment.captured', { amount: 99 }],
  ])
  assert.deepEqual(
    [order.status, order.amount, order.customer, order.closedAt, order.changes],
    ['cancelled', 12, 'cus_1', '2026-11-21T00:00:02.000000Z', 3],
  )
  const customer = await fold('customer', 'cus_1', [
    ['com.bss.customer.registered', { name: 'Ana', email: 'a@example.com', marketing: true }],
    ['com.bss.customer.verified', {}],
    ['com.bss.customer.updated', { email: 'b@example.com', marketing: false }],
  ])
  assert.deepEqual(
    [customer.name, customer.email, customer.marketing, customer.verified, customer.registeredAt],
    ['Ana', 'b@example.com', false, true, '2026-11-21T00:00:00.000000Z'],
  )
  const subscription = await fold('subscription', 'sub_1', [
    ['com.bss.usage.recorded', { meter: 'sms', quantity: 2 }],
    ['com.bss.subscription.activated', { plan: 'plus', price: 10 }],
    ['com.bss.usage.recorded', { meter: 'sms', quantity: 3 }],
    ['com.bss.usage.rated', { currency: 'EUR', amount: 0.1 }],
    ['com.bss.usage.rated', { currency: 'EUR', amount: 0.2 }],
    ['com.bss.usage.recorded', { meter: 7, quantity: 'many' }],
    ['com.bss.subscription.upgraded', { plan: 'family' }],
  ])
  assert.deepEqual(
    [subscription.status, subscription.plan, subscription.price, subscription.used, subscription.rated],
    ['active', 'family', 10, { sms: 5 }, { EUR: 30 }],
  )
})

test('a reducer is found by its name or its subjects; its hash is of its text', async () => {
  assert.deepEqual(reducerNames(), ['customer', 'order', 'subscription'])
  assert.equal((await reducerFor('ord_1')).name, 'order')
  await assert.rejects(reducerFor('inv_1'), { code: 'REDUCER_UNKNOWN' })
  await assert.rejects(loadReducer('../consumers/cloud-events'), { code: 'REDUCER_UNKNOWN' })
  await assert.rejects(loadReducer('custmer'), { code: 'REDUCER_UNKNOWN', remedy: "Did you mean 'customer'?" })
  // A server lives for long: what it has loaded keeps the hash of the text that was loaded, whatever becomes of the file.
  assert.equal(await loadReducer('order'), await loadReducer('order'))
  const hashes = (await loadReducers()).map(({ hash }) => hash)
  assert.equal(new Set(hashes).size, 3)
  for (const hash of hashes) assert.match(hash, /^[0-9a-f]{16}$/)
  const text = readFileSync(new URL('../../reducers/order.ts', import.meta.url), 'utf8')
  assert.ok(!text.includes('Date.now'), 'a reducer has no clock')
})
