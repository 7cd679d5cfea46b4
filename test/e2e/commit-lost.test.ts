/** The line to PostgreSQL is lost exactly where a transaction's fate is decided; the ledger says what became of it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Fate, startCommitProxy } from './commit-proxy.ts'
import { useStack } from './harness.ts'
import { through } from './proxy.ts'

const servers = useStack()

test('the answer to COMMIT is lost, again and again', async (t) => {
  const world = await servers.world(t)
  const { random } = world
  let losing = true
  const proxy = await startCommitProxy(world.postgresUrl, () => {
    if (!losing || random.unit() > 0.2) return 'pass'
    return (['before', 'during', 'answer'] as const)[random.below(3)] as Fate
  })
  t.after(() => proxy.close())
  const MILLRACE_POSTGRES = through(world.postgresUrl, proxy)
  await world.replica({ MILLRACE_POSTGRES })
  await world.replica({ MILLRACE_POSTGRES })
  const { produced } = await world.load({ rate: 2000, events: 20_000, duplicates: 0.001 }).done
  losing = false
  await world.untilDrained()
  t.diagnostic(`fates: ${JSON.stringify(proxy.fates)}`)
  for (const fate of ['before', 'during', 'answer'] as const) assert(proxy.fates[fate] >= 10, fate)
  await world.proof(produced)
})
