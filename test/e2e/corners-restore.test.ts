/** A database that has lost its last transactions, by a crash or by being put back: the marks decide. Nothing is lost or doubled, and streams that are ahead of the ledger are not added to twice. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { useStack } from './harness.ts'
import { until } from './until.ts'

const servers = useStack({
  postgres: { synchronous_commit: 'off', wal_writer_delay: '10s', wal_writer_flush_after: '1GB' },
})

test('synchronous_commit = off on the server, and a crash of it under load', async (t) => {
  const world = await servers.world(t)
  await world.replica()
  await world.replica()
  const load = world.load({ rate: 1000 })
  for (let crash = 0; crash < 3; crash++) {
    await world.untilServing()
    const before = await world.rows()
    await world.untilRows(before + 500)
    await world.stack.stopServer('postgres', { signal: 'SIGKILL' })
    await world.stack.startServer('postgres')
  }
  await world.untilServing()
  await load.stop()
  await world.untilDrained()
  await world.proof()
})

test('the database is put back to an earlier point, beside a fleet at work: rows again, entries not', async (t) => {
  const world = await servers.world(t)
  const replica = await world.replica()
  const load = world.load({ rate: 1000 })
  await world.untilServing()
  await world.untilRows(1000)
  const data = join(world.stack.folder, 'postgres')
  const copy = `${data}.earlier`
  t.after(() => rmSync(copy, { recursive: true, force: true }))
  await world.stack.stopServer('postgres', { signal: 'SIGINT' })
  execFileSync('cp', ['-a', data, copy])
  await world.stack.startServer('postgres')
  await world.untilServing()
  const earlier = await world.rows()
  await world.untilRows(earlier + 2000)
  const entries = async () => {
    const keys = await world.redis.keys('events:*')
    return (await Promise.all(keys.map((key) => world.redis.xlen(key)))).reduce((sum, one) => sum + one, 0)
  }
  await world.stack.stopServer('postgres', { signal: 'SIGINT' })
  const ahead = await entries()
  rmSync(data, { recursive: true })
  execFileSync('cp', ['-a', copy, data])
  await world.stack.startServer('postgres')
  const back = await world.rows()
  assert.ok(back < ahead, `${back} rows, ${ahead} entries: the streams are ahead`)
  await until('what was stored before to be stored again', 60_000, async () =>
    (await world.rows()) > ahead ? true : null,
  )
  await load.stop()
  await world.untilDrained()
  await world.proof()
  assert.ok((await replica.metric('millrace_fenced_total')) > 0, 'the ledger was found elsewhere')
})
