import assert from 'node:assert/strict'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { dumpSchema } from '../../src/schema/dump.ts'
import { migrate, migrationsDir, readMigrations, requireSchema, schemaState } from '../../src/schema/migrate.ts'
import { noSignal, useServer } from './database.ts'

const server = useServer()
const names = (await readMigrations()).map(({ name }) => name)

/** A copy of the migrations that a test may change. */
async function copyOfMigrations(t: TestContext, files: Record<string, string> = {}): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-migrations-'))
  t.after(() => rm(dir, { recursive: true }))
  await cp(migrationsDir, dir, { recursive: true })
  for (const [name, sql] of Object.entries(files)) await writeFile(join(dir, name), sql)
  return dir
}

test('twenty processes install a fresh database at once, and each migration is applied once', async () => {
  const database = await server.database({ migrated: false })
  const sessions = await Promise.all(Array.from({ length: 20 }, () => database.connect()))
  const applied = await Promise.all(sessions.map((session) => migrate({ session, signal: noSignal })))
  assert.deepEqual(applied.flat().sort(), names)
  const state = await schemaState(sessions[0]!)
  const last = Number(names.at(-1)?.slice(0, 4))
  assert.deepEqual(state, { current: last, known: last, missing: [], newerBreaking: [], edited: [] })
  requireSchema(state)
  assert.deepEqual(await migrate({ session: sessions[0]!, signal: noSignal }), [])
})

test('a database never migrated is told from one that lacks the last migration', async (t) => {
  const session = await (await server.database({ migrated: false })).connect()
  const fresh = await schemaState(session)
  assert.deepEqual([fresh.current, fresh.missing], [0, names])
  assert.throws(() => requireSchema(fresh), { code: 'SCHEMA_MISSING', message: /no schema yet/ })

  await migrate({ session, signal: noSignal })
  const dir = await copyOfMigrations(t, { '9000-more.sql': 'create table more (n integer)' })
  const behind = await schemaState(session, dir)
  assert.deepEqual(behind.missing, ['9000-more.sql'])
  assert.throws(() => requireSchema(behind), { code: 'SCHEMA_MISSING', message: /9000-more\.sql/ })
  assert.deepEqual(await migrate({ session, signal: noSignal, dir }), ['9000-more.sql'])
})

test('an old program refuses a newer breaking schema and tolerates one that is not', async (t) => {
  const session = await (await server.database()).connect()
  const newer = await copyOfMigrations(t, { '9000-kind.sql': 'create table kind (n integer)' })
  await migrate({ session, signal: noSignal, dir: newer })
  requireSchema(await schemaState(session))
  assert.deepEqual(await migrate({ session, signal: noSignal }), [])

  await writeFile(join(newer, '9001-harsh.sql'), '--! breaking\ndrop table kind')
  await migrate({ session, signal: noSignal, dir: newer })
  const state = await schemaState(session)
  assert.deepEqual(state.newerBreaking, ['9001-harsh.sql'])
  const refusal = { code: 'SCHEMA_NEWER', message: /9001-harsh\.sql/ }
  assert.throws(() => requireSchema(state), refusal)
  await assert.rejects(migrate({ session, signal: noSignal }), refusal)
})

test('a file edited after it was applied is named', async (t) => {
  const session = await (await server.database()).connect()
  const text = await readFile(join(migrationsDir, names[0]!), 'utf8')
  const sameButForLineEnds = await copyOfMigrations(t, { [names[0]!]: text.replaceAll('\n', '\r\n') })
  assert.deepEqual((await schemaState(session, sameButForLineEnds)).edited, [])

  const dir = await copyOfMigrations(t, { [names[0]!]: `${text}\n-- one more word\n` })
  assert.deepEqual((await schemaState(session, dir)).edited, [names[0]])
  await assert.rejects(migrate({ session, signal: noSignal, dir }), { message: new RegExp(names[0]!) })
})

test('a migration that fails leaves nothing of itself, and what came before stays', async (t) => {
  const session = await (await server.database({ migrated: false })).connect()
  const dir = await copyOfMigrations(t, { '9000-half.sql': 'create table half (n integer); select 1 / 0' })
  await assert.rejects(migrate({ session, signal: noSignal, dir }), { code: '22012' })
  const state = await schemaState(session, dir)
  assert.deepEqual(state.missing, ['9000-half.sql'])
  const { rows } = await session.query(`select to_regclass('half') as half, to_regclass('ledger') as ledger`)
  assert.deepEqual(rows, [{ half: null, ledger: 'ledger' }])
})

test('a migration gives way to who holds a table, and comes back', async (t) => {
  const database = await server.database()
  const [session, holder] = [await database.connect(), await database.connect()]
  const dir = await copyOfMigrations(t, { '9000-alter.sql': 'alter table rejects add column note text' })
  await holder.query('begin; lock table rejects in access share mode')
  const patience = { session, signal: noSignal, dir, lockTimeoutMs: 20 }
  await assert.rejects(migrate({ ...patience, attempts: 2 }), { code: 'POSTGRES_BUSY', message: /9000-alter/ })

  const abort = new AbortController()
  const aborted = migrate({ ...patience, signal: abort.signal })
  abort.abort()
  await assert.rejects(aborted, { name: 'AbortError' })

  const patient = migrate(patience)
  await holder.query('commit')
  assert.deepEqual(await patient, ['9000-alter.sql'])
})

test('a search_path without a schema and a user without rights are told apart', async () => {
  const database = await server.database({ migrated: false })
  const session = await database.connect()
  await session.query('set search_path = nowhere')
  await assert.rejects(migrate({ session, signal: noSignal }), { code: 'SCHEMA_MISSING', message: /nowhere/ })

  const role = `weak_${Date.now()}`
  await session.query(`reset search_path; create role ${role}; set role ${role}`)
  await assert.rejects(migrate({ session, signal: noSignal }), { code: 'POSTGRES_DENIED' })
  await session.query(`reset role; drop role ${role}`)
})

test('schema.sql is the schema that the migrations make, and makes the same again', async () => {
  const database = await server.database()
  const session = await database.connect()
  const dumped = await dumpSchema(session)
  assert.equal(await readFile(join(migrationsDir, 'schema.sql'), 'utf8'), dumped, 'run `npm run schema`')

  await session.query('create schema "Another One"; set search_path = "Another One"; set timezone = "Asia/Kathmandu"')
  await session.query(dumped)
  assert.equal(await dumpSchema(session), dumped)
})

test('the dump refuses what it does not know', async () => {
  const session = await (await server.database()).connect()
  await session.query('create view odd as select 1 as one')
  await assert.rejects(dumpSchema(session), { code: 'BUG', message: /odd/ })
})
