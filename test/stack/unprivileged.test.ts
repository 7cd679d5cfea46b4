import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { findPostgres } from '../../src/stack/install-postgres.ts'
import { freePort } from '../../src/stack/ports.ts'
import { launchPostgres } from '../../src/stack/postgres.ts'
import { awaitReady, endProcess, spawnServer } from '../../src/stack/server.ts'
import type { Way } from '../../src/stack/unprivileged.ts'
import { root } from './root.ts'

const skip = process.getuid?.() === 0 ? false : 'only root has to become somebody else'

/** A folder that only root may enter, as /root is: the clone may lie in one. */
async function startIn(way: Way, folderMode: number) {
  const parts = await findPostgres(root, {
    cache: join(root, '.local/cache'),
    part: 'PostgreSQL',
    onProgress: () => {},
  })
  const outer = mkdtempSync(join(tmpdir(), 'millrace-test-'))
  try {
    chmodSync(outer, folderMode)
    const folder = join(outer, 'stack')
    mkdirSync(folder)
    const launch = launchPostgres(parts, folder, await freePort(new Set()), {}, true, [way])
    await launch.prepare()
    const running = spawnServer(launch, join(folder, 'postgres.log'))
    try {
      await awaitReady('postgres', launch, running, 30_000)
      return statSync(join(folder, 'postgres')).uid
    } finally {
      await endProcess(running.identity, launch.stopSignal)
    }
  } finally {
    rmSync(outer, { recursive: true })
  }
}

test('as root: PostgreSQL runs as nobody where that user can go', { skip }, async (t) => {
  try {
    assert.notEqual(await startIn('nobody', 0o755), 0)
  } catch (error) {
    // This very clone may lie in a folder that only root may enter.
    if (/Permission denied/.test(String(error))) t.skip(String(error))
    else throw error
  }
})

test('as root: in a user namespace, under a folder that only root may enter', { skip }, async (t) => {
  try {
    assert.equal(await startIn('namespace', 0o700), 0)
  } catch (error) {
    // Forbidden in most containers, which is why there is a third way.
    if (/unshare/.test(String(error))) t.skip(String(error))
    else throw error
  }
})

test('as root: by a copy of the programs and one capability, under a folder that only root may enter', {
  skip,
}, async () => {
  assert.notEqual(await startIn('copy', 0o700), 0)
})
