/** The ground itself: a standby that is held back lacks exactly what it did not receive, the address follows the promotion, and a killed server comes back. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import pg from 'pg'
import { startPostgres } from './postgres.ts'

const root = join(import.meta.dirname, '../../..')

test('a primary and its standby: killed, held back, promoted, made anew', async (t) => {
  mkdirSync(join(root, '.local'), { recursive: true })
  const folder = mkdtempSync(join(root, '.local', 'chaos-ground-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const ground = await startPostgres('pair', { root, folder })
  t.after(() => ground.close())
  const count = async () => (await ground.query<{ count: number }>('SELECT count(*)::int FROM t'))[0]?.count

  await ground.query('CREATE TABLE t AS SELECT generate_series(1, 1000) AS i')
  await ground.untilStandbyFollows()
  ground.holdStandby()
  await ground.query('INSERT INTO t SELECT generate_series(1, 500)')
  assert.ok((await ground.standbyBehind()) > 0)

  await ground.kill('SIGKILL')
  await ground.start()
  assert.equal(await count(), 1500, 'what was committed is there after a crash')

  await ground.kill('SIGKILL')
  await ground.promote()
  assert.equal(await count(), 1000, 'what the standby never received is gone')
  const client = new pg.Client({ connectionString: ground.url })
  await client.connect()
  await client.query('INSERT INTO t VALUES (1)')
  await client.end()
  assert.equal(await count(), 1001, 'the address leads to the new primary')

  await ground.renewStandby()
  await ground.query('INSERT INTO t VALUES (2)')
  await ground.untilStandbyFollows()
  assert.equal(await ground.standbyBehind(), 0)
})
