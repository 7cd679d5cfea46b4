/**
 * Replicas killed at named points of a batch's way, and COMMITs whose answer is lost. The points are on the wire: every replica speaks through proxies
 * of its own, which let a batch go exactly so far and have the replica killed in that moment. Each round then looks at what became of the batch.
 */
import assert from 'node:assert/strict'
import { type CommitProxy, type Fate, type Place, places, startCommitProxy } from '../../e2e/commit-proxy.ts'
import { through } from '../../e2e/proxy.ts'
import { type PublishPlace, type PublishProxy, publishPlaces, startPublishProxy } from '../../e2e/publish-proxy.ts'
import type { Replica } from '../../e2e/replica.ts'
import { until, within } from '../../e2e/until.ts'
import { type LawWatch, lastIds, watchLaw } from '../law.ts'
import type { Scenario, World } from '../scenario.ts'

interface Lines {
  readonly postgres: CommitProxy
  readonly redis: PublishProxy
}

const lines = new WeakMap<World, Map<string, Lines>>()
const laws = new WeakMap<World, LawWatch>()

/** What must have become of the batch; null: either may be. */
const commits: Readonly<Record<Place, boolean | null>> = {
  begin: false,
  locked: false,
  'mid-copy': false,
  copied: false,
  'commit-sent': null,
  'commit-done': true,
  answered: true,
}
const adds: Readonly<Record<PublishPlace, boolean | null>> = {
  'call-unsent': false,
  'call-torn': null,
  'call-done': true,
  'call-told': true,
}
type Point = Place | PublishPlace | 'unsettled'
const points: readonly Point[] = [...places, ...publishPlaces, 'unsettled']
const reachMs = 20_000
const goneMs = 10_000

export const killAtPoints: Scenario = {
  name: 'points',
  what: `kill -9 of a random replica at a named point on the wire, each in turn: ${points.join(', ')}; replaced at once`,
  rounds: points.length,
  recoveryMsMax: 15_000,
  needs: {},
  env: { MILLRACE_SETTLE_MS: '2000' },
  async prepare(world) {
    const all = new Map<string, Lines>()
    lines.set(world, all)
    laws.set(world, watchLaw(world))
    const redisUrl = world.env.MILLRACE_REDIS as string
    for (let index = 0; index < (world.scenario.replicas ?? 3); index++) {
      const postgres = await startCommitProxy(world.databaseUrl())
      world.defer(() => postgres.close())
      const redis = await startPublishProxy(redisUrl)
      world.defer(() => redis.close())
      const replica = await world.start({
        MILLRACE_POSTGRES: through(world.databaseUrl(), postgres),
        MILLRACE_REDIS: through(redisUrl, redis),
      })
      all.set(replica.name, { postgres, redis })
    }
  },
  async round(world, round) {
    const point = points[(round - 1) % points.length] as Point
    const victims = world.replicas.filter(({ name }) => lines.get(world)?.has(name))
    const victim = victims[world.random.below(victims.length)] as Replica
    const its = lines.get(world)?.get(victim.name) as Lines
    const became = isPlace(point)
      ? await killInStore(world, victim, its, point)
      : await killInPublish(world, victim, its, point)
    await world.replace(victim)
    laws.get(world)?.claim()
    return `${victim.name} at ${point}: ${became}`
  },
  async after(world) {
    laws.get(world)?.claim()
  },
}

const isPlace = (point: Point): point is Place => (places as readonly string[]).includes(point)

const killing = (victim: Replica) => () => {
  victim.expectEnd()
  victim.kill('SIGKILL')
}

async function killInStore(world: World, victim: Replica, its: Lines, place: Place): Promise<string> {
  const { slices, over } = await within(`a batch at ${place}`, reachMs, its.postgres.stopAt(place, killing(victim)))
  await victim.ended
  await within('PostgreSQL to hear that the replica is gone', goneMs, over)
  // Before the group notices, nobody else touches these partitions.
  const ledger = await world.ledger()
  const stands = slices.map(({ partition, nextOffset }) => (ledger.get(partition) ?? 0) >= nextOffset)
  const isCommitted = stands.every(Boolean)
  assert.ok(slices.length > 0 && (isCommitted || !stands.some(Boolean)), 'a transaction took effect in part')
  const expected = commits[place]
  assert.ok(expected === null || expected === isCommitted, `killed at ${place}, the batch was ${told(isCommitted)}`)
  const records = slices.reduce((sum, { firstOffset, nextOffset }) => sum + nextOffset - firstOffset, 0)
  return `${records} records of ${slices.length} partitions ${told(isCommitted)}`
}

const told = (isCommitted: boolean) => (isCommitted ? 'committed' : 'not committed')

async function killInPublish(
  world: World,
  victim: Replica,
  its: Lines,
  point: PublishPlace | 'unsettled',
): Promise<string> {
  const place = point === 'unsettled' ? 'call-told' : point
  // Somewhere between two settles, with more than one batch published since.
  if (point === 'unsettled') await world.sleep(world.random.below(Number(world.env.MILLRACE_SETTLE_MS)))
  const { key, id, over } = await within(`a call at ${point}`, reachMs, its.redis.stopAt(place, killing(victim)))
  await victim.ended
  await within('Redis to hear that the replica is gone', goneMs, over)
  const partition = Number(/\{(\d+)\}$/.exec(key)?.[1])
  const last = (await lastIds(world, [key])).get(key) ?? 0
  const [stored, settled] = [(await world.ledger()).get(partition) ?? 0, (await world.settled()).get(partition) ?? 0]
  assert.ok(stored >= Number(id), `an entry ${key} ${id} was on its way before its row`)
  const isAdded = last >= Number(id)
  const expected = adds[place]
  assert.ok(
    expected === null || expected === isAdded,
    `killed at ${point}, entry ${id} is ${isAdded ? '' : 'not '}there`,
  )
  assert.ok(settled < Number(id), 'a batch was settled before it was published')
  return `stored, ${isAdded ? 'published' : 'not published'}, settled ${last - settled} records behind the stream`
}

const fatesEach = 4

export const commitLost: Scenario = {
  name: 'commit-lost',
  what: 'the line is lost where COMMIT is decided: before it is sent on, while the server commits, or when it has answered; the ledger must tell',
  rounds: 6,
  recoveryMsMax: 15_000,
  needs: {},
  shortRounds: 1,
  async prepare(world) {
    const { random } = world
    const tried = new Set<string>()
    const proxy = await startCommitProxy(world.databaseUrl(), (slices) => {
      if (losing.get(world) === 'some' && random.unit() < 0.3)
        return (['before', 'during', 'answer'] as const)[random.below(3)] as Fate
      if (losing.get(world) !== 'every first') return 'pass'
      const batch = slices.map(({ partition, firstOffset }) => `${partition}/${firstOffset}`)
      const isFirst = batch.some((slice) => !tried.has(slice))
      for (const slice of batch) tried.add(slice)
      return isFirst ? 'before' : 'pass'
    })
    world.defer(() => proxy.close())
    world.env.MILLRACE_POSTGRES = through(world.databaseUrl(), proxy)
    commitProxies.set(world, proxy)
    laws.set(world, watchLaw(world))
  },
  async round(world) {
    const proxy = commitProxies.get(world) as CommitProxy
    const before = { ...proxy.fates }
    const met = (fate: Fate) => proxy.fates[fate] - before[fate]
    losing.set(world, 'some')
    try {
      await until('every fate to have come to pass', 60_000, () => {
        const counts = [met('before'), met('during'), met('answer')]
        if (Math.min(...counts) >= fatesEach) return true
        throw new Error(counts.join(', '))
      })
    } finally {
      losing.delete(world)
    }
    laws.get(world)?.claim()
    return `lost before COMMIT: ${met('before')}, during: ${met('during')}, after it: ${met('answer')}`
  },
  /** Each batch is lost once, also the last of every partition: nothing comes behind it that would find the ledger elsewhere. */
  async after(world) {
    losing.set(world, 'every first')
    const before = await world.stored()
    const load = world.startLoad({ rate: 500 })
    await until('the load to be under way', 30_000, async () => ((await world.stored()) > before + 200 ? true : null))
    await load.stop()
    const ends = await world.ends()
    await until('the ledger to reach the ends of the log, after the last COMMITs were lost', 30_000, async () => {
      const ledger = await world.ledger()
      const behind = [...ends].filter(([partition, end]) => ledger.get(partition) !== end)
      if (behind.length === 0) return true
      throw new Error(behind.map(([partition, end]) => `${partition}: ${ledger.get(partition)} of ${end}`).join(', '))
    })
    await world.untilRecovered(30_000)
    laws.get(world)?.claim()
  },
}

const losing = new WeakMap<World, 'some' | 'every first'>()
const commitProxies = new WeakMap<World, CommitProxy>()
