/**
 * `npm run bench`: how fast, beside the fastest thing PostgreSQL can do, in one run.
 *
 *   raw    the very same rows, binary COPY by two psql-like streams
 *   store  Millrace, PostgreSQL only: the topic drained by one process
 *   both   Millrace, PostgreSQL and Redis
 *   steady 6,667 events/s over 100 partitions into two replicas: latency from produced to stored and to published
 *
 * Rounds take turns in alternating order, medians count, ratios are what to quote: machines differ and are noisy. Every drain ends with a count by SQL.
 */

import { execFile } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { Redis } from 'ioredis'
import kafkajs from 'kafkajs'
import pg from 'pg'
import { dayOf, partitionName } from '../src/core/day.ts'
import { FatalError } from '../src/core/errors.ts'
import { LatencyHistogram } from '../src/core/latency.ts'
import { type Status, windowOf } from '../src/core/status.ts'
import { migrate } from '../src/schema/migrate.ts'
import { ensurePartitions } from '../src/schema/partitions.ts'
import { simulate } from '../src/simulate/kafka.ts'
import { ensureTopic } from '../src/simulate/topic.ts'
import { startStack } from '../src/stack/stack.ts'
import { copyOut } from './copy-out.ts'
import { type Replica, startReplica } from './replica.ts'

const { values: flags } = parseArgs({
  // Behind `millrace bench`.
  args: process.argv.slice(3),
  options: {
    events: { type: 'string', default: '1000000' },
    rounds: { type: 'string', default: '3' },
    steady: { type: 'string', default: '30' },
    warm: { type: 'string', default: '20' },
    rate: { type: 'string', default: '6667' },
    replicas: { type: 'string', default: '2' },
    only: { type: 'string' },
    poison: { type: 'boolean', default: false },
    profile: { type: 'boolean', default: false },
    set: { type: 'string', multiple: true, default: [] },
    help: { type: 'boolean', default: false },
  },
})
if (flags.help) {
  process.stdout.write(`npm run bench -- [options]
  --events N     events to drain (1000000)
  --rounds N     rounds of each drain, medians count (3)
  --steady S     seconds of the steady run (30; 0 leaves it out)
  --warm S       seconds of the same load before it, not counted (20)
  --rate N       events per second of the steady run (6667)
  --replicas N   replicas of the steady run (2)
  --only NAMES   of raw,store,both,steady: only these, comma-separated
  --poison       instead of all that: drain as many events with one bad record in a thousand, beside clean ones
  --set NAME=V   a setting of the replicas, say MILLRACE_LANES=4; may be repeated
  --profile      write CPU profiles of the drains into .local/stacks/bench/logs
`)
  process.exit(0)
}
/** What the topic holds: a request that is sent again makes it a little more than was asked for. */
let events = Number(flags.events)
const rounds = Number(flags.rounds)
const only = flags.only?.split(',') ?? ['raw', 'store', 'both', 'steady']
const root = fileURLToPath(new URL('..', import.meta.url))
const partitions = 100
const say = (text: string) => process.stderr.write(`${text}\n`)

const interrupt = new AbortController()
process.once('SIGINT', () => interrupt.abort(new Error('interrupted')))
process.once('SIGTERM', () => interrupt.abort(new Error('terminated')))
const { signal } = interrupt

say('starting Kafka, PostgreSQL and Redis')
await using stack = await startStack({ root, name: 'bench', fresh: true, lasting: true, signal })
const logs = join(root, '.local/stacks/bench/logs')
mkdirSync(logs, { recursive: true })
const sql = new pg.Client({ connectionString: stack.postgres })
// The stack ends before this connection when something fails; what failed is what should be read.
sql.on('error', () => {})
await sql.connect()
const redis = new Redis(stack.redis)
redis.on('error', () => {})
await migrate({ session: sql, signal })
const kafka = new kafkajs.Kafka({ brokers: [stack.kafka], logLevel: kafkajs.logLevel.ERROR })
await ensureTopic(kafka, 'cloud-events', { partitions, replicationFactor: 1 })
const today = dayOf(Date.now())
/** A bench has no settings to blame: whatever the client says ends it. */
const unexplained = (error: unknown) =>
  new FatalError('KAFKA_CRASHED', String(error), 'See the log of the stack.', error)

interface Drain {
  /** Rows. */
  readonly perSecond: number
  /** Records of all kinds. */
  readonly passedPerSecond: number
  readonly residentMiB: number
  readonly cpuSecondsPerMillion: number
}

/** Empty tables, streams and marks: the same topic is drained anew. */
async function reset(): Promise<void> {
  await sql.query('TRUNCATE ledger, rejects, cloud_events')
  await ensurePartitions(sql, 'cloud_events', [today - 1, today, today + 1], { signal })
  await redis.flushdb()
  await sql.query('CHECKPOINT')
}

let group = 0
const env = (streams: boolean): Record<string, string> => ({
  MILLRACE_KAFKA: stack.kafka,
  MILLRACE_POSTGRES: stack.postgres,
  MILLRACE_REDIS: streams ? stack.redis : 'off',
  MILLRACE_GROUP: `bench-${++group}`,
  MILLRACE_LOG_LEVEL: 'warn',
  ...Object.fromEntries(flags.set.map((pair) => pair.split('=', 2) as [string, string])),
})

const profiling = flags.profile ? ['--cpu-prof', `--cpu-prof-dir=${logs}`] : []

/** `begins`: from these offsets on, instead of everything. */
async function drain(streams: boolean, begins?: ReadonlyMap<number, number>): Promise<Drain> {
  await reset()
  if (begins !== undefined) {
    await sql.query(
      `INSERT INTO ledger (consumer, topic, partition, start_offset, next_offset)
       SELECT 'cloud-events', 'cloud-events', * FROM unnest($1::int[], $2::bigint[], $2::bigint[])`,
      [[...begins.keys()], [...begins.values()]],
    )
  }
  const replica = await startReplica(env(streams), join(logs, 'replica.log'), profiling)
  const from = performance.now()
  const room = streams ? 'publish' : 'persist'
  let passed = 0
  let movedAt = performance.now()
  while (passed < events) {
    await sleep(50, undefined, { signal })
    const { records } = (await replica.status()).rooms[room]
    if (records > passed) movedAt = performance.now()
    else if (performance.now() - movedAt > 60_000)
      throw new Error(`nothing has moved for a minute: ${passed} of ${events}`)
    passed = records
  }
  const seconds = (performance.now() - from) / 1000
  const { residentMiB, cpuSeconds } = replica.usage()
  await replica.stop()
  const { rows } = await sql.query(
    'SELECT (SELECT count(*) FROM cloud_events)::int AS stored, (SELECT sum(stored + duplicated + rejected) FROM ledger)::int AS passed',
  )
  // Of a part of the topic, the next part may be under way.
  if (begins === undefined ? rows[0].passed !== events : rows[0].passed < events)
    throw new Error(`${rows[0].passed} of ${events} records passed`)
  return {
    perSecond: rows[0].stored / seconds,
    passedPerSecond: events / seconds,
    residentMiB,
    cpuSecondsPerMillion: (cpuSeconds / events) * 1e6,
  }
}

/** The rows of the last drain, as two files of COPY BINARY bytes. */
const files = [0, 1].map((half) => join(logs, `../rows-${half}.bin`))
async function dumpRows(): Promise<void> {
  for (const [half, file] of files.entries()) {
    const rows = `SELECT id, event_time, source, event_id, type, subject, tenant_id, data, extensions, kafka_topic, kafka_partition,
      kafka_offset, kafka_time, data_bytes FROM cloud_events WHERE kafka_partition % 2 = ${half} ORDER BY ctid`
    await copyOut(sql, `COPY (${rows}) TO STDOUT (FORMAT binary)`, file)
  }
}

async function raw(): Promise<Drain> {
  await reset()
  const table = partitionName('cloud_events', today)
  const script = fileURLToPath(new URL('./raw-copy.ts', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [script, stack.postgres, table, ...files])
  const { rows } = await sql.query('SELECT count(*)::int AS stored FROM cloud_events')
  const perSecond = rows[0].stored / JSON.parse(stdout).seconds
  return { perSecond, passedPerSecond: perSecond, residentMiB: 0, cpuSecondsPerMillion: 0 }
}

const median = (numbers: readonly number[]) =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN
const results: Record<string, Drain[]> = {}

/** Sends so many records as fast as the broker takes them, and answers where the partitions end then. */
async function produce(seed: number, poison: number): Promise<Map<number, number>> {
  say(`producing ${flags.events} events${poison > 0 ? `, ${poison * 1000} of a thousand bad` : ''}`)
  const sent = await simulate({
    kafka: { brokers: [stack.kafka] },
    topic: 'cloud-events',
    seed,
    rate: Number.POSITIVE_INFINITY,
    events: Number(flags.events),
    poison,
    acks: 1,
    signal,
    now: Date.now,
    explain: unexplained,
  })
  say(
    `  ${Math.round(sent.produced / (sent.elapsedMs / 1000))} events/s, ${Math.round(sent.bytes / sent.produced)} bytes each`,
  )
  const admin = kafka.admin()
  await admin.connect()
  const ends = await admin.fetchTopicOffsets('cloud-events')
  await admin.disconnect()
  return new Map(ends.map(({ partition, high }) => [partition, Number(high)]))
}

const sum = (numbers: Iterable<number>) => [...numbers].reduce((total, one) => total + one, 0)

/** The same process, the same number of records, clean and with one bad one in a thousand, in turns. */
async function poisoned(): Promise<void> {
  const dirtyEnds = await produce(1, 0.001)
  const ends = await produce(2, 0)
  // Either part may be a little more than was asked for, where the client sent a request again.
  const dirty = sum(dirtyEnds.values())
  events = Math.min(dirty, sum(ends.values()) - dirty)
  const parts = { clean: dirtyEnds, poison: new Map([...dirtyEnds.keys()].map((partition) => [partition, 0])) }
  const names = ['clean', 'poison'] as const
  say('warming up')
  await drain(true, parts.clean)
  const rates = { clean: [] as number[], poison: [] as number[] }
  for (let round = 0; round < rounds; round++) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const { passedPerSecond } = await drain(true, parts[name])
      rates[name].push(passedPerSecond)
      say(`  round ${round + 1} ${name.padEnd(6)} ${Math.round(passedPerSecond)} records/s`)
    }
  }
  const [clean, poison] = [median(rates.clean), median(rates.poison)]
  process.stdout.write(`clean ${Math.round(clean)} records/s, one bad in a thousand ${Math.round(poison)}: `)
  process.stdout.write(`${(poison / clean).toFixed(2)} of clean\n`)
}

if (flags.poison) {
  await poisoned()
  await sql.end()
  redis.disconnect()
  await stack.stop()
  process.exit(0)
}

if (only.some((name) => name !== 'steady')) {
  events = sum((await produce(1, 0)).values())
  say('warming up, and keeping the rows for the raw copies')
  await drain(only.includes('both'))
  if (only.includes('raw')) await dumpRows()
  const runs: Record<string, () => Promise<Drain>> = { raw, store: () => drain(false), both: () => drain(true) }
  const names = ['raw', 'store', 'both'].filter((name) => only.includes(name))
  for (let round = 0; round < rounds; round++) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const result = await (runs[name] as () => Promise<Drain>)()
      results[name] = [...(results[name] ?? []), result]
      say(`  round ${round + 1} ${name.padEnd(6)} ${Math.round(result.perSecond)} events/s`)
    }
  }
}

/** Every partition is served, and every replica serves some. */
async function assigned(replicas: readonly Replica[]): Promise<void> {
  for (;;) {
    const counts = (await Promise.all(replicas.map((replica) => replica.status()))).map(
      (status) => status.partitions.length,
    )
    if (counts.every((count) => count > 0) && counts.reduce((sum, count) => sum + count) === partitions) return
    await sleep(200, undefined, { signal })
  }
}

interface Quantiles {
  readonly p50: number
  readonly p95: number
  readonly p99: number
}

interface Steady {
  readonly rate: number
  readonly storedMs: Quantiles & { readonly seconds: readonly Quantiles[] }
  readonly publishedMs: Quantiles & { readonly seconds: readonly Quantiles[] }
  readonly residentMiB: number
  readonly lateMsP99: number
}

function quantilesBetween(from: readonly Status[], to: readonly Status[], of: 'storedMs' | 'publishedMs'): Quantiles {
  const all = new LatencyHistogram()
  for (const [index, status] of to.entries()) {
    const earlier = from[index]
    if (earlier !== undefined) all.merge(LatencyHistogram.from(status[of]).since(earlier[of]))
  }
  return { p50: all.percentile(0.5), p95: all.percentile(0.95), p99: all.percentile(0.99) }
}

async function steady(): Promise<Steady> {
  say(`steady: ${flags.rate} events/s for ${flags.steady} s into ${flags.replicas} replicas`)
  await reset()
  // As `npm start` does: the lanes of all replicas together are about as many as cores.
  const lanes = String(Math.max(1, Math.round(cpus().length / Number(flags.replicas))))
  const setting = { MILLRACE_LANES: lanes, ...env(true), MILLRACE_START_FROM: 'latest' }
  const replicas = await Promise.all(
    Array.from({ length: Number(flags.replicas) }, (_, n) =>
      startReplica(setting, join(logs, `steady-${n}.log`), profiling),
    ),
  )
  await assigned(replicas)
  const warmMs = Number(flags.warm) * 1000
  const sending = simulate({
    kafka: { brokers: [stack.kafka] },
    topic: 'cloud-events',
    seed: Date.now(),
    rate: Number(flags.rate),
    forMs: warmMs + Number(flags.steady) * 1000,
    signal,
    now: Date.now,
    explain: unexplained,
  })
  await sleep(warmMs, undefined, { signal })
  const statuses = () => Promise.all(replicas.map((replica) => replica.status()))
  const before = await statuses()
  const seconds = [before]
  while (seconds.length < Number(flags.steady)) {
    await sleep(1000, undefined, { signal })
    seconds.push(await statuses())
  }
  const sent = await sending
  await sleep(1000, undefined, { signal })
  const after = await statuses()
  seconds.push(after)
  /** Of everything, and of the median second: on a shared machine one bad second in thirty decides the first alone. */
  const quantiles = (of: 'storedMs' | 'publishedMs') => ({
    ...quantilesBetween(before, after, of),
    seconds: seconds.slice(1).map((second, index) => quantilesBetween(seconds[index] as Status[], second, of)),
  })
  for (const [index, status] of after.entries()) {
    const window = windowOf(before[index] as Status, status)
    const rooms = (['decode', 'persist', 'publish'] as const).map((room) => {
      const batches = status.rooms[room].batches - (before[index]?.rooms[room].batches ?? 0)
      const working = status.rooms[room].seconds.working - (before[index]?.rooms[room].seconds.working ?? 0)
      return `${room} ${Math.round(batches / window.seconds)}/s, ${((working / batches) * 1000).toFixed(1)} ms each`
    })
    say(`  replica ${index + 1}: ${rooms.join('; ')}; ${Math.round(window.batchRows.percentile(0.5))} rows a batch`)
  }
  const residentMiB = Math.max(...replicas.map((replica) => replica.usage().residentMiB))
  await Promise.all(replicas.map((replica) => replica.stop()))
  return {
    rate: sent.produced / (sent.elapsedMs / 1000),
    storedMs: quantiles('storedMs'),
    publishedMs: quantiles('publishedMs'),
    residentMiB,
    lateMsP99: sent.lateMsP99,
  }
}
const steadyResult = only.includes('steady') && Number(flags.steady) > 0 ? await steady() : null

const of = (name: string, value: (drain: Drain) => number) => median((results[name] ?? []).map(value))
const rawRate = of('raw', (drain) => drain.perSecond)
const summary = {
  at: new Date().toISOString(),
  machine: { cores: cpus().length, cpu: cpus()[0]?.model ?? 'unknown', node: process.version },
  events,
  rounds,
  rawPerSecond: rawRate,
  postgresOnlyPerSecond: of('store', (drain) => drain.perSecond),
  bothPerSecond: of('both', (drain) => drain.perSecond),
  postgresOnlyOfRaw: of('store', (drain) => drain.perSecond) / rawRate,
  bothOfRaw: of('both', (drain) => drain.perSecond) / rawRate,
  drainResidentMiB: Math.max(...(results.both ?? results.store ?? []).map((drain) => drain.residentMiB)),
  cpuSecondsPerMillion: {
    postgresOnly: of('store', (drain) => drain.cpuSecondsPerMillion),
    both: of('both', (drain) => drain.cpuSecondsPerMillion),
  },
  steady: steadyResult,
  runs: results,
}
const directory = join(root, 'bench/results')
mkdirSync(directory, { recursive: true })
const file = join(directory, `${summary.at.slice(0, 19).replaceAll(':', '')}.json`)
writeFileSync(file, `${JSON.stringify(summary, null, 2)}\n`)

const number = (value: number, digits = 0) => (Number.isFinite(value) ? value.toFixed(digits) : '-')
const row = (...cells: string[]) => process.stdout.write(`| ${cells.join(' | ')} |\n`)
row('what', 'events/s', 'of raw', 'CPU s per million', 'peak MiB')
row('---', '---:', '---:', '---:', '---:')
row('raw COPY, two streams', number(rawRate), '1.00', '', '')
for (const [name, title] of [
  ['store', 'PostgreSQL only'],
  ['both', 'PostgreSQL and Redis'],
] as const) {
  const rate = of(name, (drain) => drain.perSecond)
  const memory = of(name, (drain) => drain.residentMiB)
  row(
    title,
    number(rate),
    number(rate / rawRate, 2),
    number(
      of(name, (drain) => drain.cpuSecondsPerMillion),
      1,
    ),
    number(memory),
  )
}
if (steadyResult !== null) {
  process.stdout.write('\n')
  row(`at ${number(steadyResult.rate)} events/s`, 'p50 ms', 'p95 ms', 'p99 ms', 'peak MiB')
  row('---', '---:', '---:', '---:', '---:')
  const medianSecond = ({ seconds }: Steady['storedMs']): Quantiles => ({
    p50: median(seconds.map(({ p50 }) => p50)),
    p95: median(seconds.map(({ p95 }) => p95)),
    p99: median(seconds.map(({ p99 }) => p99)),
  })
  for (const [title, { p50, p95, p99 }] of [
    ['produced to stored', steadyResult.storedMs],
    ['produced to published', steadyResult.publishedMs],
    ['to stored, the median second', medianSecond(steadyResult.storedMs)],
    ['to published, the median second', medianSecond(steadyResult.publishedMs)],
  ] as const) {
    row(title, number(p50, 1), number(p95, 1), number(p99, 1), number(steadyResult.residentMiB))
  }
}
process.stdout.write(`\n${file}\n`)
await sql.end()
redis.disconnect()
