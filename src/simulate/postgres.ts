/**
 * PostgreSQL under load: workers COPY batches of whatever is due straight into the partitions of the days, one transaction each, while readers ask what
 * people and services ask: one event by its key, a type's latest, the last of a subject. Latencies count from when an event, or a query, was due.
 *
 * The tables are those of this version's schema, in a schema of the simulator's own that it knows by its comment: it writes nowhere else, and drops
 * nothing else. An existing table (`read`) is only read.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { CopyWriter } from '../core/copy.ts'
import { dayOf, partitionName } from '../core/day.ts'
import { FatalError } from '../core/errors.ts'
import { formatUuid, writeEventId } from '../core/identity.ts'
import { LatencyHistogram } from '../core/latency.ts'
import { runCopies } from '../flow/persist/copy-transaction.ts'
import { migrate } from '../schema/migrate.ts'
import { ensurePartitions } from '../schema/partitions.ts'
import { createEvents, type SimulatedEvent } from './events.ts'
import { openLoop } from './open-loop.ts'
import type { PostgresPlan } from './postgres-flags.ts'
import { createProfile } from './profile.ts'
import { createRandom } from './random.ts'

export interface SimulatePostgresOptions extends PostgresPlan {
  readonly connect: (name: string) => Promise<pg.Client>
  readonly signal: AbortSignal
  readonly now: () => number
  readonly onStats?: (stats: PostgresStats) => void
}

export const readKinds = ['by key', 'by type and time', 'last of a subject'] as const

export interface ReadStats {
  readonly kind: (typeof readKinds)[number]
  readonly queries: number
  readonly rows: number
  readonly msP50: number
  readonly msP99: number
}

export interface PostgresStats {
  readonly stored: number
  readonly batches: number
  readonly elapsedMs: number
  readonly waiting: number
  /** From due to committed. */
  readonly storedMsP50: number
  readonly storedMsP99: number
  readonly readsWaiting: number
  readonly reads: readonly ReadStats[]
  /** Committed rows that are not there at the end, or that a query by key did not find. */
  readonly missing: number | null
}

const dayMs = 86_400_000
const statsMs = 1000
const schemaMark = 'Made by `millrace simulate postgres`, which may drop it.'
const columns =
  'id, event_time, source, event_id, type, subject, tenant_id, data, extensions, kafka_topic, kafka_partition, kafka_offset, kafka_time, data_bytes'
/** Of what was stored lately, so many are remembered for readers to ask for. */
const knownMax = 4096
const knownEvery = 8

interface Known {
  readonly id: string
  readonly type: string
  readonly subject: string | null
}

export async function simulatePostgres(options: SimulatePostgresOptions): Promise<PostgresStats> {
  const { now, signal, schema, read } = options
  await using closing = new AsyncDisposableStack()
  /** Where tables and functions are looked for. */
  let path = pg.escapeIdentifier(schema)
  const connect = async (name: string) => {
    const client = await options.connect(name)
    closing.defer(() => client.end().catch(() => {}))
    await client.query(`SET search_path = ${path}`)
    return client
  }
  const client = await options.connect('millrace simulate')
  closing.defer(() => client.end().catch(() => {}))
  const known: Known[] = []
  const table = read ?? 'cloud_events'
  if (read !== undefined) {
    path = pg.escapeIdentifier(await schemaOf(client, read))
    await client.query(`SET search_path = ${path}`)
  }
  let before = 0
  if (read === undefined) before = await prepare(client, options)
  else await learn(client, table, known)

  const startedMs = now()
  const stored = read === undefined ? await startStoring(connect, startedMs, known, options) : null
  const over = new AbortController()
  const reading = await startReading(connect, table, startedMs, known, options, AbortSignal.any([signal, over.signal]))
  const stats = (missing: number | null): PostgresStats => ({
    stored: stored?.rows ?? 0,
    batches: stored?.batches ?? 0,
    elapsedMs: now() - startedMs,
    waiting: stored?.loop.waiting() ?? 0,
    storedMsP50: quantile(stored?.committed, 0.5),
    storedMsP99: quantile(stored?.committed, 0.99),
    readsWaiting: reading?.loop.waiting() ?? 0,
    reads: reading?.stats() ?? [],
    missing,
  })
  const reporter = setInterval(() => options.onStats?.(stats(null)), statsMs)
  try {
    const readings = reading?.loop.done ?? new Promise<never>(() => {})
    await (stored === null ? readings : Promise.race([stored.loop.done, readings.then(() => stored.loop.done)]))
    over.abort()
    await reading?.loop.done
    let missing = reading?.notFound() ?? 0
    if (stored !== null) {
      const { rows } = await client.query('SELECT count(*)::int AS rows FROM cloud_events')
      missing += before + stored.rows - rows[0].rows
    }
    const final = stats(missing)
    options.onStats?.(final)
    if (options.clean && read === undefined) await clean(client, schema)
    return final
  } finally {
    over.abort()
    clearInterval(reporter)
    await Promise.allSettled([stored?.loop.done, reading?.loop.done])
  }
}

/** Drops the schema if it is the simulator's; says whether there was one. */
export async function clean(client: pg.Client, schema: string): Promise<boolean> {
  if (!(await isOurs(client, schema))) return false
  await client.query(`DROP SCHEMA ${pg.escapeIdentifier(schema)} CASCADE`)
  return true
}

/** Null: there is none of that name. */
async function isOurs(client: pg.Client, schema: string): Promise<boolean | null> {
  const found = `SELECT obj_description(oid, 'pg_namespace') AS mark FROM pg_namespace WHERE nspname = $1`
  const { rows } = await client.query(found, [schema])
  if (rows.length === 0) return null
  if (rows[0].mark === schemaMark) return true
  throw new FatalError(
    'USAGE',
    `There is a schema ${schema}, and the simulator has not made it.`,
    'Choose another --schema; to read an existing table and leave it as it is, --read.',
  )
}

/** The schema, its tables, the partitions; answers how many rows are there already. */
async function prepare(
  client: pg.Client,
  { schema, days, forMs, now, signal }: SimulatePostgresOptions,
): Promise<number> {
  const name = pg.escapeIdentifier(schema)
  if ((await isOurs(client, schema)) === null) {
    await client.query(`CREATE SCHEMA ${name}; COMMENT ON SCHEMA ${name} IS ${pg.escapeLiteral(schemaMark)}`)
  }
  await client.query(`SET search_path = ${name}`)
  await migrate({ session: client, signal })
  const today = dayOf(now())
  // A run may go on past midnight; one without an end is taken to be over in a week.
  const ahead = forMs === undefined ? 7 : 1 + Math.ceil(forMs / dayMs)
  const wanted = Array.from({ length: days + ahead }, (_, index) => today + 1 - days + index)
  await ensurePartitions(client, 'cloud_events', wanted, { signal })
  const { rows } = await client.query('SELECT count(*)::int AS rows FROM cloud_events')
  return rows[0].rows
}

async function schemaOf(client: pg.Client, table: string): Promise<string> {
  const found =
    'SELECT nspname AS schema FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid WHERE c.oid = to_regclass($1)'
  const { rows } = await client.query(found, [table])
  if (rows.length === 0) {
    throw new FatalError('USAGE', `There is no table ${table}.`, 'Name one like public.cloud_events.')
  }
  return rows[0].schema
}

/** Something to ask for. */
async function learn(client: pg.Client, table: string, known: Known[]): Promise<void> {
  const latest = `SELECT id::text, type, subject FROM ${table} WHERE id >= millrace_id_floor(now() - interval '1 hour') LIMIT $1`
  const { rows } = await client.query(latest, [knownMax])
  known.push(...rows)
}

const quantile = (histogram: LatencyHistogram | undefined, share: number) =>
  histogram === undefined || histogram.count === 0 ? 0 : Math.round(histogram.percentile(share) * 10) / 10

type Connect = (name: string) => Promise<pg.Client>

async function startStoring(connect: Connect, startedMs: number, known: Known[], options: SimulatePostgresOptions) {
  const { rate, profile, now, signal, seed, size, workers, batch, days } = options
  const events = createEvents({ seed, partitions: workers, ...(size !== undefined && { size }) })
  const luck = createRandom(seed)
  const committed = new LatencyHistogram()
  const counted = { rows: 0, batches: 0 }
  const clients = await Promise.all(
    Array.from({ length: workers }, (_, index) => connect(`millrace simulate copy ${index + 1}`)),
  )
  const free = clients.map((client, worker) => ({ client, worker }))
  const isPaced = rate !== Number.POSITIVE_INFINITY
  const loop = openLoop({
    profile: isPaced ? createProfile(profile ?? { name: 'constant', rate, peak: rate, periodMs: 1000 }) : null,
    startedMs,
    events: options.events ?? Number.POSITIVE_INFINITY,
    endMs: options.forMs === undefined ? Number.POSITIVE_INFINITY : startedMs + options.forMs,
    now,
    signal,
    inFlightMax: workers,
    chunkMax: batch,
    async work(first, dueMs) {
      const own = free.pop()!
      try {
        const copies = new Map<number, CopyWriter>()
        const made: Known[] = []
        for (const [index, due] of dueMs.entries()) {
          const back = days === 1 ? 0 : luck.below(days)
          const event = events.nextEvent(due - back * dayMs)
          const day = dayOf(event.timestampMs)
          let copy = copies.get(day)
          if (copy === undefined) {
            copy = new CopyWriter(dueMs.length * 500)
            copies.set(day, copy)
          }
          made.push(writeRow(copy, event, own.worker, first + index))
        }
        const dayList = [...copies.keys()]
        const text = dayList.map(
          (day) => `COPY ${partitionName('cloud_events', day)} (${columns}) FROM STDIN (FORMAT binary)`,
        )
        await runCopies(
          own.client,
          ['BEGIN', ...text, 'COMMIT'].join('; '),
          [...copies.values()].map((copy) => copy.finish()),
        )
        committed.recordAges(now(), dueMs)
        counted.rows += dueMs.length
        counted.batches++
        for (let at = 0; at < made.length; at += knownEvery) {
          if (known.length < knownMax) known.push(made[at] as Known)
          else known[luck.below(knownMax)] = made[at] as Known
        }
      } finally {
        free.push(own)
      }
    },
  })
  loop.done.catch(() => {})
  return {
    loop,
    committed,
    get rows() {
      return counted.rows
    },
    get batches() {
      return counted.batches
    },
  }
}

const topic = Buffer.from('simulated')

function writeRow(copy: CopyWriter, event: SimulatedEvent, worker: number, place: number): Known {
  const { type, source, id, subject, tenant, timestampMs, data } = event
  const key = new Uint8Array(16)
  writeEventId(key, 0, timestampMs, source, id)
  const json = Buffer.from(data)
  const texts = [source, id, type, subject, tenant].map((text) => Buffer.from(text))
  const bytes = texts.reduce((sum, text) => sum + text.length, json.length)
  copy.row(14, bytes + 128)
  copy.bytes(key, 0, 16)
  copy.timestamp(timestampMs * 1000)
  for (const text of texts) copy.bytes(text, 0, text.length)
  copy.jsonb(json, 0, json.length)
  copy.null()
  copy.bytes(topic, 0, topic.length)
  copy.int32(worker)
  copy.int64(place)
  copy.timestamp(timestampMs * 1000)
  copy.null()
  return { id: formatUuid(key), type, subject }
}

async function startReading(
  connect: Connect,
  table: string,
  startedMs: number,
  known: readonly Known[],
  options: SimulatePostgresOptions,
  signal: AbortSignal,
) {
  const { reads, readers, mix, seed, now } = options
  if (reads === 0) return null
  const clients = await Promise.all(
    Array.from({ length: readers }, (_, index) => connect(`millrace simulate read ${index + 1}`)),
  )
  const luck = createRandom(seed + 1)
  const total = mix.reduce((sum, weight) => sum + weight, 0)
  const tallies = readKinds.map((kind) => ({ kind, queries: 0, rows: 0, ms: new LatencyHistogram() }))
  let notFound = 0
  const sinceHour = `id >= millrace_id_floor(now() - interval '1 hour')`
  const texts = [
    `SELECT * FROM ${table} WHERE id = $1::uuid`,
    `SELECT * FROM ${table} WHERE type = $1 AND event_time >= now() - interval '10 seconds' AND id >= millrace_id_floor(now() - interval '10 seconds') ORDER BY event_time DESC LIMIT 100`,
    `SELECT * FROM ${table} WHERE type = $1 AND subject = $2 AND event_time >= now() - interval '1 hour' AND ${sinceHour} ORDER BY event_time DESC LIMIT 1`,
  ]
  const loop = openLoop({
    profile: createProfile({ name: 'constant', rate: reads, peak: reads, periodMs: 1000 }),
    startedMs,
    events: Number.POSITIVE_INFINITY,
    endMs:
      options.read !== undefined && options.forMs !== undefined ? startedMs + options.forMs : Number.POSITIVE_INFINITY,
    now,
    signal,
    inFlightMax: readers,
    chunkMax: 1,
    async work(_, [dueMs]) {
      // Nothing is stored yet that could be asked for.
      const asked = known[luck.below(Math.max(1, known.length))]
      if (asked === undefined) return void (await sleep(1))
      const weight = luck.unit() * total
      const kind = weight < mix[0] ? 0 : weight < mix[0] + mix[1] ? 1 : asked.subject === null ? 1 : 2
      const values = kind === 0 ? [asked.id] : kind === 1 ? [asked.type] : [asked.type, asked.subject]
      const own = clients.pop()!
      try {
        const { rows } = await own.query({ name: `simulate-${kind}`, text: texts[kind] as string, values })
        const tally = tallies[kind]!
        tally.queries++
        tally.rows += rows.length
        tally.ms.record(now() - (dueMs as number))
        if (kind === 0 && rows.length !== 1) notFound++
      } finally {
        clients.push(own)
      }
    },
  })
  loop.done.catch(() => {})
  return {
    loop,
    notFound: () => notFound,
    stats: (): ReadStats[] =>
      tallies.map(({ kind, queries, rows, ms }) => ({
        kind,
        queries,
        rows,
        msP50: quantile(ms, 0.5),
        msP99: quantile(ms, 0.99),
      })),
  }
}
