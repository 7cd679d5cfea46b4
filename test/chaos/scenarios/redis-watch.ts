/** What the Redis scenarios look at and wait for. */
import assert from 'node:assert/strict'
import { millrace } from '../../e2e/millrace.ts'
import { until } from '../../e2e/until.ts'
import type { World } from '../scenario.ts'

export async function metricSum(world: World, name: string): Promise<number> {
  const values = await Promise.all(world.replicas.map((one) => one.metric(name)))
  return values.reduce((sum, value) => sum + value, 0)
}

/** All living replicas say that storing goes on without Redis, or that it does not. */
export const untilAway = (world: World, away: boolean) =>
  until(`every replica to be ${away ? 'without' : 'with'} Redis`, 45_000, async () => {
    world.signal.throwIfAborted()
    const all = await Promise.all(world.replicas.map((one) => one.metric('millrace_publish_away')))
    if (all.every((one) => one === Number(away))) return true
    throw new Error(all.join(', '))
  })

/** All streams, in an order that does not depend on where they lie. */
export async function streamKeys(world: World): Promise<string[]> {
  const found = await Promise.all(
    world.ground.redis.nodes.filter(({ isUp }) => isUp).map(({ admin }) => admin.keys('*:{*}')),
  )
  return [...new Set(found.flat())].sort()
}

/** A command of the operator's, with the settings of the fleet. */
export async function aloneWith(world: World, ...words: string[]): Promise<string> {
  const { code, out, err } = await millrace(world.env, ...words)
  assert.equal(code, 0, `millrace ${words.join(' ')}: ${out}${err}`)
  return out
}
