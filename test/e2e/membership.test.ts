/** Replicas that come and go in order: each drains within its budget, settles what it has published, and nothing is done twice. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { useStack, type World } from './harness.ts'
import { startProxy, through } from './proxy.ts'
import type { Replica } from './replica.ts'
import { within } from './until.ts'

const servers = useStack()

test('a second and a third replica join and leave under load, several times', async (t) => {
  const world = await servers.world(t)
  const { random } = world
  const alive: Replica[] = [await world.replica()]
  const load = world.load({ rate: 1500 })
  const ends: number[] = []
  for (let round = 0; round < 3; round++) {
    while (alive.length < 3) {
      alive.push(await world.replica())
      await world.untilServing()
    }
    // One leaves, or two in the same moment.
    const leaving = alive.splice(random.below(3), 1).concat(random.unit() < 0.5 ? alive.splice(random.below(2), 1) : [])
    for (const { code, ms } of await Promise.all(leaving.map((one) => one.stop()))) {
      assert.equal(code, 0)
      ends.push(Math.round(ms))
    }
    await world.untilServing()
  }
  t.diagnostic(`ended after ${ends.join(', ')} ms`)
  await load.stop()
  await world.untilDrained()
  await world.proof()
})

/** With nobody serving: what is published, what is stored and what Kafka was told are the same offsets. */
async function assertSettled(world: World): Promise<void> {
  const [ledger, committed] = [await world.ledger(), await world.committed()]
  const begun = [...ledger].filter(([partition]) => (committed.get(partition) ?? -1) >= 0)
  assert(begun.length > 0, 'something was settled')
  assert.deepEqual(new Map(begun), new Map(begun.map(([partition]) => [partition, committed.get(partition)])))
  const { rows } = await world.sql.query('SELECT count(*)::int FROM ledger WHERE published_offset < next_offset')
  assert.equal(rows[0].count, 0, 'the ledger knows what was published')
}

test('SIGTERM under load: exit 0, and everything that was stored is published and settled', async (t) => {
  const world = await servers.world(t)
  const load = world.load({ rate: 2000 })
  for (let round = 0; round < 3; round++) {
    const one = await world.replica()
    await world.untilServing([one])
    await sleep(world.random.below(500))
    const { code, ms } = await one.stop()
    assert.equal(code, 0)
    t.diagnostic(`ended after ${Math.round(ms)} ms`)
    await assertSettled(world)
  }
  const orphan = await world.replica()
  await world.untilServing([orphan])
  orphan.expectEnd()
  orphan.disconnect()
  const { code } = await within('the replica to notice that its parent is gone', 45_000, orphan.ended)
  assert.equal(code, 0, 'a dead parent ends it in order')
  await assertSettled(world)
  await load.stop()
  await world.replica()
  await world.untilDrained()
  await world.proof()
})

test('a drain that cannot end: a second signal ends it at once, and so does its budget', async (t) => {
  const world = await servers.world(t, { env: { MILLRACE_DRAIN_MS: '4000', MILLRACE_REDIS_TIMEOUT_MS: '20000' } })
  const proxy = await startProxy(world.redisUrl)
  t.after(() => proxy.close())
  const load = world.load({ rate: 1000 })

  const impatient = await world.replica({ MILLRACE_REDIS: through(world.redisUrl, proxy) })
  await world.untilServing([impatient])
  proxy.hold()
  await sleep(300)
  impatient.kill('SIGTERM')
  await impatient.untilLogged(/"draining"/, 5000)
  const secondMs = performance.now()
  impatient.kill('SIGTERM')
  assert.equal((await within('a second signal to end it', 5000, impatient.ended)).code, 1)
  assert(performance.now() - secondMs < 2000, 'at once')
  proxy.release()

  const late = await world.replica({ MILLRACE_REDIS: through(world.redisUrl, proxy) })
  await world.untilServing([late])
  proxy.hold()
  await sleep(300)
  const { code, ms } = await late.stop()
  assert.equal(code, 1)
  assert(ms > 3500 && ms < 20_000, `after ${ms} ms`)
  assert.match(late.log.at(-1) as string, /^millrace: DRAIN_TIMEOUT: .* raise MILLRACE_DRAIN_MS/)

  await load.stop()
  await world.replica()
  await world.untilDrained()
  await world.proof()
})
