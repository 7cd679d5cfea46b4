/** A Redis Cluster that is at work on itself: slots move under load, nodes join without the function, a node dies. */
import assert from 'node:assert/strict'
import { until } from '../../e2e/until.ts'
import type { RedisCluster } from '../ground/redis-cluster.ts'
import type { RedisServer } from '../ground/redis-server.ts'
import type { Scenario, World } from '../scenario.ts'
import { untilAway } from './redis-watch.ts'

const clusterOf = (world: World) => world.ground.redis.cluster as RedisCluster
const nameOf = (world: World, node: RedisServer) => `node ${clusterOf(world).nodes.indexOf(node) + 1}`

/** How often a node has run our function to its end, by its own account. */
async function callsOf({ admin }: RedisServer): Promise<number> {
  const [, calls, failed] = /cmdstat_fcall:calls=(\d+).*failed_calls=(\d+)/.exec(await admin.info('commandstats')) ?? []
  return Number(calls ?? 0) - Number(failed ?? 0)
}

export const clusterScenarios: readonly Scenario[] = [
  {
    name: 'slots-moved',
    what: 'all slots of a cluster node move to another one under load, keys by MIGRATE, each stream for itself (MOVED, ASK, TRYAGAIN), and back',
    rounds: 3,
    recoveryMsMax: 20_000,
    needs: { brokers: 1, redis: 'cluster' },
    async round(world) {
      const cluster = clusterOf(world)
      const all = [...cluster.nodes]
      const from = all.splice(world.random.below(all.length), 1)[0] as RedisServer
      const to = all[world.random.below(all.length)] as RedisServer
      const slots = await cluster.slotsOf(from)
      const pauseMs = 20 + world.random.below(80)
      const { signal } = world
      const moved = await cluster.moveSlots(from, to, { slots, pauseMs, signal })
      await cluster.moveSlots(to, from, { slots, pauseMs, signal })
      assert.deepEqual(world.endedByThemselves, [])
      return `${slots.length} slots with ${moved} streams from ${nameOf(world, from)} to ${nameOf(world, to)} and back`
    },
  },
  {
    name: 'node-added',
    what: 'an empty node without the function joins the cluster and gets the slots of another one under load: the function is there within 5 s of the first stream',
    rounds: 2,
    recoveryMsMax: 20_000,
    needs: { brokers: 1, redis: 'cluster' },
    async round(world) {
      const cluster = clusterOf(world)
      const from = cluster.nodes[world.random.below(3)] as RedisServer
      const added = await cluster.addNode()
      assert.equal((await added.admin.function('LIST')).length, 0)
      const slots = await cluster.slotsOf(from)
      let firstMs = 0
      const loaded = until('the new node to run our function', 60_000, async () => {
        if (firstMs === 0 && (await added.admin.dbsize()) > 0) firstMs = performance.now()
        return (await callsOf(added)) > 0 ? performance.now() : null
      })
      loaded.catch(() => {})
      await cluster.moveSlots(from, added, { slots, pauseMs: 50, signal: world.signal })
      const ms = (await loaded) - firstMs
      assert(ms < 5000, `the function was there after ${Math.round(ms)} ms`)
      // For the rounds and scenarios to come.
      await cluster.moveSlots(added, from, { slots, signal: world.signal })
      await cluster.removeNode(added)
      assert.deepEqual(world.endedByThemselves, [])
      return `${slots.length} slots; the function was there after ${Math.round(ms)} ms`
    },
  },
  {
    name: 'cluster-node-kill',
    what: 'kill -9 of one of three cluster nodes without replicas, for longer than the grace: the cluster is down, storing goes on; started again',
    rounds: 3,
    recoveryMsMax: 30_000,
    needs: { brokers: 1, redis: 'cluster' },
    env: { MILLRACE_PUBLISH_GRACE_MS: '1000' },
    async round(world) {
      const cluster = clusterOf(world)
      const victim = cluster.nodes[world.random.below(cluster.nodes.length)] as RedisServer
      const mark = victim.aofMark()
      await world.sleep(1000)
      const lost = await victim.losePower(mark)
      try {
        await untilAway(world, true)
        // None believes it is back while it is not.
        for (let second = 0; second < 5; second++) {
          await world.sleep(1000)
          const away = await Promise.all(world.replicas.map((one) => one.metric('millrace_publish_away')))
          assert(
            away.every((one) => one === 1),
            `away: ${away.join(', ')}`,
          )
        }
      } finally {
        await victim.start()
        await cluster.whole()
      }
      world.healed()
      await untilAway(world, false)
      return `${nameOf(world, victim)}, ${lost} bytes of its append-only file lost`
    },
  },
]
