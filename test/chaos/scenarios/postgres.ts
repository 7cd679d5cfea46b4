/** PostgreSQL killed, slow, locked, unreachable, terminating sessions, and going back in time. */
import assert from 'node:assert/strict'
import pg from 'pg'
import { dayOf, partitionName } from '../../../src/core/day.ts'
import { startProxy, type TcpProxy, through } from '../../e2e/proxy.ts'
import type { Replica } from '../../e2e/replica.ts'
import { until, within } from '../../e2e/until.ts'
import { type LawWatch, watchLaw } from '../law.ts'
import type { Scenario, World } from '../scenario.ts'

/** So soon a fleet whose PostgreSQL is gone says so. */
export const notReadyMsMax = 5000

/** Until each of them answers /readyz so, in ms. */
export async function readyAfterMs(code: 200 | 503, who: readonly Replica[], limitMs: number): Promise<number> {
  const startedMs = performance.now()
  await until(`/readyz to answer ${code}`, limitMs, async () => {
    const codes = await Promise.all(who.map(async (one) => (await one.get('/readyz')).code))
    if (codes.every((one) => one === code)) return true
    throw new Error(codes.join(', '))
  })
  return Math.round(performance.now() - startedMs)
}

/** None has ended: a PostgreSQL that is away is no reason for a crash loop. */
export const noneEnded = (world: World) =>
  assert.deepEqual(world.endedByThemselves, [], 'replicas ended by themselves while PostgreSQL was away')

const laws = new WeakMap<World, LawWatch>()
const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`

export const postgresKill: Scenario = {
  name: 'postgres-kill',
  what: 'kill -9 of the postmaster, down for 2 to 6 s, started again; the fleet is not ready meanwhile and does not end',
  rounds: 6,
  recoveryMsMax: 15_000,
  needs: {},
  shortRounds: 1,
  async prepare(world) {
    laws.set(world, watchLaw(world))
  },
  async round(world) {
    const { postgres } = world.ground
    await postgres.kill('SIGKILL')
    const ms = await readyAfterMs(503, world.replicas, notReadyMsMax)
    await world.sleep(2000 + world.random.below(4000) - Math.min(ms, 2000))
    const startedMs = performance.now()
    await postgres.start()
    noneEnded(world)
    laws.get(world)?.claim()
    return `not ready after ${seconds(ms)}; up again ${seconds(performance.now() - startedMs)} after the start, recovery and its old children included`
  },
}

export const asyncCommit: Scenario = {
  name: 'async-commit',
  what: 'the server says synchronous_commit = off (and writes its WAL every 10 s), and its postmaster is killed -9: the fleet commits synchronously all the same',
  rounds: 5,
  recoveryMsMax: 15_000,
  needs: {},
  async prepare(world) {
    const { postgres } = world.ground
    const alter = async (settings: readonly string[]) => {
      for (const one of settings) await postgres.query(`ALTER SYSTEM ${one}`)
      await postgres.query('SELECT pg_reload_conf()')
    }
    world.defer(() => alter(['RESET synchronous_commit', 'RESET wal_writer_delay', 'RESET wal_writer_flush_after']))
    await alter(['SET synchronous_commit = off', "SET wal_writer_delay = '10s'", "SET wal_writer_flush_after = '1GB'"])
    laws.set(world, watchLaw(world))
  },
  async round(world) {
    const { postgres } = world.ground
    const law = laws.get(world)
    const entries = (await world.redis.keys('*')).length
    await postgres.kill('SIGKILL')
    // Nobody mends what the crash may have taken before it was looked at.
    postgres.proxy.cut()
    try {
      await postgres.start()
      const looks = law?.looks ?? 0
      await until('a look at streams and ledger', 10_000, () => ((law?.looks ?? 0) > looks + 1 ? true : null))
    } finally {
      postgres.proxy.mend()
    }
    law?.claim()
    return `killed; no stream of ${entries} ahead of what is stored`
  },
}

const terminateMs = 30_000

interface Sessions {
  readonly all: number
  readonly stuck: number
}

async function sessionsOf(world: World): Promise<Sessions> {
  const [found] = await world.sql<Sessions>(
    `SELECT count(*)::int AS all,
            count(*) FILTER (WHERE state LIKE 'idle in transaction%' AND state_change < now() - interval '1 second')::int AS stuck
     FROM pg_stat_activity WHERE datname = current_database() AND starts_with(application_name, 'millrace ')`,
  )
  return found ?? { all: 0, stuck: 0 }
}

export const terminate: Scenario = {
  name: 'terminate',
  what: 'pg_terminate_backend on all sessions of the fleet every second for 30 s; none is left idle in a transaction, and they do not grow in number',
  rounds: 2,
  recoveryMsMax: 15_000,
  needs: {},
  async prepare(world) {
    laws.set(world, watchLaw(world))
  },
  async round(world) {
    const [one] = world.replicas
    // Of each process: its lanes, one that they share, the keeper.
    const most = world.replicas.length * (((await one?.status())?.lanes ?? 0) + 2)
    let ended = 0
    let worst = 0
    for (const untilMs = performance.now() + terminateMs; performance.now() < untilMs; ) {
      const { all } = await sessionsOf(world)
      worst = Math.max(worst, all)
      const rows = await world.sql(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND starts_with(application_name, 'millrace ')`,
      )
      ended += rows.length
      await world.sleep(1000)
    }
    const left = await until('sessions to be as few as ever', 10_000, async () => {
      const now = await sessionsOf(world)
      if (now.all <= most && now.stuck === 0) return now
      throw new Error(JSON.stringify(now))
    })
    assert.ok(worst <= most, `${worst} sessions, ${most} are all that the fleet needs`)
    noneEnded(world)
    laws.get(world)?.claim()
    return `${ended} sessions ended; at most ${worst} at a time, ${left.all} now, ${left.stuck} idle in a transaction`
  },
}

const behindMs = 3000
const recordsBehindMin = 200
const sumOf = (ledger: ReadonlyMap<number, number>) => [...ledger.values()].reduce((sum, next) => sum + next, 0)

/** Answers how many records PostgreSQL has forgotten. */
async function failOver(world: World): Promise<number> {
  const { postgres } = world.ground
  const before = sumOf(await world.ledger())
  await postgres.kill('SIGKILL')
  // Nobody mends it before it was looked at.
  postgres.proxy.cut()
  try {
    await postgres.promote()
    const lost = before - sumOf(await world.ledger())
    assert.ok(lost > 0, 'the standby was not behind: nothing was tried')
    return lost
  } finally {
    postgres.proxy.mend()
  }
}

async function holdBack(world: World): Promise<void> {
  const { postgres } = world.ground
  if (postgres.standby?.isAlive !== true) await postgres.renewStandby()
  await postgres.untilStandbyFollows()
  postgres.holdStandby()
}

/** So far behind, and not without anything that it lacks. */
async function fallBehind(world: World): Promise<void> {
  const before = await world.stored()
  await world.sleep(behindMs)
  await until('something to be stored that the standby lacks', 30_000, async () =>
    (await world.stored()) > before + recordsBehindMin ? true : null,
  )
}

export const failover: Scenario = {
  name: 'failover',
  what: 'the primary is killed for good and an asynchronous standby that is 3 s behind is promoted: PostgreSQL forgets what it had committed; at last once more, with nothing coming in',
  rounds: 4,
  recoveryMsMax: 25_000,
  needs: { postgres: 'pair' },
  async round(world) {
    await holdBack(world)
    await fallBehind(world)
    const lost = await failOver(world)
    noneEnded(world)
    return `${lost} records forgotten by PostgreSQL`
  },
  async after(world) {
    await holdBack(world)
    const load = world.startLoad({ rate: 500 })
    await fallBehind(world)
    await load.stop()
    await world.untilRecovered(60_000)
    const ends = await world.ends()
    const lost = await failOver(world)
    const startedMs = performance.now()
    await until('PostgreSQL to hold again what it forgot, though nothing comes in', 60_000, async () => {
      const behind = sumOf(ends) - sumOf(await world.ledger())
      if (behind === 0) return true
      throw new Error(`${behind} records are missing`)
    })
    world.tell(`at rest: ${lost} records forgotten, stored again after ${seconds(performance.now() - startedMs)}`)
  },
}

const slowMs = 30_000
const residentBytesMax = 400 * 1024 ** 2

export const slowPostgres: Scenario = {
  name: 'slow-postgres',
  what: '+500 ms on every statement for 30 s: no rebalance, no replica above 400 MiB, none ends',
  rounds: 2,
  recoveryMsMax: 15_000,
  needs: {},
  async round(world) {
    const { proxy } = world.ground.postgres
    const rebalances = () => Promise.all(world.replicas.map((one) => one.metric('millrace_rebalances_total')))
    const before = await rebalances()
    let most = 0
    proxy.delay(500)
    try {
      for (const untilMs = performance.now() + slowMs; performance.now() < untilMs; ) {
        await world.sleep(1000)
        const all = await Promise.all(world.replicas.map(async (one) => (await one.status()).residentBytes))
        most = Math.max(most, ...all)
      }
    } finally {
      proxy.delay(0)
    }
    assert.deepEqual(await rebalances(), before, 'slow statements caused a rebalance')
    assert.ok(most <= residentBytesMax, `a replica took ${most} bytes`)
    noneEnded(world)
    return `no rebalance, at most ${Math.round(most / 1024 ** 2)} MiB`
  },
}

interface Cut {
  readonly proxy: TcpProxy
  name: string
}

const cuts = new WeakMap<World, Cut>()
const cutMs = 12_000
/** Silence is noticed when nothing has moved for as long as a transaction may take (3 s in this suite), and told within the next seconds. */
const silenceMsMax = 8000
/** A replica in which nothing moves ends after MILLRACE_PROGRESS_TIMEOUT_MS (30 s in this suite), and is no member any more. */
const leavesMsMax = 45_000
const takenOverMsMax = 20_000

export const cutPostgres: Scenario = {
  name: 'cut-postgres',
  what: 'one replica is cut off from PostgreSQL alone: 12 s of silence, then 12 s of refused connections; every other time by silence until it ends and the others serve its partitions',
  rounds: 2,
  recoveryMsMax: 15_000,
  needs: {},
  async prepare(world) {
    const proxy = await startProxy(world.databaseUrl())
    world.defer(() => proxy.close())
    cuts.set(world, { proxy, name: await startCut(world, proxy) })
  },
  async round(world, round) {
    const it = cuts.get(world) as Cut
    const cut = world.replicas.find((one) => one.name === it.name) as Replica
    it.proxy.hold()
    try {
      const silent = await whileOthersStore(world, cut, () => readyAfterMs(503, [cut], silenceMsMax))
      if (round % 2 === 1) {
        it.proxy.cut()
        it.proxy.release()
        const refused = await whileOthersStore(world, cut, () => readyAfterMs(503, [cut], notReadyMsMax))
        assert.ok(cut.isAlive, 'a server that refuses is no reason to end')
        return `${it.name}: silence told after ${seconds(silent)}, refusal after ${seconds(refused)}`
      }
      const startedMs = performance.now()
      cut.expectEnd()
      const { code } = await within('the replica to end', leavesMsMax, cut.ended)
      assert.notEqual(code, 0)
      const endedMs = performance.now()
      await world.untilRecovered(takenOverMsMax)
      return `${it.name}: silence told after ${seconds(silent)}, ended after ${seconds(endedMs - startedMs + cutMs)}, its partitions served by others ${seconds(performance.now() - endedMs)} later`
    } finally {
      it.proxy.mend()
      it.proxy.release()
      if (!cut.isAlive) {
        await world.end(cut)
        it.name = await startCut(world, it.proxy)
      }
    }
  },
}

async function startCut(world: World, proxy: TcpProxy): Promise<string> {
  return (await world.start({ MILLRACE_POSTGRES: through(world.databaseUrl(), proxy) })).name
}

/** For as long as a cut takes, and all the while the others store. */
async function whileOthersStore<T>(world: World, cut: Replica, work: () => Promise<T>): Promise<T> {
  const others = world.replicas.filter((one) => one !== cut)
  const stored = () => Promise.all(others.map(async (one) => (await one.status()).rooms.persist.records))
  const before = await stored()
  const startedMs = performance.now()
  const answer = await work()
  await world.sleep(Math.max(0, cutMs - (performance.now() - startedMs)))
  const after = await stored()
  const all = after.every((count, index) => count > (before[index] as number))
  assert.ok(all, `the others stored nothing: ${before.join(', ')} and then ${after.join(', ')}`)
  return answer
}

const lockMs = 6000
const locked = ['the table', "today's partition", 'half of the ledger'] as const

export const locks: Scenario = {
  name: 'locks',
  what: 'somebody holds, for 6 s, an ACCESS EXCLUSIVE lock on the table, on the partition of today, or the ledger rows of half of the partitions',
  rounds: 6,
  recoveryMsMax: 15_000,
  needs: {},
  async prepare(world) {
    laws.set(world, watchLaw(world))
  },
  async round(world, round) {
    const what = locked[(round - 1) % locked.length] as (typeof locked)[number]
    const client = new pg.Client({ connectionString: world.databaseUrl(world.ground.postgres.directUrl) })
    client.on('error', () => {})
    await client.connect()
    try {
      await client.query('BEGIN')
      if (what === 'the table') await client.query('LOCK TABLE cloud_events IN ACCESS EXCLUSIVE MODE')
      else if (what === 'half of the ledger') {
        await client.query('SELECT FROM ledger WHERE partition % 2 = $1 FOR UPDATE', [world.random.below(2)])
      } else {
        const name = pg.escapeIdentifier(partitionName('cloud_events', dayOf(Date.now())))
        await client.query(`LOCK TABLE ${name} IN ACCESS EXCLUSIVE MODE`)
      }
      await world.sleep(lockMs)
      await client.query('COMMIT')
    } finally {
      await client.end()
    }
    noneEnded(world)
    laws.get(world)?.claim()
    return `locked ${what}`
  },
}

export const postgresScenarios = [postgresKill, asyncCommit, terminate, slowPostgres, cutPostgres, locks, failover]
