/** PostgreSQL 18 with the durability that the fleet is promised: its first data folder, its settings, and when it is ready. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { chown, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'pg'
import { FatalError } from '../core/errors.ts'
import { diskFull } from './install.ts'
import type { PostgresParts } from './install-postgres.ts'
import { lastLines, run } from './run.ts'
import type { Launch } from './server.ts'
import { findRunner, type Runner, type Way, ways } from './unprivileged.ts'

/** Known to everybody, and reachable from this machine only. */
const password = 'millrace'

const settings: Record<string, string> = {
  listen_addresses: '127.0.0.1',
  // Over TCP only: a socket's path may have 107 bytes, and a project's folder alone can be longer.
  unix_socket_directories: '',
  max_connections: '200',
  fsync: 'on',
  synchronous_commit: 'on',
  io_method: 'worker',
  shared_buffers: '512MB',
  // Checkpoints far apart: each one makes the next change of every page a full page in the WAL.
  max_wal_size: '8GB',
  min_wal_size: '1GB',
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_min_messages: 'warning',
  log_checkpoints: 'off',
  // Two cores: no parallel plans, no just-in-time compiling for queries of a few milliseconds.
  max_parallel_workers_per_gather: '0',
  jit: 'off',
}

const segmentBytes = 16 * 1024 ** 2
/** `min_wal_size` above. */
const segmentsMade = 64

/** For tests, many of which run side by side. Durability stays as it is. */
const quickSettings: Record<string, string> = {
  shared_buffers: '64MB',
  max_wal_size: '1GB',
  min_wal_size: '80MB',
  io_workers: '1',
}

export function postgresUrl(port: number): string {
  return `postgres://millrace:${password}@127.0.0.1:${port}/millrace`
}

export function postgresMarker(folder: string): string[] {
  return ['-D', join(folder, 'postgres')]
}

export function launchPostgres(
  parts: PostgresParts,
  folder: string,
  port: number,
  overrides: Record<string, string>,
  quick: boolean,
  allowed: readonly Way[] = ways,
): Launch {
  const data = join(folder, 'postgres')
  let runner: Runner | undefined
  return {
    words: () => [...(runner?.prefix ?? []), join(runner?.native ?? parts.native, 'bin', 'postgres'), '-D', data],
    uid: () => runner?.uid,
    // Fast shutdown; SIGTERM would wait for every client to leave.
    stopSignal: 'SIGINT',
    // Immediate shutdown: no orphaned backends, and recovery at the next start.
    abandonSignal: 'QUIT',
    marker: postgresMarker(folder),
    async prepare(signal) {
      // A folder without this file is what an interrupted initdb left.
      if (!existsSync(join(data, 'millrace.conf'))) rmSync(data, { recursive: true, force: true })
      mkdirSync(data, { recursive: true, mode: 0o700 })
      runner = await findRunner(parts.native, data, allowed)
      if (!existsSync(join(data, 'millrace.conf'))) await initialise(runner, data, quick, signal)
      removeForeignPid(data)
      const all = { port: String(port), ...settings, ...(quick ? quickSettings : {}), ...overrides }
      const lines = Object.entries(all).map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`)
      writeFileSync(join(data, 'millrace.conf'), lines.join(''), { mode: 0o644 })
    },
    ready: (signal) => postgresReady(port, signal),
  }
}

async function initialise(runner: Runner, data: string, quick: boolean, signal?: AbortSignal): Promise<void> {
  const start = async (program: string, args: string[], input = '') => {
    const words = [...runner.prefix, join(runner.native, 'bin', program), ...args]
    const ran = await run(words[0]!, words.slice(1), { input, signal, uid: runner.uid?.uid, gid: runner.uid?.gid })
    signal?.throwIfAborted()
    if (ran.out.includes('No space left on device')) throw diskFull(data)
    if (ran.code !== 0) {
      throw new FatalError(
        'STACK_FAILED',
        `${program} failed: ${lastLines(ran.out, 1)}.`,
        `Look at ${data}, mend the cause and try again.`,
      )
    }
  }
  const passwordFile = `${data}.password`
  writeFileSync(passwordFile, `${password}\n`)
  const locale = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8']
  const access = ['-U', 'millrace', '-A', 'scram-sha-256', `--pwfile=${passwordFile}`]
  // Syncing 1,200 files can wait for the first checkpoint: nobody's data is in them yet.
  await start('initdb', ['-D', data, ...access, ...locale, '--no-sync', '--no-instructions'])
  rmSync(passwordFile)
  if (!quick) {
    await makeSegments(join(data, 'pg_wal'), runner, signal).catch((error: NodeJS.ErrnoException) => {
      signal?.throwIfAborted()
      throw error.code === 'ENOSPC' ? diskFull(data) : error
    })
  }
  await start('postgres', ['--single', '-D', data, 'postgres'], 'CREATE DATABASE millrace\n')
  writeFileSync(
    join(data, 'postgresql.conf'),
    "# The stack writes millrace.conf at every start.\ninclude 'millrace.conf'\n",
  )
}

/**
 * PostgreSQL writes a new WAL segment full of zeros and syncs it before it uses it, and every commit waits: 65 to 95 ms each 2.5 s at 6,667 events/s
 * (measured). After the first checkpoints it renames old segments instead. A file that is there already is taken as such, so a new database starts
 * with what `min_wal_size` would keep for an old one.
 */
async function makeSegments(folder: string, { uid }: Runner, signal?: AbortSignal): Promise<void> {
  const [first] = readdirSync(folder).filter((name) => /^[0-9A-F]{24}$/.test(name))
  if (first === undefined) return
  const zeros = Buffer.alloc(segmentBytes)
  const number = Number.parseInt(first.slice(16), 16)
  for (let next = number + 1; next <= number + segmentsMade; next++) {
    const file = join(folder, first.slice(0, 16) + next.toString(16).toUpperCase().padStart(8, '0'))
    await writeFile(file, zeros, { mode: 0o600, flush: true, signal })
    if (uid !== undefined) await chown(file, uid.uid, uid.gid)
  }
}

/**
 * A killed postmaster leaves its pid file. The next one ignores it when no process has that pid, but refuses to start when an unrelated process was given it.
 */
function removeForeignPid(data: string): void {
  const file = join(data, 'postmaster.pid')
  if (!existsSync(file)) return
  const pid = readFileSync(file, 'utf8').split('\n')[0]
  try {
    if (!readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('postgres')) rmSync(file)
  } catch {
    // no such process (or no /proc): PostgreSQL knows what to do
  }
}

async function postgresReady(port: number, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted()
    const client = new Client({ connectionString: postgresUrl(port), connectionTimeoutMillis: 2000 })
    client.on('error', () => {})
    try {
      await client.connect()
      await client.query('SELECT 1')
      return
    } catch {
      // not yet: refused, or still recovering
    } finally {
      await client.end().catch(() => {})
    }
    await sleep(25, undefined, { signal })
  }
}
