/**
 * One scenario's world on the servers it needs: an empty topic, a database, a group and a fleet of its own, the load, and clients that live through
 * restarts. Whatever is opened here is closed with it, the last one first.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import definition from '../../consumers/cloud-events.ts'
import { migrate } from '../../src/schema/migrate.ts'
import { createRandom } from '../../src/simulate/random.ts'
import { endWatchdog, type Replica } from '../e2e/replica.ts'
import { until } from '../e2e/until.ts'
import { type Account, openAccount } from './account.ts'
import { openKafkaEyes, openSqlEyes } from './clients.ts'
import { type Fleet, openFleet } from './fleet.ts'
import type { Ground } from './ground/ground.ts'
import { type ChaosLoad, type ChaosLoadOptions, startLoad } from './load.ts'
import type { Told } from './records.ts'
import type { Scenario, World } from './scenario.ts'
import { suiteSettings } from './settings.ts'

const { topic } = definition

export interface WorldOptions {
  readonly scenario: Scenario
  readonly ground: Ground
  readonly seed: number
  readonly rate: number
  readonly partitions: number
  readonly signal: AbortSignal
  readonly tell: (text: string) => void
}

/** What the runner sees of a world besides. */
export interface OpenWorld extends World {
  readonly account: Account
  readonly declared: Told[]
  /** Records that were stored, and that Kafka no longer has. */
  storedAndGone: number
  readonly fleet: Fleet
  readonly loads: readonly ChaosLoad[]
  startMainLoad(): void
  /** Since healed() was called, until the runner sets it to null again: when, and where the log ended then. */
  healing: { readonly ms: number; readonly target: Promise<Map<number, number>> } | null
  close(): Promise<void>
}

export async function openWorld(options: WorldOptions): Promise<OpenWorld> {
  const { scenario, ground, seed, partitions, signal, tell } = options
  const random = createRandom(seed)
  const group = `chaos_${randomUUID().slice(0, 8)}`
  const open = new AsyncDisposableStack()
  const brokers = ground.kafka.brokers.split(',')
  const eyes = openKafkaEyes(brokers)
  open.defer(() => eyes.close())
  const databaseUrl = (base = ground.postgres.url) => Object.assign(new URL(base), { pathname: `/${group}` }).href
  const sql = openSqlEyes(() => databaseUrl(ground.postgres.directUrl))
  open.defer(() => sql.close())
  try {
    await makeDatabase(ground.postgres.directUrl, group, databaseUrl(ground.postgres.directUrl))
    await ground.redis.empty()
    await makeTopic()
  } catch (error) {
    await open.disposeAsync()
    throw error
  }

  const env: Record<string, string> = {
    ...suiteSettings,
    MILLRACE_KAFKA: ground.kafka.brokers,
    MILLRACE_POSTGRES: databaseUrl(),
    MILLRACE_GROUP: group,
    ...ground.redis.env,
    ...scenario.env,
  }
  const fleet = openFleet({ cwd: ground.kafka.folder, env, tell })
  open.defer(async () => {
    await fleet.kill()
    endWatchdog()
  })
  const account = openAccount()
  const loads: ChaosLoad[] = []
  let main: ChaosLoad | null = null
  open.defer(async () => void (await Promise.all(loads.map((load) => load.end()))))
  const startOne = (more: Partial<ChaosLoadOptions>) => {
    const load = startLoad(
      {
        brokers,
        topic,
        seed: random.below(1e9),
        rate: options.rate,
        duplicates: 0.001,
        poison: 0.005,
        binary: 0.2,
        ...more,
      },
      account,
    )
    loads.push(load)
    return load
  }

  /** An empty topic: one of this name from another scenario is deleted first. */
  async function makeTopic(): Promise<void> {
    await until('the old topic to be gone', 60_000, () =>
      eyes.admin(async (admin) => {
        if (!(await admin.listTopics()).includes(topic)) return true
        await admin.deleteTopics({ topics: [topic] })
        return null
      }),
    )
    await until('the new topic', 60_000, () =>
      eyes.admin(async (admin) => {
        const wanted = { topic, numPartitions: partitions, replicationFactor: ground.kafka.ids.length }
        if (!(await admin.listTopics()).includes(topic)) await admin.createTopics({ topics: [wanted] })
        const offsets = await admin.fetchTopicOffsets(topic)
        return offsets.length === partitions && offsets.every(({ high }) => high === '0') ? true : null
      }),
    )
  }

  const ends = () =>
    eyes.admin(
      async (admin) =>
        new Map((await admin.fetchTopicOffsets(topic)).map(({ partition, high }) => [partition, Number(high)])),
    )
  const settled = () =>
    eyes.admin(async (admin) => {
      const [found] = await admin.fetchOffsets({ groupId: group, topics: [topic] })
      const all = (found?.partitions ?? []).map(
        ({ partition, offset }) => [partition, Math.max(0, Number(offset))] as const,
      )
      return new Map(all)
    })
  const ledger = async () => {
    const rows = await sql.query<{ partition: number; next_offset: string }>(
      "SELECT partition, next_offset::text FROM ledger WHERE consumer = 'cloud-events' AND topic = $1",
      [topic],
    )
    return new Map(rows.map(({ partition, next_offset }) => [partition, Number(next_offset)]))
  }
  const status = async (replica: Replica) => (replica.isAlive ? await replica.status() : null)

  const world: OpenWorld = {
    scenario,
    random,
    seed,
    signal,
    ground,
    topic,
    group,
    partitions,
    env,
    databaseUrl,
    account,
    declared: [],
    storedAndGone: 0,
    declareLost(records, storedToo) {
      for (const record of records) world.declared.push(record)
      world.storedAndGone += storedToo
    },
    fleet,
    loads,
    healing: null,
    get replicas() {
      return fleet.replicas
    },
    get endedByThemselves() {
      return fleet.endedByThemselves
    },
    start: (more = {}) => fleet.start(more),
    replace: (replica, more = {}) => fleet.replace(replica, more),
    end: (replica, by = 'SIGTERM') => fleet.end(replica, by, 30_000),
    get load() {
      if (main === null) throw new Error('the load starts after prepare()')
      return main
    },
    startMainLoad() {
      main = startOne(scenario.load ?? {})
    },
    startLoad: startOne,
    sql: sql.query,
    get redis() {
      return ground.redis.client
    },
    kafka: eyes.kafka,
    admin: eyes.admin,
    ends,
    settled,
    ledger,
    stored: async () => [...(await ledger()).values()].reduce((sum, next) => sum + next, 0),
    async untilServing(who, limitMs = 60_000) {
      const wanted = who ?? fleet.replicas
      const counts = async () => {
        const all = await Promise.all(wanted.map(status))
        return all.map((one) => one?.rooms.persist.records ?? 0)
      }
      const before = await until('the replicas to answer', limitMs, counts)
      await until('every replica to store something', limitMs, async () => {
        signal.throwIfAborted()
        const assigned = await Promise.all(
          fleet.replicas.map(async (one) => (await status(one))?.partitions.length ?? 0),
        )
        const sum = assigned.reduce((total, one) => total + one, 0)
        if (sum !== partitions) throw new Error(`assigned: ${assigned.join(', ')}`)
        const now = await counts()
        if (now.every((count, index) => count > (before[index] as number))) return true
        throw new Error(`stored: ${now.join(', ')}; before: ${before.join(', ')}`)
      })
    },
    async untilRecovered(limitMs, ended) {
      const target = ended ?? (await until('the ends of the topic', limitMs, ends))
      await until('the group to settle what Kafka holds', limitMs, async () => {
        signal.throwIfAborted()
        const now = await settled()
        const behind = [...target].filter(([partition, end]) => (now.get(partition) ?? 0) < end)
        if (behind.length === 0) return true
        const told = behind.slice(0, 5).map(([partition, end]) => `${partition}: ${now.get(partition) ?? 0} of ${end}`)
        throw new Error(`${behind.length} partitions behind (${told.join('; ')})`)
      })
    },
    sleep: (ms) => sleep(ms, undefined, { signal }),
    defer: (close) => open.defer(async () => void (await close())),
    tell,
    healed() {
      if (world.healing !== null) return
      const target = until('the ends of the topic', 60_000, ends)
      target.catch(() => {})
      world.healing = { ms: performance.now(), target }
    },
    close: () => open.disposeAsync(),
  }
  return world
}

async function makeDatabase(serverUrl: string, name: string, url: string): Promise<void> {
  const run = async (at: string, work: (client: pg.Client) => Promise<unknown>) => {
    const client = new pg.Client({ connectionString: at })
    client.on('error', () => {})
    await client.connect()
    try {
      await work(client)
    } finally {
      await client.end()
    }
  }
  await run(serverUrl, (client) => client.query(`create database ${name}`))
  await run(url, (session) => migrate({ session, signal: AbortSignal.timeout(30_000) }))
}

/** No streams left from another scenario. */
