/** The line to PostgreSQL is lost exactly where a transaction's fate is decided; the ledger says what became of it. */
import { test } from 'node:test'
import { type Fate, startCommitProxy } from './commit-proxy.ts'
import { useStack } from './harness.ts'
import { through } from './proxy.ts'
import { until } from './until.ts'

const servers = useStack()

test('the answer to COMMIT is lost, again and again', async (t) => {
  const world = await servers.world(t)
  const { random } = world
  let losing = true
  const proxy = await startCommitProxy(world.postgresUrl, () => {
    if (!losing || random.unit() > 0.4) return 'pass'
    return (['before', 'during', 'answer'] as const)[random.below(3)] as Fate
  })
  t.after(() => proxy.close())
  const MILLRACE_POSTGRES = through(world.postgresUrl, proxy)
  await world.replica({ MILLRACE_POSTGRES })
  await world.replica({ MILLRACE_POSTGRES })
  const load = world.load({ rate: 1000 })
  await until('every fate to have come to pass many times', 120_000, () => {
    const { before, during, answer } = proxy.fates
    if (Math.min(before, during, answer) >= 12) return true
    throw new Error(JSON.stringify(proxy.fates))
  })
  losing = false
  await load.stop()
  await world.untilDrained()
  t.diagnostic(`fates: ${JSON.stringify(proxy.fates)}`)
  await world.proof()
})
