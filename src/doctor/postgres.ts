/** The doctor on PostgreSQL: version, durability, schema, privileges, room for our connections, tomorrow's partition. */
import type { Client } from 'pg'
import { dayOf, dayText } from '../core/day.ts'
import { FatalError } from '../core/errors.ts'
import type { Settings } from '../core/settings.ts'
import { connectPostgres, postgresFailure } from '../process/connect-postgres.ts'
import { lackingPostgres, someOf } from '../process/rights-postgres.ts'
import { schemaState } from '../schema/migrate.ts'
import { partitionDays } from '../schema/partitions.ts'
import { type Chart, type ClockReading, readClock } from './finding.ts'

export interface LedgerRow {
  readonly partition: number
  readonly nextOffset: number
}

export interface PostgresFacts {
  readonly clock: ClockReading | null
  /** Null when there is no ledger to read. */
  readonly ledger: readonly LedgerRow[] | null
}

export interface PostgresSubject {
  readonly consumer: string
  readonly topic: string
  readonly table: string
}

const versionMin = 180_000
const gib = 1024 ** 3

export async function checkPostgres(
  chart: Chart,
  settings: Settings,
  subject: PostgresSubject,
  now: () => number,
  signal: AbortSignal,
): Promise<PostgresFacts> {
  let client: Client | null = null
  const stop = () => void client?.end().catch(() => {})
  signal.addEventListener('abort', stop, { once: true })
  let clock: ClockReading | null = null
  try {
    client = await connectPostgres(settings, 'millrace-doctor')
    const { version, ours } = await checkServer(chart, client, settings)
    clock = await readClock(now, async () =>
      Number((await client!.query('select extract(epoch from clock_timestamp()) * 1000 as ms')).rows[0].ms),
    )
    if (!version) return { clock, ledger: null }
    await checkRoom(chart, client, settings, ours)
    const lacking = await lackingPostgres(client, subject.table)
    if (lacking.length > 0) {
      const remedy = 'Grant what migrations/roles.sql lists, as the owner of the schema.'
      chart.fail(`POSTGRES_DENIED: lacking ${someOf(lacking)}`, remedy)
      return { clock, ledger: null }
    }
    if (!(await checkSchema(chart, client, subject))) return { clock, ledger: null }
    chart.ok('every privilege is there')
    await checkPartitions(chart, client, subject.table, now())
    const { rows } = await client.query(
      'select partition, next_offset::text as next from ledger where consumer = $1 and topic = $2',
      [subject.consumer, subject.topic],
    )
    return { clock, ledger: rows.map(({ partition, next }) => ({ partition, nextOffset: Number(next) })) }
  } catch (error) {
    const failure = error instanceof FatalError ? error : postgresFailure(error, settings)
    chart.fail(`${failure.code}: ${failure.message}`, failure.remedy)
    return { clock, ledger: null }
  } finally {
    signal.removeEventListener('abort', stop)
    await client?.end().catch(() => {})
  }
}

async function checkServer(
  chart: Chart,
  client: Client,
  settings: Settings,
): Promise<{ version: boolean; ours: number }> {
  const { rows } =
    await client.query(`select current_setting('server_version_num')::int as version, current_setting('server_version') as name,
    current_user as who, current_database() as database, pg_is_in_recovery() as replica, current_setting('server_encoding') as encoding,
    current_setting('default_transaction_read_only') as readonly, current_setting('synchronous_commit') as synchronous,
    current_setting('fsync') as fsync, current_setting('full_page_writes') as pages,
    (select ssl from pg_stat_ssl where pid = pg_backend_pid()) as ssl,
    (select setting::bigint * 1024 * 1024 from pg_settings where name = 'max_wal_size') as wal,
    (select setting::int from pg_settings where name = 'statement_timeout') as statement`)
  const found = rows[0]
  const tls = found.ssl ? 'over TLS' : 'in plain text'
  const version = chart.check(
    found.version >= versionMin,
    `PostgreSQL ${found.name}, ${found.who} on ${found.database}, ${tls}`,
    `POSTGRES_VERSION: PostgreSQL ${found.name}`,
    'Use PostgreSQL 18 or newer.',
  )
  if (found.replica || found.readonly === 'on')
    chart.fail(
      'this server is read-only (a standby, or default_transaction_read_only)',
      'Point MILLRACE_POSTGRES at the primary.',
    )
  if (found.encoding !== 'UTF8')
    chart.fail(
      `the database stores ${found.encoding}, not UTF8`,
      'Create it with ENCODING UTF8: other encodings cannot hold every event.',
    )
  chart.check(
    found.fsync === 'on' && found.pages === 'on',
    'fsync and full_page_writes are on',
    `fsync is ${found.fsync}, full_page_writes is ${found.pages}`,
    'Turn both on: without them a power cut corrupts what was acknowledged.',
  )
  chart.check(
    found.synchronous !== 'off',
    `synchronous_commit is ${found.synchronous}`,
    'synchronous_commit is off',
    'Turn it on: after a crash rows would be missing that streams and readers have already seen, until they are stored again.',
    'warn',
  )
  if (found.statement > 0 && found.statement < settings.transactionTimeoutMs) {
    chart.warn(
      `statement_timeout is ${found.statement} ms for this user, below transactionTimeoutMs`,
      'Set it to 0 for this user: a large COPY would be cut off again and again.',
    )
  }
  if (Number(found.wal) < 2 * gib)
    chart.warn(
      `max_wal_size is ${(Number(found.wal) / gib).toFixed(1)} GiB: frequent checkpoints at full load`,
      'Set it to 8GB where the disk allows.',
    )
  // The lanes, the marks, and for moments the keeper's two.
  return { version, ours: settings.lanes + 3 }
}

async function checkRoom(chart: Chart, client: Client, settings: Settings, ours: number): Promise<void> {
  const { rows } = await client.query(`select current_setting('max_connections')::int as max,
    current_setting('superuser_reserved_connections')::int + current_setting('reserved_connections')::int as reserved,
    (select count(*)::int from pg_stat_activity where backend_type = 'client backend') as used,
    (select rolconnlimit from pg_roles where rolname = current_user) as mine`)
  const { max, reserved, used, mine } = rows[0]
  const free = max - reserved - used + 1
  const room = `${free} of ${max} connections are free, a replica takes ${ours}`
  chart.check(
    free >= 2 * ours,
    room,
    room,
    'Raise max_connections, or lower MILLRACE_LANES: at least two replicas should fit.',
    free >= ours ? 'warn' : 'fail',
  )
  if (mine >= 0 && mine < 2 * ours)
    chart.warn(
      `this user may open ${mine} connections only; a replica takes ${ours}`,
      `ALTER ROLE ... CONNECTION LIMIT ${10 * ours}.`,
    )
  const { rows: timeouts } = await client.query(
    "select setting::int as ms from pg_settings where name = 'transaction_timeout'",
  )
  const ms = timeouts[0]?.ms ?? 0
  if (ms > 0 && ms < settings.transactionTimeoutMs)
    chart.ok(`transaction_timeout is ${ms} ms here; our sessions set their own, ${settings.transactionTimeoutMs} ms`)
}

async function checkSchema(chart: Chart, client: Client, { table }: PostgresSubject): Promise<boolean> {
  const state = await schemaState(client)
  if (state.newerBreaking.length > 0 || state.edited.length > 0) {
    chart.fail(
      `SCHEMA_NEWER: ${[...state.newerBreaking, ...state.edited].join(', ')} is not what this version knows`,
      'Run the version that migrated the database, or a later one.',
    )
    return false
  }
  const what = state.current === 0 ? 'the database has no schema yet' : `not applied yet: ${state.missing.join(', ')}`
  const whole = chart.check(
    state.missing.length === 0,
    `schema ${state.current} of ${state.known}`,
    `SCHEMA_MISSING: ${what}`,
    'Run `millrace migrate`.',
  )
  const { rows } = await client.query('select to_regclass(quote_ident($1)) is null as absent', [table])
  if (whole && rows[0].absent) {
    const remedy = 'Correct `table` in the consumer file, or create a table shaped like cloud_events.'
    chart.fail(`SCHEMA_MISSING: there is no table ${table} in the search_path`, remedy)
  }
  return whole && !rows[0].absent
}

async function checkPartitions(chart: Chart, client: Client, table: string, nowMs: number): Promise<void> {
  const present = new Set(await partitionDays(client, table))
  const today = dayOf(nowMs)
  const absent = [today, today + 1].filter((day) => !present.has(day)).map(dayText)
  chart.check(
    absent.length === 0,
    `${present.size} daily partitions, today's and tomorrow's among them`,
    `there is no partition of ${table} for ${absent.join(' and ')} yet`,
    'A starting replica makes it; `millrace migrate` does so now.',
    'warn',
  )
}
