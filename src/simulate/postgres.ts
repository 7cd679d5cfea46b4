/**
 * PostgreSQL under load: workers COPY batches of whatever is due straight into the partitions of the days, one transaction each, while readers ask what
 * people and services ask: one event by its key, a type's latest, the last of a subject. Latencies count from when an event, or a query, was due.
 *
 * The tables are those of this version's schema, in a schema of the simulator's own that it knows by its comment: it writes nowhere else, and drops
 * nothing else. An existing table (`read`) is only read.
 */
import pg from 'pg'
import { dayMs, dayOf } from '../core/day.ts'
import { FatalError } from '../core/errors.ts'
import { migrate } from '../schema/migrate.ts'
import { ensurePartitions } from '../schema/partitions.ts'
import type { PostgresPlan } from './postgres-flags.ts'
import { type Known, learn, type ReadStats, startReading } from './postgres-reads.ts'
import { startStoring } from './postgres-store.ts'
import { quantile } from './stats.ts'

export interface SimulatePostgresOptions extends PostgresPlan {
  readonly connect: (name: string) => Promise<pg.Client>
  readonly signal: AbortSignal
  readonly now: () => number
  readonly onStats?: (stats: PostgresStats) => void
}

/** A connection that looks where the tables are. */
export type Connect = (name: string) => Promise<pg.Client>

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

const statsMs = 1000
const schemaMark = 'Made by `millrace simulate postgres`, which may drop it.'

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
