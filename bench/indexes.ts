/**
 * What each index of cloud_events costs COPY, alone on one connection: `node bench/indexes.ts --postgres <url>`.
 *
 * The rows are made once in the database, written to a file beside its data, and copied from there, so that no client is
 * measured; the user must be a superuser and the server one that may be loaded. Variants take turns within each round,
 * every other round backwards, and the median counts. Prints a table in Markdown.
 */
import { parseArgs } from 'node:util'
import pg from 'pg'
import { median } from '../src/core/median.ts'
import { migrate } from '../src/schema/migrate.ts'

const { values } = parseArgs({
  options: {
    postgres: { type: 'string' },
    rows: { type: 'string', default: '200000' },
    rounds: { type: 'string', default: '3' },
  },
})
const rowCount = Number(values.rows)
const rounds = Number(values.rounds)
const schema = 'millrace_bench_indexes'

const checks = [
  `alter table t add check (event_time >= '2026-11-21 00:00Z' and event_time < '2026-11-22 00:00Z')`,
  `alter table t add check (id >= '01a1fb67-1800-0000-0000-000000000000' and id < '01a2008d-7400-0000-0000-000000000000')`,
]
const key = [...checks, 'alter table t add primary key (id)']
const light = [...key, 'create index on t (type, event_time)']
const light2 = (index: string) => [...light, `create index on t ${index}`]

const variants: Record<string, string[]> = {
  'no index': [],
  'bounds of the day checked': checks,
  'primary key (id)': key,
  'key, (type, event_time): the hot day': light,
  'key, (event_time)': [...key, 'create index on t (event_time)'],
  'key, brin (event_time)': [...key, 'create index on t using brin (event_time)'],
  'hot day, brin (event_time)': light2('using brin (event_time)'),
  'hot day, (tenant_id, event_time)': light2('(tenant_id, event_time)'),
  'hot day, (source, event_id)': light2('(source, event_id)'),
  'hot day, (kafka_partition, kafka_offset)': light2('(kafka_partition, kafka_offset)'),
  'hot day, gin (data jsonb_path_ops)': light2('using gin (data jsonb_path_ops)'),
}

/** Rows as the simulator's: 20 types, 50 tenants, 100 partitions, up to two seconds out of order, some 300 bytes of data. */
const makeRows = `
  insert into rows
  select millrace_event_id(t, source, n::text), t, source, n::text, 'com.example.bss.' || substr(md5((n % 20)::text), 1, 12) || '.v1',
    'subscription/' || (n * 7919 % 100000), 'tenant-' || (n * 31 % 50),
    jsonb_build_object('subscriptionId', md5((n * 7919 % 100000)::text), 'amount', n % 9973, 'currency', 'EUR', 'zone', n % 7,
      'session', jsonb_build_object('id', md5(n::text), 'seconds', n % 3600, 'cell', md5((n % 500)::text), 'roaming', n % 11 = 0),
      'plan', 'plan-' || (n % 40), 'note', md5((n + 1)::text)),
    null, 'cloud-events', (n * 31 % 100)::integer, n / 100, t, now()
  from generate_series(1, $1::bigint) n,
    lateral (select '/bss/node-' || (n % 12) as source,
      timestamptz '2026-11-21 08:00Z' + (n * 0.15 + n * 7907 % 2000) * interval '1 ms' as t) made`

const client = new pg.Client({ connectionString: values.postgres ?? '' })
await client.connect()
try {
  await client.query(`drop schema if exists ${schema} cascade; create schema ${schema}; set search_path = ${schema}`)
  await migrate({ session: client, signal: new AbortController().signal })
  await client.query('create table rows (like cloud_events)')
  await client.query(makeRows, [rowCount])
  const { rows: places } = await client.query(`select current_setting('data_directory') || '/${schema}.copy' as file`)
  const file = client.escapeLiteral(places[0].file)
  await client.query(`copy rows to ${file} (format binary)`)
  await run(file)
} finally {
  await client.query(`drop schema if exists ${schema} cascade`)
  await client.end()
}

interface Result {
  ms: number
  walBytes: number
  indexBytes: number
}

async function run(file: string): Promise<void> {
  const results = new Map<string, Result[]>(Object.keys(variants).map((name) => [name, []]))
  for (let round = -1; round < rounds; round++) {
    const names = Object.keys(variants)
    for (const name of round % 2 === 0 ? names : names.reverse()) {
      const result = await copy(file, variants[name] ?? [])
      if (round >= 0) results.get(name)?.push(result)
    }
  }
  const bare = median(results.get('no index')?.map(({ ms }) => ms) ?? [])
  process.stdout.write(
    '| indexes | rows/s | us a row | of no index | WAL bytes a row | index bytes a row |\n|---|---|---|---|---|---|\n',
  )
  for (const [name, list] of results) {
    const ms = median(list.map((result) => result.ms))
    const wal = median(list.map((result) => result.walBytes)) / rowCount
    const index = median(list.map((result) => result.indexBytes)) / rowCount
    const rate = `${Math.round(rowCount / ms)}k`
    const cells = [
      name,
      rate,
      ((ms * 1000) / rowCount).toFixed(2),
      (bare / ms).toFixed(2),
      wal.toFixed(0),
      index.toFixed(0),
    ]
    process.stdout.write(`| ${cells.join(' | ')} |\n`)
  }
}

async function copy(file: string, statements: string[]): Promise<Result> {
  await client.query('drop table if exists t; create table t (like cloud_events)')
  for (const statement of statements) await client.query(statement)
  await client.query('checkpoint')
  const before = await client.query('select pg_current_wal_insert_lsn() as lsn')
  const start = performance.now()
  await client.query(`copy t from ${file} (format binary)`)
  const ms = performance.now() - start
  const after = await client.query(
    `select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1)::float8 as wal, pg_indexes_size('t')::float8 as size`,
    [before.rows[0].lsn],
  )
  return { ms, walBytes: after.rows[0].wal, indexBytes: after.rows[0].size }
}
