/**
 * What millrace_advance costs a batch: `node bench/ledger.ts --postgres <url>`.
 *
 * Calls it as the persist room does, one message a transaction, for 1, 16 and 100 of 100 partitions; then for 100 while
 * another session holds a snapshot open and so keeps every old version of every row alive. Commits do not wait for the
 * disk here: that is the batch's cost, not the ledger's. Prints milliseconds over those of an empty transaction.
 */
import { parseArgs } from 'node:util'
import pg from 'pg'
import { median } from '../src/core/median.ts'
import { migrate } from '../src/schema/migrate.ts'

const { values } = parseArgs({ options: { postgres: { type: 'string' }, rounds: { type: 'string', default: '3' } } })
const rounds = Number(values.rounds)
const schema = 'millrace_bench_ledger'
const all = Array.from({ length: 100 }, (_, partition) => partition)

const client = await connect()
const holder = await connect()
try {
  await client.query(`drop schema if exists ${schema} cascade; create schema ${schema}`)
  for (const session of [client, holder]) await session.query(`set search_path = ${schema}`)
  await migrate({ session: client, signal: new AbortController().signal })
  await client.query('set synchronous_commit = off; set plan_cache_mode = force_generic_plan')
  for (const fillfactor of [20, 50, 90]) await measureSizes(fillfactor)
  await measureHeld()
} finally {
  await holder.end()
  await client.query(`drop schema if exists ${schema} cascade`)
  await client.end()
}

async function connect(): Promise<pg.Client> {
  const connected = new pg.Client({ connectionString: values.postgres ?? '' })
  await connected.connect()
  return connected
}

async function fresh(fillfactor: number): Promise<number[]> {
  await client.query(`alter table ledger set (fillfactor = ${fillfactor}); truncate ledger`)
  await client.query(
    `insert into ledger (consumer, topic, partition, start_offset, next_offset) select 'c', 't', n, 0, 0 from generate_series(0, 99) n`,
  )
  await client.query('vacuum analyze ledger')
  return all.map(() => 0)
}

async function measureSizes(fillfactor: number): Promise<void> {
  const next = await fresh(fillfactor)
  const cells = [`fillfactor ${fillfactor}`]
  for (const size of [1, 16, 100]) {
    const times: number[] = []
    for (let call = 0; call < 200 * rounds; call++) {
      // Partitions come and go in no order, as batches of whatever was there.
      const partitions = all.map((_, at) => (at * 37 + call * 11) % 100).slice(0, size)
      times.push((await timed(advance(next, partitions))) - (await timed('begin; select 1; commit')))
    }
    cells.push(`${size}: ${median(times).toFixed(2)} ms`)
  }
  process.stdout.write(`${cells.join(', ')}\n`)
}

async function measureHeld(): Promise<void> {
  const next = await fresh(50)
  await holder.query('begin isolation level repeatable read; select from ledger')
  for (let calls = 300; calls <= 1500; calls += 300) {
    const times: number[] = []
    for (let call = 0; call < 300; call++) times.push(await timed(advance(next, all)))
    process.stdout.write(`snapshot held for ${calls} calls of 100: ${median(times).toFixed(2)} ms\n`)
  }
  await holder.query('commit')
  await client.query('vacuum ledger')
  const after: number[] = []
  for (let call = 0; call < 100; call++) after.push(await timed(advance(next, all)))
  process.stdout.write(`snapshot gone, table vacuumed: ${median(after).toFixed(2)} ms\n`)
}

function advance(next: number[], partitions: number[]): string {
  const list = (value: (partition: number) => number | string) => `'{${partitions.map(value).join(',')}}'`
  const expected = list((partition) => next[partition]!)
  for (const partition of partitions) next[partition]! += 60
  const [moved, none] = [list((partition) => next[partition]!), list(() => 0)]
  const streams = list(
    (partition) => `"{\\"events:cloud\\":${next[partition]},\\"events:payments\\":${next[partition]}}"`,
  )
  return `begin; call millrace_advance('c', 't', ${list((partition) => partition)}, ${expected}, ${moved},
    ${list(() => 60)}, ${none}, ${none}, ${none}, ${expected}, ${streams}); commit`
}

async function timed(query: string): Promise<number> {
  const start = performance.now()
  await client.query(query)
  return performance.now() - start
}
