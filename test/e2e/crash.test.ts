/** Processes that die, stop for a while, or die at the worst moment: nothing is lost, nothing is there twice. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Fate, startCommitProxy } from './commit-proxy.ts'
import { useStack, type World } from './harness.ts'
import { startProxy, through } from './proxy.ts'
import type { Replica } from './replica.ts'
import { until } from './until.ts'

const servers = useStack()
const shortSession = { MILLRACE_SESSION_TIMEOUT_MS: '2000', MILLRACE_HEARTBEAT_MS: '300' }

test('kill -9 of a replica in the middle of the load, ten times', async (t) => {
  const world = await servers.world(t, { env: shortSession })
  const { random } = world
  const alive = [await world.replica(), await world.replica()]
  const load = world.load({ rate: 1500 })
  for (let kills = 0; kills < 10; ) {
    await world.untilServing(alive)
    // What piled up during the rebalance is under way now: all rooms are busy.
    await sleep(random.below(200))
    // Now and then both die.
    const victims = random.unit() < 0.2 ? [0, 1] : [random.below(2)]
    for (const victim of victims) alive[victim]?.kill('SIGKILL')
    for (const victim of victims) alive[victim] = await world.replica()
    kills += victims.length
  }
  await load.stop()
  await world.untilDrained()
  await world.proof()
})

/** It lost its partitions while it slept: it goes on as a member like any other, or ends and says why. */
async function untilAwake(world: World, zombie: Replica): Promise<string> {
  return until('the zombie to notice', 45_000, async () => {
    if (!zombie.isAlive) return `ended: ${zombie.log.at(-1)}`
    const fenced = await zombie.metric('millrace_fenced_total')
    const lost = await zombie.metric('millrace_lost_total')
    const { partitions } = await zombie.status()
    const shared = partitions.length > 0 && partitions.length < (await world.ends()).size
    return shared ? `fenced ${fenced}, lost ${lost}` : null
  })
}

test('a replica sleeps past its session and wakes up as a zombie, three times', async (t) => {
  const world = await servers.world(t, { env: shortSession })
  const replicas = [await world.replica(), await world.replica()]
  const load = world.load({ rate: 2000 })
  for (let round = 0; round < 3; round++) {
    await world.untilServing(replicas)
    const at = world.random.below(2)
    const [zombie, other] = [replicas[at] as Replica, replicas[1 - at] as Replica]
    zombie.kill('SIGSTOP')
    await until('the other to take over', 45_000, async () => {
      const { partitions } = await other.status()
      return partitions.length === 12 ? true : null
    })
    await sleep(world.random.below(500))
    zombie.expectEnd()
    zombie.kill('SIGCONT')
    t.diagnostic(await untilAwake(world, zombie))
    if (!zombie.isAlive) replicas[at] = await world.replica()
  }
  await load.stop()
  await world.untilDrained()
  await world.proof()
})

test('a zombie sleeps in the middle of a transaction, with the ledger locked', async (t) => {
  const world = await servers.world(t, {
    env: {
      ...shortSession,
      MILLRACE_TRANSACTION_TIMEOUT_MS: '6000',
      MILLRACE_REBALANCE_TIMEOUT_MS: '18000',
      MILLRACE_LANES: '1',
    },
  })
  let fate: Fate = 'pass'
  const proxy = await startCommitProxy(world.postgresUrl, () => {
    const now = fate
    fate = 'pass'
    return now
  })
  t.after(() => proxy.close())
  const zombie = await world.replica({ MILLRACE_POSTGRES: through(world.postgresUrl, proxy) })
  const load = world.load({ rate: 1000, duplicates: 0 })
  await world.untilServing()
  fate = 'hold'
  await until('a transaction to be held', 45_000, () => (proxy.fates.hold > 0 ? true : null))
  const heldMs = performance.now()
  zombie.kill('SIGSTOP')
  const stood = await world.ledger()
  const successor = await world.replica()
  await until(
    'the successor to take over',
    45_000,
    async () => (await successor.status()).partitions.length === 12 || null,
  )
  const ownedMs = performance.now()
  await until('the successor to move every partition on', 45_000, async () => {
    const now = await world.ledger()
    return [...stood].every(([partition, before]) => (now.get(partition) ?? 0) > before) || null
  })
  const movedMs = performance.now()
  t.diagnostic(
    `successor owned after ${Math.round(ownedMs - heldMs)} ms, moved on ${Math.round(movedMs - ownedMs)} ms later, ` +
      `retries ${await successor.metric('millrace_retries_total')}`,
  )
  // From when it owned the partitions: how soon the group notices a death is not what is asked here.
  assert(movedMs - ownedMs < 12_000, 'transaction_timeout (6 s) frees the ledger')
  zombie.expectEnd()
  zombie.kill('SIGCONT')
  proxy.releaseHeld()
  t.diagnostic(await untilAwake(world, zombie))
  // It may be a member again before it has asked what became of its transaction.
  await until('its transaction to be refused', 30_000, async () => {
    return !zombie.isAlive || (await zombie.metric('millrace_fenced_total')) > 0 || null
  })
  await load.stop()
  await world.untilDrained()
  await world.proof()
})

test("a producer's duplicate, whose first record was stored by a process that died before publishing it", async (t) => {
  const world = await servers.world(t, { env: shortSession })
  const proxy = await startProxy(world.redisUrl)
  t.after(() => proxy.close())
  const producer = world.kafka.producer({ allowAutoTopicCreation: false })
  await producer.connect()
  t.after(() => producer.disconnect())
  const time = new Date().toISOString()
  const send = (partition: number, id: string) => {
    const event = { specversion: '1.0', id, source: '/tests', type: 'com.bss.order.placed', time, data: { id } }
    const headers = { 'content-type': 'application/cloudevents+json' }
    return producer.send({ topic: 'cloud-events', messages: [{ partition, value: JSON.stringify(event), headers }] })
  }

  const doomed = await world.replica({ MILLRACE_REDIS: through(world.redisUrl, proxy) })
  await send(3, 'warm-up')
  await world.untilDrained()
  proxy.hold()
  await send(3, 'a')
  await send(4, 'b')
  await world.untilRows(3)
  doomed.kill('SIGKILL')
  await doomed.ended
  proxy.cutAll()
  assert.equal((await world.redis.keys('*')).length, 1, 'only the warm-up was published')
  // The same record again, in its own partition and in others, before anybody has published the first.
  for (const partition of [3, 4, 5]) for (const id of ['a', 'b']) await send(partition, id)
  await world.replica()
  await world.untilDrained()
  const { rows, entries, duplicates } = await world.proof({ events: 3, duplicates: 6 })
  assert.deepEqual({ rows, entries, duplicates }, { rows: 3, entries: 3, duplicates: 6 })
  const made = await world.sql.query(
    "SELECT event_id, kafka_partition FROM cloud_events WHERE event_id IN ('a', 'b') ORDER BY event_id",
  )
  assert.deepEqual(made.rows, [
    { event_id: 'a', kafka_partition: 3 },
    { event_id: 'b', kafka_partition: 4 },
  ])
})

test('duplicates by the thousand, and a process that dies between storing and publishing, three times', async (t) => {
  const world = await servers.world(t, { env: shortSession })
  const proxy = await startProxy(world.redisUrl)
  t.after(() => proxy.close())
  const load = world.load({ rate: 1000, duplicates: 0.2 })
  for (let round = 0; round < 3; round++) {
    const doomed = await world.replica({ MILLRACE_REDIS: through(world.redisUrl, proxy) })
    await world.untilServing([doomed])
    proxy.hold()
    const before = await world.rows()
    await world.untilRows(before + 1)
    await sleep(world.random.below(100))
    doomed.kill('SIGKILL')
    await doomed.ended
    proxy.cutAll()
    proxy.release()
  }
  await world.replica()
  const { duplicates } = await load.stop()
  await world.untilDrained()
  await world.proof()
  assert(duplicates > 500, `${duplicates} duplicates`)
})

test('two groups over one ledger, by mistake: both believe to own every partition, and fence each other', async (t) => {
  const world = await servers.world(t)
  const replica = await world.replica()
  const stranger = await world.replica({ MILLRACE_GROUP: `${world.name}_other` })
  const load = world.load({ rate: 1000, duplicates: 0.01 })
  await until('both to be fenced again and again', 30_000, async () => {
    const fenced = await Promise.all([replica, stranger].map((one) => one.metric('millrace_fenced_total')))
    if (Math.min(...fenced) >= 5) return true
    throw new Error(`fenced ${fenced.join(', ')}`)
  })
  assert.equal((await stranger.stop()).code, 0)
  await load.stop()
  await world.untilDrained()
  t.diagnostic(`fenced ${await replica.metric('millrace_fenced_total')} times`)
  await world.proof()
})
