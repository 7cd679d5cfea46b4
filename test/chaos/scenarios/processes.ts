/** Processes that die, stop, stand still, come and go. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { startProxy, type TcpProxy, through } from '../../e2e/proxy.ts'
import type { Replica } from '../../e2e/replica.ts'
import { until, within } from '../../e2e/until.ts'
import type { Scenario, World } from '../scenario.ts'

/** So many different ones, at random. */
function some(world: World, count: number): Replica[] {
  const left = [...world.replicas]
  return Array.from(
    { length: Math.min(count, left.length) },
    () => left.splice(world.random.below(left.length), 1)[0] as Replica,
  )
}

const names = (replicas: readonly Replica[]) => replicas.map(({ name }) => name).join(' and ')

/** Timed from the kill: starting the successors is part of the recovery. */
async function killAndReplace(world: World, victims: readonly Replica[]): Promise<void> {
  for (const victim of victims) victim.kill('SIGKILL')
  world.healed()
  await Promise.all(victims.map((victim) => world.replace(victim)))
}

const kill: Scenario = {
  name: 'kill',
  what: 'kill -9 of a random replica in the middle of its work, now and then of two at once; replaced at once',
  rounds: 10,
  recoveryMsMax: 20_000,
  needs: {},
  shortRounds: 2,
  async round(world) {
    const victims = some(world, world.random.unit() < 0.25 ? 2 : 1)
    await killAndReplace(world, victims)
    return `killed ${names(victims)}`
  },
}

const killAll: Scenario = {
  name: 'kill-all',
  what: 'kill -9 of all replicas at once; replaced at once',
  rounds: 5,
  recoveryMsMax: 30_000,
  needs: {},
  async round(world) {
    const victims = [...world.replicas]
    await killAndReplace(world, victims)
    return `killed ${names(victims)}`
  },
}

/** Longer than this a rebalance waits for nobody. */
const rebalanceMs = 9000

const sigstop: Scenario = {
  name: 'sigstop',
  what: 'SIGSTOP of a random replica past session and rebalance timeout, its transaction open or not, then SIGCONT: what it goes on with is fenced',
  rounds: 4,
  recoveryMsMax: 20_000,
  needs: {},
  async round(world) {
    const [zombie] = some(world, 1) as [Replica]
    const stood = await world.ledger()
    const had = (await zombie.status()).partitions.map(({ partition }) => partition)
    const stoppedMs = performance.now()
    zombie.kill('SIGSTOP')
    await until('the others to store what was the sleeper’s', 60_000, async () => {
      world.signal.throwIfAborted()
      const now = await world.ledger()
      return had.every((partition) => (now.get(partition) ?? 0) > (stood.get(partition) ?? 0)) || null
    })
    const takenMs = performance.now() - stoppedMs
    await world.sleep(Math.max(0, rebalanceMs - takenMs) + world.random.below(1000))
    zombie.kill('SIGCONT')
    world.healed()
    // It lost its partitions while it slept: it goes on as a member like any other, or ends and says why.
    const became = await until('the sleeper to notice', 45_000, async () => {
      if (!zombie.isAlive) return `ended: ${zombie.log.at(-1)?.slice(0, 120)}`
      const { partitions, totals } = await zombie.status()
      const isOneOfThem = partitions.length > 0 && partitions.length < world.partitions
      return isOneOfThem ? `is a member again, fenced ${totals.fenced} times, lost ${totals.lost} times` : null
    })
    return `${zombie.name} slept ${((performance.now() - stoppedMs) / 1000).toFixed(0)} s, its ${had.length} partitions moved on after ${(takenMs / 1000).toFixed(1)} s; it ${became}`
  },
}

const stormMs = 60_000
const stormEveryMs = 2000
const standstillMsMax = 30_000

/** The longest time in which the ledger did not move, told when it is stopped. */
function watchStandstill(world: World): { stop(): Promise<number> } {
  let isOver = false
  let longestMs = 0
  const running = (async () => {
    let stored = -1
    for (let movedMs = performance.now(); !isOver; await sleep(250)) {
      const now = await world.stored().catch(() => stored)
      if (now > stored) movedMs = performance.now()
      stored = now
      longestMs = Math.max(longestMs, performance.now() - movedMs)
    }
  })()
  return {
    async stop() {
      isOver = true
      await running
      return longestMs
    },
  }
}

const storm: Scenario = {
  name: 'storm',
  what: 'a member joins or leaves (SIGTERM, or kill -9) every 2 s for a minute; what is stored never stands still for more than 30 s',
  rounds: 1,
  recoveryMsMax: 30_000,
  needs: {},
  async round(world) {
    const size = world.replicas.length
    const watch = watchStandstill(world)
    const under: Promise<unknown>[] = []
    const begin = (one: Promise<unknown>) => {
      // Asked for at the end of the storm.
      one.catch(() => {})
      under.push(one)
    }
    const count = { joined: 0, left: 0, killed: 0 }
    let members = size
    for (const endMs = performance.now() + stormMs; performance.now() < endMs; await world.sleep(stormEveryMs)) {
      const there = world.replicas
      if (members <= 2 || (members < size + 2 && world.random.unit() < 0.5)) {
        members++
        count.joined++
        begin(world.start())
      } else if (there.length > 1) {
        members--
        const [leaver] = some(world, 1) as [Replica]
        const isKilled = world.random.unit() < 0.3
        count[isKilled ? 'killed' : 'left']++
        begin(world.end(leaver, isKilled ? 'SIGKILL' : 'SIGTERM'))
      }
    }
    const failed = (await Promise.allSettled(under)).find((one) => one.status === 'rejected')
    if (failed) throw failed.reason
    world.healed()
    const standstillMs = await watch.stop()
    while (world.replicas.length < size) await world.start()
    while (world.replicas.length > size) await world.end(world.replicas.at(-1) as Replica)
    assert(standstillMs <= standstillMsMax, `nothing was stored for ${Math.round(standstillMs)} ms`)
    const { joined, left, killed } = count
    return `${joined} joined, ${left} left, ${killed} were killed; stored stood still for ${(standstillMs / 1000).toFixed(1)} s at most`
  },
}

const exitMsMax = 25_000

const rolling: Scenario = {
  name: 'rolling',
  what: 'restart of all replicas by SIGTERM, one after the other; each exits 0 within 25 s, and the next one goes when its successor stores',
  rounds: 2,
  recoveryMsMax: 15_000,
  needs: {},
  async round(world) {
    let slowestMs = 0
    for (const replica of [...world.replicas]) {
      const fromMs = performance.now()
      const code = await world.end(replica)
      const ms = performance.now() - fromMs
      slowestMs = Math.max(slowestMs, ms)
      assert.equal(code, 0, `${replica.name}: ${replica.log.at(-1)}`)
      assert(ms <= exitMsMax, `${replica.name} took ${Math.round(ms)} ms to end`)
      await world.untilServing([await world.start()])
    }
    return `all restarted, the slowest exit took ${(slowestMs / 1000).toFixed(1)} s`
  },
}

/** Twice the lowest that a replica takes: on two cores full of servers, half a second's work may well take ten. */
const progressMs = 20_000
/** The timeout, a look a second, and an end in which every closing is given up after three seconds: see the watchdogs' own tests. */
const standsStillMsMax = progressMs + 15_000
const wires = new WeakMap<World, Map<string, TcpProxy>>()

const stall: Scenario = {
  name: 'stall',
  what: 'the wire between a random replica and PostgreSQL swallows everything: the replica has lag and makes no progress, exits non-zero in bounded time, and is replaced',
  rounds: 2,
  recoveryMsMax: 20_000,
  needs: {},
  env: { MILLRACE_PROGRESS_TIMEOUT_MS: String(progressMs) },
  async prepare(world) {
    const own = new Map<string, TcpProxy>()
    wires.set(world, own)
    for (let count = world.scenario.replicas ?? 3; count > 0; count--) {
      const proxy = await startProxy(world.databaseUrl())
      world.defer(() => proxy.close())
      const replica = await world.start({ MILLRACE_POSTGRES: through(world.databaseUrl(), proxy) })
      own.set(replica.name, proxy)
    }
  },
  async round(world) {
    const [victim] = some(world, 1) as [Replica]
    const proxy = wires.get(world)?.get(victim.name) as TcpProxy
    const fromMs = performance.now()
    proxy.hold()
    try {
      const { code } = await within(`${victim.name} to end by itself`, standsStillMsMax, victim.ended)
      assert.notEqual(code, 0, 'it says that something is wrong')
      assert.match(victim.log.at(-1) ?? '', /NO_PROGRESS/)
      return `${victim.name} ended by itself with ${code} after ${((performance.now() - fromMs) / 1000).toFixed(1)} s`
    } finally {
      proxy.cutAll()
      proxy.release()
    }
  },
}

export const processScenarios: readonly Scenario[] = [kill, killAll, sigstop, storm, rolling, stall]
