/** Servers that go away, come back, and forget: the fleet waits for them, goes on by itself, and fills in what they have lost. */
import assert from 'node:assert/strict'
import { readdirSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { useStack, type World } from './harness.ts'
import { until, within } from './until.ts'

const servers = useStack()

const readiness = (world: World) =>
  Promise.all(world.replicas.filter(({ isAlive }) => isAlive).map(async (one) => (await one.get('/readyz')).code))

async function untilReady(world: World, code: 200 | 503): Promise<void> {
  await until(`/readyz to answer ${code}`, 45_000, async () => {
    const codes = await readiness(world)
    if (codes.every((one) => one === code)) return true
    throw new Error(codes.join(', '))
  })
}

test('PostgreSQL is killed, and restarted in order, under load', async (t) => {
  const world = await servers.world(t)
  const replicas = [await world.replica(), await world.replica()]
  const load = world.load({ rate: 1000 })
  for (const signal of ['SIGKILL', 'SIGINT'] as const) {
    await world.untilServing()
    await untilReady(world, 200)
    await world.stack.stopServer('postgres', { signal })
    await untilReady(world, 503)
    const live = await Promise.all(replicas.map((one) => one.get('/healthz')))
    assert.deepEqual(
      live.map(({ code }) => code),
      [200, 200],
      'a server that is down is no reason to restart the fleet',
    )
    await world.stack.startServer('postgres')
    await untilReady(world, 200)
  }
  await world.untilServing()
  await load.stop()
  await world.untilDrained()
  assert(replicas.every(({ isAlive }) => isAlive))
  await world.proof()
})

test('Kafka is killed under load', async (t) => {
  const world = await servers.world(t)
  const replicas = [await world.replica(), await world.replica()]
  const load = world.load({ rate: 500 })
  await world.untilServing()
  await world.stack.restart('kafka', { signal: 'SIGKILL' })
  // The client may give up, as long as it says so: whoever supervises the process starts another.
  for (const one of replicas) one.expectEnd()
  await until('the replicas to go on, or to end', 60_000, async () => {
    for (const one of replicas.filter(({ isAlive }) => isAlive)) {
      const { partitions } = await one.status()
      if (partitions.length === 0) return null
    }
    return true
  })
  for (const one of replicas.filter(({ isAlive }) => !isAlive)) {
    t.diagnostic(`${one.name}: ${one.log.at(-1)}`)
    assert.match(one.log.at(-1) as string, /^millrace: KAFKA_CRASHED: /)
    await world.replica()
  }
  await world.untilServing(undefined, 60_000)
  await load.stop()
  await world.untilDrained()
  await world.proof()
})

/** What a machine that loses power does to the append-only file: the last writes, acknowledged as they were, are gone. */
async function killRedis(world: World, bytesLost: number): Promise<void> {
  await world.stack.stopServer('redis', { signal: 'SIGKILL' })
  const folder = join(world.stack.folder, 'redis', 'appendonlydir')
  const file = readdirSync(folder).find((name) => name.endsWith('.incr.aof'))
  const path = join(folder, file as string)
  truncateSync(path, Math.max(0, statSync(path).size - bytesLost))
}

async function sumOf(world: World, metric: string): Promise<number> {
  const values = await Promise.all(world.replicas.filter(({ isAlive }) => isAlive).map((one) => one.metric(metric)))
  return values.reduce((sum, value) => sum + value, 0)
}

test('Redis is killed under load, and loses its last acknowledged writes', async (t) => {
  const world = await servers.world(t)
  await world.replica()
  await world.replica()
  const load = world.load({ rate: 1000 })
  for (const bytesLost of [0, 300_000]) {
    await world.untilServing()
    await killRedis(world, bytesLost)
    await untilReady(world, 503)
    await world.stack.startServer('redis')
    await untilReady(world, 200)
  }
  await world.untilServing()
  await load.stop()
  await world.untilDrained()
  assert((await sumOf(world, 'millrace_refilled_entries_total')) > 0)
  await world.proof()
})

test('Redis loses acknowledged writes, and nothing more comes that could show it', async (t) => {
  const world = await servers.world(t)
  await world.replica()
  await world.load({ rate: 2000, events: 4000 }).done
  await world.untilDrained()
  await killRedis(world, 100_000)
  await world.stack.startServer('redis')
  await until('the lost entries to be filled in again', 45_000, async () => {
    const refilled = await sumOf(world, 'millrace_refilled_entries_total')
    return refilled > 0 || null
  })
  await world.untilDrained()
  await sleep(500)
  await world.proof()
})

test('one stream is deleted, then everything in Redis, the functions too, under load', async (t) => {
  const world = await servers.world(t)
  await world.replica()
  await world.replica()
  const load = world.load({ rate: 1000 })
  await world.untilServing()
  await world.untilRows(3000)
  const keys = (await world.redis.keys('*')).sort()
  const victim = keys[world.random.below(keys.length)] as string
  const lengths = await Promise.all(keys.map((key) => world.redis.xlen(key)))
  t.diagnostic(
    `deleting ${victim}; ${keys.length} streams of ${Math.min(...lengths)} to ${Math.max(...lengths)} entries`,
  )
  await world.redis.del(victim)
  await world.untilServing()
  await world.redis.flushall()
  await world.redis.function('FLUSH')
  await world.untilServing()
  await load.stop()
  await world.untilDrained()
  await world.proof()
  assert((await sumOf(world, 'millrace_lost_total')) > 0)
})

/** All living replicas say so. */
const untilAway = (world: World, away: 0 | 1) =>
  until(`millrace_publish_away to be ${away}`, 30_000, async () => {
    const living = world.replicas.filter(({ isAlive }) => isAlive)
    const all = await Promise.all(living.map((one) => one.metric('millrace_publish_away')))
    if (all.every((one) => one === away)) return true
    throw new Error(all.join(', '))
  })

const storesOnSoon = { MILLRACE_PUBLISH_GRACE_MS: '500' }

test('Redis is away under load: rows are stored, also of the partitions of a replica that dies; then the streams are filled', async (t) => {
  const world = await servers.world(t, { env: storesOnSoon })
  const [first] = [await world.replica(), await world.replica()]
  const load = world.load({ rate: 500 })
  await world.untilServing()
  await killRedis(world, 100_000)
  await untilAway(world, 1)
  await untilReady(world, 503)
  await world.untilRows((await world.rows()) + 1000)
  first.expectEnd()
  first.kill('SIGKILL')
  await first.ended
  // What it had is served by the other now, whose Redis cannot be asked where its streams end.
  await world.untilServing()
  await world.untilRows((await world.rows()) + 1000)
  const [last] = world.replicas.slice(-1)
  assert.match((await last?.get('/readyz'))?.body ?? '', /redis is away: storing goes on/)

  await world.stack.startServer('redis')
  await untilAway(world, 0)
  await untilReady(world, 200)
  await load.stop()
  await world.untilDrained()
  await world.proof()
})

test('Redis is full: storing goes on, and the streams are filled when there is room', async (t) => {
  const world = await servers.world(t, { env: storesOnSoon })
  await world.replica()
  const load = world.load({ rate: 500 })
  await world.untilServing()
  await world.redis.config('SET', 'maxmemory', '1mb')
  await untilAway(world, 1)
  await world.untilRows((await world.rows()) + 1000)
  await world.redis.config('SET', 'maxmemory', '0')
  await untilAway(world, 0)
  await untilReady(world, 200)
  await load.stop()
  await world.untilDrained()
  await world.proof()
})

test('SIGTERM while Redis is away: what is stored stays, and whoever comes later publishes it', async (t) => {
  const world = await servers.world(t, { env: storesOnSoon })
  const one = await world.replica()
  const load = world.load({ rate: 500 })
  await world.untilServing()
  await world.stack.stopServer('redis', { signal: 'SIGKILL' })
  await untilAway(world, 1)
  await world.untilRows((await world.rows()) + 500)
  one.expectEnd()
  one.kill('SIGTERM')
  assert.equal((await within('the replica to end', 30_000, one.ended)).code, 0)
  await world.stack.startServer('redis')
  await world.replica()
  await world.untilServing()
  await load.stop()
  await world.untilDrained()
  await world.proof()
})

test('MILLRACE_STREAM_LOST=stop: the partitions stop, and it is said what is lost and what to do', async (t) => {
  const world = await servers.world(t, { env: { MILLRACE_STREAM_LOST: 'stop' } })
  const stops = await world.replica()
  const load = world.load({ rate: 1000 })
  await world.untilServing()
  await world.untilRows(1000)
  await world.redis.del(...(await world.redis.keys('events:usage:*')))
  await stops.untilLogged(/STREAM_LOST.*events:usage:\{\d+\} ends at 0, not \d+.*MILLRACE_STREAM_LOST=refill/, 45_000)
  await load.stop()
  stops.expectEnd()
  await stops.stop()
  // Its successor is told to go on.
  await world.replica({ MILLRACE_STREAM_LOST: 'refill' })
  await world.untilDrained()
  await world.proof()
})
