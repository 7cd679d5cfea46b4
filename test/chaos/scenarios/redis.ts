/** Redis that dies, stalls, is full, forgets, or is gone for long: rows go on, and the streams hold every entry once it is back. */
import assert from 'node:assert/strict'
import { startProxy, type TcpProxy, through } from '../../e2e/proxy.ts'
import { until } from '../../e2e/until.ts'
import type { RedisServer } from '../ground/redis-server.ts'
import type { Scenario, World } from '../scenario.ts'
import { aloneWith, metricSum, streamKeys, untilAway } from './redis-watch.ts'

const server = (world: World) => world.ground.redis.nodes[0] as RedisServer

/** So many rows more than now: storing goes on. */
async function untilStored(world: World, more: number): Promise<void> {
  const before = await world.stored()
  await until(`${more} more records to be stored`, 30_000, async () => (await world.stored()) >= before + more || null)
}

const redisKill: Scenario = {
  name: 'redis-kill',
  what: 'kill -9 of Redis with AOF everysec, as by a loss of power: what the last second or so acknowledged is gone; started again',
  rounds: 5,
  recoveryMsMax: 20_000,
  needs: { brokers: 1 },
  async round(world) {
    const mark = server(world).aofMark()
    await world.sleep(500 + world.random.below(1000))
    const lost = await server(world).losePower(mark)
    await world.sleep(world.random.below(1500))
    await server(world).start()
    return `${lost} bytes of the append-only file lost`
  },
  async after(world) {
    assert((await metricSum(world, 'millrace_refilled_entries_total')) > 0, 'something was filled in again')
  },
}

const redisStall: Scenario = {
  name: 'redis-stall',
  what: 'SIGSTOP to Redis for some seconds, connections open and silent, then SIGCONT: what was sent meanwhile is carried out late',
  rounds: 5,
  recoveryMsMax: 20_000,
  needs: { brokers: 1 },
  async round(world) {
    const ms = 1000 + world.random.below(5000)
    server(world).stall()
    try {
      await world.sleep(ms)
    } finally {
      server(world).resume()
    }
    return `silent for ${ms} ms`
  },
}

const redisAway: Scenario = {
  name: 'redis-away',
  what: 'Redis down for longer than the grace: storing goes on without it, then the streams are filled',
  rounds: 3,
  recoveryMsMax: 30_000,
  needs: { brokers: 1 },
  env: { MILLRACE_PUBLISH_GRACE_MS: '1000' },
  async round(world) {
    await server(world).kill()
    try {
      await untilAway(world, true)
      await untilStored(world, 1000)
      await world.sleep(3000 + world.random.below(3000))
    } finally {
      await server(world).start()
    }
    world.healed()
    await untilAway(world, false)
  },
}

const proxies = new WeakMap<World, TcpProxy>()

const cutRedis: Scenario = {
  name: 'cut-redis',
  what: 'one replica is cut off from Redis alone, by silence and by resets in turn, for longer than the grace; the others publish on',
  rounds: 4,
  recoveryMsMax: 30_000,
  needs: { brokers: 1 },
  env: { MILLRACE_PUBLISH_GRACE_MS: '1000' },
  async prepare(world) {
    const proxy = await startProxy(server(world).url)
    world.defer(() => proxy.close())
    proxies.set(world, proxy)
    await world.start({ MILLRACE_REDIS: through(server(world).url, proxy) })
  },
  async round(world, round) {
    const proxy = proxies.get(world) as TcpProxy
    const [alone] = world.replicas
    assert(alone)
    const isSilent = round % 2 === 1
    if (isSilent) proxy.hold()
    else proxy.cut()
    try {
      await until(`${alone.name} to go on without Redis`, 30_000, async () => {
        return (await alone.metric('millrace_publish_away')) === 1 || null
      })
      await world.sleep(2000 + world.random.below(3000))
      const away = await Promise.all(world.replicas.map((one) => one.metric('millrace_publish_away')))
      assert.equal(
        away.reduce((sum, one) => sum + one, 0),
        1,
        'only the one that was cut off is without Redis',
      )
    } finally {
      proxy.release()
      proxy.mend()
      // What was swallowed stays so: a firewall does not hand it in later.
      if (isSilent) proxy.cutAll()
    }
    return `${alone.name} cut off by ${isSilent ? 'silence' : 'resets'}`
  },
}

const maxmemory: Scenario = {
  name: 'maxmemory',
  what: 'Redis reaches maxmemory under noeviction: calls are refused whole, storing goes on; the limit is raised, and the streams are filled',
  rounds: 3,
  recoveryMsMax: 30_000,
  needs: { brokers: 1 },
  env: { MILLRACE_PUBLISH_GRACE_MS: '1000' },
  async round(world) {
    const { admin } = server(world)
    // A little room is left: it fills up under the load, in the middle of some batch.
    const used = Number(await server(world).info('used_memory'))
    await admin.config('SET', 'maxmemory', String(used + 1_000_000))
    try {
      await untilAway(world, true)
      await untilStored(world, 1000)
      assert.equal((await admin.config('GET', 'maxmemory-policy')).toString(), 'maxmemory-policy,noeviction')
    } finally {
      await admin.config('SET', 'maxmemory', '0')
    }
    world.healed()
    await untilAway(world, false)
  },
}

const streamDeleted: Scenario = {
  name: 'stream-deleted',
  what: 'DEL of random streams under load (the watermark of publishing is the stream itself, and a column of the ledger): filled again from Kafka',
  rounds: 4,
  recoveryMsMax: 30_000,
  needs: { brokers: 1 },
  async round(world) {
    const keys = await streamKeys(world)
    const victims = Array.from({ length: 1 + world.random.below(5) }, () => keys[world.random.below(keys.length)])
    await server(world).admin.del(...(victims as string[]))
    return `deleted ${victims.join(', ')}`
  },
  async after(world) {
    assert((await metricSum(world, 'millrace_lost_total')) > 0)
  },
}

const alarmMs = 15_000

const streamDeletedStop: Scenario = {
  name: 'stream-deleted-stop',
  what: 'the same under MILLRACE_STREAM_LOST=stop: its partition stops within 15 s and says so, nothing is sent again; `millrace offsets set --to earliest` sends all of it anew',
  rounds: 2,
  recoveryMsMax: 40_000,
  needs: { brokers: 1 },
  env: { MILLRACE_STREAM_LOST: 'stop' },
  async round(world) {
    const keys = await streamKeys(world)
    const victim = keys[world.random.below(keys.length)] as string
    const partition = Number(/\{(\d+)\}/.exec(victim)?.[1])
    await server(world).admin.del(victim)
    const deletedMs = performance.now()
    await until(`partition ${partition} to be stopped`, alarmMs, async () => {
      const rows = await world.sql<{ code: string | null }>(
        "SELECT stopped->>'code' AS code FROM ledger WHERE topic = $1 AND partition = $2",
        [world.topic, partition],
      )
      return rows[0]?.code === 'STREAM_LOST' || null
    })
    await until('/readyz to say so', alarmMs, async () => {
      const said = await Promise.all(world.replicas.map(async (one) => (await one.get('/readyz')).body))
      return said.some((body) => body.includes(`partition ${partition} is stopped: STREAM_LOST`)) || null
    })
    const alarm = Math.round(performance.now() - deletedMs)
    await world.sleep(4000)
    assert.equal(await server(world).admin.exists(victim), 0, 'nothing was sent again')
    await aloneWith(world, 'offsets', 'set', '--partition', String(partition), '--to', 'earliest', '--force', '--yes')
    return `deleted ${victim}; partition ${partition} stopped and said so after ${alarm} ms`
  },
}

const functionFlushed: Scenario = {
  name: 'function-flushed',
  what: 'FUNCTION FLUSH under load, several times a round: loaded again by whoever misses it',
  rounds: 4,
  recoveryMsMax: 15_000,
  needs: { brokers: 1 },
  async round(world) {
    const times = 1 + world.random.below(10)
    for (let time = 0; time < times; time++) {
      await server(world).admin.function('FLUSH')
      await world.sleep(world.random.below(300))
    }
    assert.deepEqual(world.endedByThemselves, [])
    return `${times} times`
  },
}

const flushall: Scenario = {
  name: 'flushall',
  what: 'FLUSHALL and FUNCTION FLUSH under load: every stream is gone at once, and filled again from Kafka',
  rounds: 3,
  recoveryMsMax: 40_000,
  needs: { brokers: 1 },
  async round(world) {
    await server(world).admin.multi().flushall().call('FUNCTION', 'FLUSH').exec()
  },
}

const trim: Scenario = {
  name: 'trim',
  what: 'streams are kept short, and somebody trims them to nothing under load, also while one is filled again after a DEL: trimmed is not lost, and nobody is alarmed',
  rounds: 4,
  recoveryMsMax: 30_000,
  needs: { brokers: 1 },
  env: { MILLRACE_STREAM_LENGTH_MAX: '2000' },
  trims: true,
  async round(world, round) {
    const { admin } = server(world)
    const keys = await streamKeys(world)
    const victim = round % 2 === 0 ? (keys[world.random.below(keys.length)] as string) : null
    const before = await metricSum(world, 'millrace_lost_total')
    if (victim !== null) await admin.del(victim)
    for (let time = 0; time < 20; time++) {
      for (const key of keys) await admin.xtrim(key, 'MAXLEN', world.random.below(3) * 100)
      await world.sleep(100)
    }
    if (victim !== null) return `deleted ${victim}, all trimmed`
    assert.equal(await metricSum(world, 'millrace_lost_total'), before, 'trimming is no loss')
    return 'all trimmed'
  },
}

export const redisScenarios: readonly Scenario[] = [
  redisKill,
  redisStall,
  redisAway,
  cutRedis,
  maxmemory,
  streamDeleted,
  streamDeletedStop,
  functionFlushed,
  flushall,
  trim,
]
