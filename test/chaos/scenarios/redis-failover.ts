/** A Redis primary that is lost while its replica is behind, one that is demoted in order, and what somebody who reads meanwhile gets to see. */
import assert from 'node:assert/strict'
import { Redis } from 'ioredis'
import type { RedisPair } from '../ground/redis-pair.ts'
import type { Scenario, World } from '../scenario.ts'
import { metricSum, streamKeys } from './redis-watch.ts'

/** Reads a stream as a subscriber does that keeps the last id itself: XREAD from there, again and again, through whatever happens. */
interface Reader {
  readonly key: string
  /** In the order in which they were seen. */
  readonly seen: number[]
  stop(): Promise<void>
}

const readers = new WeakMap<World, Reader[]>()

function startReader(url: string, key: string): Reader {
  const client = new Redis(url, { retryStrategy: () => 100, maxRetriesPerRequest: 0, enableOfflineQueue: false })
  client.on('error', () => {})
  const seen: number[] = []
  let isOver = false
  const reading = (async () => {
    while (!isOver) {
      try {
        const answer = await client.xread('COUNT', 500, 'BLOCK', 200, 'STREAMS', key, `${seen.at(-1) ?? 0}-0`)
        for (const [id] of answer?.[0]?.[1] ?? []) seen.push(Number(id.split('-')[0]))
      } catch {
        // away; it reads on from its last id when it is back
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
    }
    client.disconnect()
  })()
  return {
    key,
    seen,
    async stop() {
      isOver = true
      await reading
    },
  }
}

/** Each entry of the stream once, in order, and nothing else: a reader by last id notices no failover. */
async function judge(world: World, { key, seen }: Reader): Promise<void> {
  const held: [id: string, fields: string[]][] = await world.ground.redis.client.xrange(key, '-', '+')
  const wanted = held.map(([id]) => Number(id.split('-')[0]))
  assert.deepEqual(seen, wanted, `what a reader of ${key} saw`)
  world.tell(`a reader of ${key} saw each of its ${seen.length} entries once, in order`)
}

const pairOf = (world: World) => world.ground.redis.pair as RedisPair

export const failoverScenarios: readonly Scenario[] = [
  {
    name: 'redis-failover',
    what: 'the Redis primary is killed while its replica is seconds behind, which is promoted; every third time the primary is demoted in order and connections to it stay open',
    rounds: 4,
    recoveryMsMax: 30_000,
    needs: { brokers: 1, redis: 'pair' },
    async round(world, round) {
      const pair = pairOf(world)
      if (round === 1) {
        const keys = await streamKeys(world)
        const own = Array.from({ length: 3 }, () => keys[world.random.below(keys.length)] as string)
        readers.set(
          world,
          [...new Set(own)].map((key) => startReader(pair.env.MILLRACE_REDIS as string, key)),
        )
        world.defer(() => Promise.all((readers.get(world) ?? []).map((reader) => reader.stop())))
      }
      if (round % 3 === 0) {
        await pair.promote({ keepLines: true })
        world.healed()
        await pair.follow()
        return 'demoted in order, connections kept'
      }
      const ms = 500 + world.random.below(2500)
      const old = pair.primary
      pair.holdReplica()
      await world.sleep(ms)
      const acknowledged = Number(await old.info('master_repl_offset'))
      await old.kill()
      const heard = Number(await pair.replica.info('slave_repl_offset'))
      await world.sleep(world.random.below(1000))
      await pair.promote()
      world.healed()
      await old.start()
      await pair.follow()
      return `replica ${ms} ms and ${acknowledged - heard} bytes behind`
    },
    async after(world) {
      assert((await metricSum(world, 'millrace_refilled_entries_total')) > 0, 'something was filled in again')
      for (const reader of readers.get(world) ?? []) {
        await world.sleep(1000)
        await reader.stop()
        await judge(world, reader)
      }
    },
  },
]
