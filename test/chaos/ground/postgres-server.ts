/**
 * One PostgreSQL server of the ground: a process of ours with a data folder of its own, started until it answers, killed by whatever signal. A standby is
 * made by copying another server while it works; nothing of it outlives us.
 */
import { chownSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { copyFile, mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { PostgresParts } from '../../../src/stack/install-postgres.ts'
import { type Identity, isAlive } from '../../../src/stack/lock.mjs'
import { launchPostgres, postgresUrl } from '../../../src/stack/postgres.ts'
import { awaitReady, endProcess, type Running, StillClosingError, spawnServer } from '../../../src/stack/server.ts'
import type { Watchdog } from '../../../src/stack/watchdog.ts'

export interface PostgresServer {
  readonly name: string
  readonly url: string
  readonly log: string
  readonly data: string
  readonly isAlive: boolean
  /** Answers as soon as it takes queries again, recovery included. */
  start(limitMs?: number): Promise<void>
  /** Sends the postmaster a signal and waits for its end. SIGINT is an orderly end; after SIGKILL its children notice by themselves. */
  kill(signal: NodeJS.Signals): Promise<void>
}

export interface ServerOptions {
  readonly name: string
  readonly parts: PostgresParts
  readonly folder: string
  readonly port: number
  readonly settings: Readonly<Record<string, string>>
  readonly watchdog: Watchdog
}

const readyMs = 60_000
const retryMs = 100

export function postgresServer({ name, parts, folder, port, settings, watchdog }: ServerOptions): PostgresServer {
  mkdirSync(join(folder, name), { recursive: true })
  const launch = launchPostgres(parts, join(folder, name), port, { ...settings }, true)
  const log = join(folder, `${name}.log`)
  let running: Running | null = null

  async function kill(signal: NodeJS.Signals): Promise<void> {
    if (running === null) return
    const { identity } = running
    running = null
    await endProcess(identity, signal)
    watchdog.drop(identity as Identity)
  }

  return {
    name,
    url: postgresUrl(port),
    log,
    data: join(folder, name, 'postgres'),
    get isAlive() {
      return running !== null && isAlive(running.identity)
    },
    async start(limitMs = readyMs) {
      const untilMs = performance.now() + limitMs
      for (;;) {
        await launch.prepare()
        const one = spawnServer(launch, log)
        watchdog.add(one.identity, launch.abandonSignal)
        running = one
        try {
          return await awaitReady(name, launch, one, Math.max(Math.ceil(untilMs - performance.now()), 1000))
        } catch (error) {
          await kill('SIGKILL')
          // The children of a killed postmaster hold its shared memory until they notice.
          if (!(error instanceof StillClosingError) || performance.now() > untilMs) throw error
          await sleep(retryMs)
        }
      }
    },
    kill,
  }
}

/** What a copy must not have, or makes anew at its first start. */
const leftOut = /^(postmaster\.(pid|opts)|pg_internal\.init|pgsql_tmp.*|backup_label|standby\.signal|\.probe)$/
const emptied = new Set([
  'pg_wal',
  'pg_replslot',
  'pg_dynshmem',
  'pg_notify',
  'pg_serial',
  'pg_snapshots',
  'pg_stat_tmp',
  'pg_subtrans',
])

/**
 * A base backup by the low-level interface, since the package brings no pg_basebackup: the files as they are between pg_backup_start and
 * pg_backup_stop, in any state, and the label from which recovery knows where to begin. The WAL in between comes by streaming.
 */
export async function copyServer(from: PostgresServer, to: PostgresServer): Promise<void> {
  if (readdirSync(join(from.data, 'pg_tblspc')).length > 0) throw new Error('The copy knows no tablespaces.')
  rmSync(to.data, { recursive: true, force: true })
  const client = new pg.Client({ connectionString: from.url })
  client.on('error', () => {})
  await client.connect()
  try {
    await client.query("SELECT pg_backup_start('ground', fast => true)")
    await copyTree(from.data, to.data)
    const { rows } = await client.query<{ labelfile: string }>(
      'SELECT labelfile FROM pg_backup_stop(wait_for_archive => false)',
    )
    writeFileSync(join(to.data, 'backup_label'), rows[0]?.labelfile ?? '', { mode: 0o600 })
    writeFileSync(join(to.data, 'standby.signal'), '', { mode: 0o600 })
  } finally {
    await client.end()
  }
  // Files are copied by whoever we are; the server looks after a folder by its owner.
  if (process.getuid?.() === 0) chownSync(to.data, 0, 0)
}

async function copyTree(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true, mode: 0o700 })
  for (const entry of await readdir(from, { withFileTypes: true })) {
    if (leftOut.test(entry.name)) continue
    const [source, target] = [join(from, entry.name), join(to, entry.name)]
    if (emptied.has(entry.name)) {
      await mkdir(target, { mode: 0o700 })
      if (entry.name === 'pg_wal') await mkdir(join(target, 'archive_status'), { mode: 0o700 })
    } else if (entry.isDirectory()) await copyTree(source, target)
    else {
      // A table may be dropped under our hands: its end is in the WAL.
      await copyFile(source, target).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT' || existsSync(source)) throw error
      })
    }
  }
}
