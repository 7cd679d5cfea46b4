/** COPY workers and readers, on a real PostgreSQL. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { FatalError } from '../../src/core/errors.ts'
import { simulatePostgresCommand } from '../../src/simulate/postgres-command.ts'
import { type PostgresFlags, readPostgresFlags } from '../../src/simulate/postgres-flags.ts'
import { type Stack, startStack } from '../../src/stack/stack.ts'
import { runCommand } from './run-command.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
let stack: Stack
let sql: pg.Client

before(async () => {
  const name = `test-simulate-postgres-${process.pid}`
  stack = await startStack({ root, name, servers: ['postgres'], temporary: true, quick: true, fresh: true })
  sql = new pg.Client({ connectionString: stack.postgres })
  await sql.connect()
})
after(async () => {
  await sql?.end()
  await stack?.remove()
})

const run = (flags: PostgresFlags, signal = new AbortController().signal) =>
  runCommand(simulatePostgresCommand, flags, { MILLRACE_POSTGRES: stack.postgres }, signal)

test('what was committed is there, in the partitions of its days, and readers find it', async () => {
  const { code, result, told } = await run({
    events: '3000',
    rate: '500',
    seed: '5',
    days: '3',
    reads: '100',
    mix: '1:1:1',
    workers: '3',
  })
  assert.equal(code, 0, told)
  assert.match(told, /Works in the schema millrace_sim, left behind/)
  assert.equal(result.stored, 3000)
  assert.equal(result.missing, 0)
  const queries = Object.fromEntries(
    result.reads.map((one: { kind: string; queries: number }) => [one.kind, one.queries]),
  )
  for (const kind of ['by key', 'by type and time', 'last of a subject']) assert.ok(queries[kind] > 3, told)
  const byKey = result.reads[0]
  assert.equal(byKey.rows, byKey.queries)
  await sql.query('SET search_path = millrace_sim')
  const { rows } = await sql.query(
    `SELECT tableoid::regclass::text AS part, count(*)::int AS rows, bool_and(id = millrace_sim.millrace_event_id(event_time, source, event_id)) AS keys
     FROM millrace_sim.cloud_events GROUP BY 1`,
  )
  assert.equal(rows.length, 3)
  assert.ok(rows.every(({ rows, keys }) => rows > 800 && keys))
})

test('the same seed stores the same events', async () => {
  await run({ schema: 'one', events: '300', rate: 'max', seed: '9', reads: '0' })
  await run({ schema: 'two', events: '300', rate: 'max', seed: '9', reads: '0', batch: '7' })
  const ids = async (schema: string) =>
    (await sql.query(`SELECT event_id, type, subject, tenant_id FROM ${schema}.cloud_events ORDER BY 1`)).rows
  assert.deepEqual(await ids('one'), await ids('two'))
  const { told } = await run({ schema: 'two', clean: true })
  assert.match(told, /The schema two is dropped/)
  const { rows } = await sql.query(`SELECT nspname FROM pg_namespace WHERE nspname IN ('one', 'two')`)
  assert.deepEqual(rows, [{ nspname: 'one' }])
})

test('a schema that somebody else has made is neither written to nor dropped; a table is read by its name', async () => {
  await sql.query('CREATE SCHEMA theirs')
  for (const flags of [
    { schema: 'theirs', events: '1' },
    { schema: 'public', clean: true },
  ]) {
    await assert.rejects(
      run(flags),
      (error: unknown) =>
        error instanceof FatalError && error.code === 'USAGE' && /has not made it/.test(error.message),
    )
  }
  const settings = { read: 'millrace_sim.cloud_events', for: '1s', reads: '100', mix: '1:0:0' }
  const { code, result, told } = await run(settings)
  assert.equal(code, 0)
  assert.match(told, /Reads millrace_sim.cloud_events, and stores nothing/)
  assert.ok(result.reads[0].queries > 10 && result.stored === 0, told)
  await assert.rejects(run({ ...settings, read: 'nowhere.at_all' }), /no table nowhere.at_all/)
})

test('a signal ends it, and everything committed is counted', async () => {
  const stop = new AbortController()
  const running = run({ schema: 'stopped', rate: '1000', for: '1m', clean: true }, stop.signal)
  setTimeout(() => stop.abort(), 2500)
  const { code, result } = await running
  assert.equal(code, 0)
  assert.equal(result.missing, 0)
  assert.ok(result.stored > 100, `${result.stored}`)
})

test('flags: what is wrong is named', () => {
  for (const [flags, says] of [
    [{ schema: 'A;B' }, /--schema/],
    [{ mix: '1:2' }, /--mix/],
    [{ mix: '0:0:0' }, /--mix/],
    [{ reads: 'max' }, /no schedule/],
    [{ read: 'a.b', reads: '0' }, /does nothing/],
    [{ days: '0' }, /--days/],
  ] as const) {
    assert.throws(
      () => readPostgresFlags(flags, 0),
      (error: unknown) => error instanceof FatalError && error.code === 'USAGE' && says.test(error.message),
    )
  }
})
