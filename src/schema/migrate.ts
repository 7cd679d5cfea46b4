/**
 * Brings a database to the schema of migrations/, any number of processes at once, and says how the two stand.
 *
 * A migration is a file `NNNN-name.sql`, applied once, in one transaction together with its row in millrace_migrations.
 * Its first line may be `--! breaking`: a program that does not know the migration must not run on its schema. Without
 * that line an older program may. A file is never edited once applied; the checksum tells.
 */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { FatalError } from '../core/errors.ts'
import { type Session, sqlState, transaction } from './sql.ts'

export const migrationsDir = join(import.meta.dirname, '../../migrations')

export interface Migration {
  id: number
  name: string
  breaking: boolean
  checksum: string
  sql: string
}

export interface SchemaState {
  /** Highest migration applied; 0 on a database never migrated. */
  current: number
  /** Highest migration this program has. */
  known: number
  /** Names of this program's migrations that are not applied yet, in order. */
  missing: string[]
  /** Names of applied migrations that this program does not know and must not run on. */
  newerBreaking: string[]
  /** Names of migrations whose file differs from what was applied. */
  edited: string[]
}

export async function readMigrations(dir = migrationsDir): Promise<Migration[]> {
  const names = (await readdir(dir)).filter((name) => /^\d{4}-.+\.sql$/.test(name)).sort()
  const migrations = await Promise.all(
    names.map(async (name) => {
      const sql = (await readFile(join(dir, name), 'utf8')).replaceAll('\r\n', '\n')
      const checksum = createHash('sha256').update(sql).digest('hex')
      return { id: Number(name.slice(0, 4)), name, breaking: /^--! breaking\b/.test(sql), checksum, sql }
    }),
  )
  const twice = migrations.find((migration, index) => migration.id === migrations[index - 1]?.id)
  if (twice) throw new FatalError('BUG', `Two migrations are numbered ${twice.id}.`, `Renumber ${twice.name}.`)
  return migrations
}

/** How the database stands to this program's migrations. Takes no lock and changes nothing. */
export async function schemaState(session: Session, dir = migrationsDir): Promise<SchemaState> {
  return compare(await readMigrations(dir), await appliedRows(session))
}

/** Throws unless this program may run on the database: every migration applied, none that it must not run on. */
export function requireSchema(state: SchemaState): void {
  refuseNewer(state)
  if (state.missing.length > 0) {
    const what =
      state.current === 0 ? 'The database has no schema yet.' : `Not applied yet: ${state.missing.join(', ')}.`
    throw new FatalError('SCHEMA_MISSING', what, 'Run `millrace migrate` against it.')
  }
}

export interface MigrateOptions {
  session: Session
  signal: AbortSignal
  dir?: string
  /** How long a migration may wait for a table that others use, before it lets them go first and tries again. */
  lockTimeoutMs?: number
  attempts?: number
}

/** Applies what is missing and returns the names of what this very call applied. */
export async function migrate(options: MigrateOptions): Promise<string[]> {
  const { session, dir = migrationsDir } = options
  const migrations = await readMigrations(dir)
  await requireSchemaName(session)
  const state = compare(migrations, await appliedRows(session))
  refuseNewer(state)
  const applied: string[] = []
  for (const migration of migrations.filter(({ name }) => state.missing.includes(name))) {
    if (await applyPatiently(migration, options)) applied.push(migration.name)
  }
  return applied
}

async function applyPatiently(migration: Migration, options: MigrateOptions): Promise<boolean> {
  const { session, signal, lockTimeoutMs = 5000, attempts = 6 } = options
  for (let attempt = 1; ; attempt++) {
    signal.throwIfAborted()
    try {
      return await transaction(session, () => apply(session, migration, lockTimeoutMs))
    } catch (error) {
      const busy = sqlState(error) === '55P03' || sqlState(error) === '40P01'
      if (!busy) throw describe(error, migration)
      if (attempt === attempts) {
        const what = `Migration ${migration.name} waits for a lock that others hold (${(error as Error).message}).`
        throw new FatalError(
          'POSTGRES_BUSY',
          what,
          'End the long transactions on these tables and migrate again.',
          error,
        )
      }
      await sleep(250 * attempt, undefined, { signal })
    }
  }
}

/** In a transaction. Its row goes in first: of two migrators past the advisory lock, one would collide there and yield. */
async function apply(session: Session, migration: Migration, lockTimeoutMs: number): Promise<boolean> {
  await session.query("set local lock_timeout = '60s'")
  await session.query("select pg_advisory_xact_lock(hashtext('millrace_migrations'), hashtext(current_schema()))")
  await session.query(`create table if not exists millrace_migrations (
    id integer primary key,
    name text not null,
    breaking boolean not null,
    checksum text not null,
    applied_at timestamptz not null default now()
  )`)
  const inserted = await session.query(
    `insert into millrace_migrations (id, name, breaking, checksum) values ($1, $2, $3, $4)
     on conflict do nothing returning id`,
    [migration.id, migration.name, migration.breaking, migration.checksum],
  )
  if (inserted.rows.length === 0) return false
  await session.query(`set local lock_timeout = ${Math.trunc(lockTimeoutMs)}`)
  await session.query(migration.sql)
  return true
}

interface AppliedRow {
  id: number
  name: string
  breaking: boolean
  checksum: string
}

async function appliedRows(session: Session): Promise<AppliedRow[]> {
  const found = await session.query("select to_regclass('millrace_migrations') is not null as present")
  if (!found.rows[0].present) return []
  return (await session.query('select id, name, breaking, checksum from millrace_migrations order by id')).rows
}

function compare(migrations: Migration[], applied: AppliedRow[]): SchemaState {
  const byId = new Map(applied.map((row) => [row.id, row]))
  const known = migrations.at(-1)?.id ?? 0
  const ours = new Set(migrations.map((migration) => migration.id))
  return {
    current: applied.at(-1)?.id ?? 0,
    known,
    missing: migrations.filter((migration) => !byId.has(migration.id)).map((migration) => migration.name),
    newerBreaking: applied.filter((row) => row.breaking && !ours.has(row.id)).map((row) => row.name),
    edited: migrations
      .filter((migration) => (byId.get(migration.id)?.checksum ?? migration.checksum) !== migration.checksum)
      .map((migration) => migration.name),
  }
}

function refuseNewer(state: SchemaState): void {
  if (state.newerBreaking.length > 0) {
    throw new FatalError(
      'SCHEMA_NEWER',
      `The database has ${state.newerBreaking.join(', ')}, which this version does not know and must not run on.`,
      'Deploy the version that brought it, or a later one.',
    )
  }
  if (state.edited.length > 0) {
    throw new FatalError(
      'SCHEMA_NEWER',
      `Not as it was when it was applied to this database: ${state.edited.join(', ')}.`,
      'Restore the file, and put the change into a new migration.',
    )
  }
}

async function requireSchemaName(session: Session): Promise<void> {
  const { schema, path } = (
    await session.query(`select current_schema() as schema, current_setting('search_path') as path`)
  ).rows[0]
  if (schema !== null) return
  throw new FatalError('SCHEMA_MISSING', `No schema of the search_path (${path}) exists.`, 'Create it, then migrate.')
}

function describe(error: unknown, migration: Migration): unknown {
  const state = sqlState(error)
  if (state !== '42501') return error
  const what = `The user may not apply migration ${migration.name}: ${(error as Error).message}.`
  return new FatalError('POSTGRES_DENIED', what, 'Migrate as the owner of the schema: see migrations/roles.sql.', error)
}
