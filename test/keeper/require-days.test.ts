/** A process does not start without a place for tomorrow's events: it makes one, or says why it cannot and what to do. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { dayMs } from '../../src/core/day.ts'
import { requireDays } from '../../src/keeper/require-days.ts'
import { migrationsDir } from '../../src/schema/migrate.ts'
import { ensurePartitions } from '../../src/schema/partitions.ts'
import { noSignal, useServer } from '../schema/database.ts'
import { makeDays, states, table, today } from './world.ts'

const server = useServer()
const nowMs = (today + 1) * dayMs - 1
const fatal = (code: string, message: RegExp, remedy: RegExp) => (error: unknown) => {
  const { name, ...found } = error as { name: string; code: string; message: string; remedy: string }
  assert.deepEqual([name, found.code], ['FatalError', code])
  assert.match(found.message ?? (error as Error).message, message)
  assert.match(found.remedy, remedy)
  return true
}

test('what is missing is made, yesterday too; ten at once', async () => {
  const database = await server.database()
  const sessions = await Promise.all(Array.from({ length: 10 }, () => database.connect()))
  const found = await Promise.all(sessions.map((session) => requireDays(session, table, nowMs, noSignal)))
  for (const days of found) assert.deepEqual(days, [today - 1, today, today + 1])
})

test('who may not make days starts while today and tomorrow are there, and not a day longer', async () => {
  const session = await (await server.database()).connect()
  await session.query(await readFile(join(migrationsDir, 'roles.sql'), 'utf8'))
  await ensurePartitions(session, table, [today, today + 1], { signal: noSignal })
  await session.query('revoke execute on function millrace_make_partition(regclass, date) from public, millrace_fleet')
  await session.query('set role millrace_fleet')
  assert.deepEqual(await requireDays(session, table, nowMs, noSignal), [today, today + 1])
  await assert.rejects(
    requireDays(session, table, nowMs + 1, noSignal),
    fatal(
      'POSTGRES_DENIED',
      /no partition cloud_events_\d{4}_\d\d_\d\d, and this user may not make one: permission denied/,
      /roles\.sql/,
    ),
  )
})

test('while others hold the table: it says who; a detached table in the way: it says which', async () => {
  const database = await server.database()
  const [session, holder] = [await database.connect(), await database.connect()]
  await holder.query(
    "set application_name = 'a long migration'; begin; lock table cloud_events in share update exclusive mode",
  )
  await assert.rejects(
    requireDays(session, table, nowMs, noSignal),
    fatal(
      'POSTGRES_BUSY',
      /cloud_events_\S+ and cloud_events_\S+, and .* others hold cloud_events \(pid \d+, a long migration\)/,
      /End what holds it/,
    ),
  )
  await holder.query('rollback')
  await makeDays(session, [today + 1])
  const [name] = Object.keys(await states(session)).map((day) => `cloud_events_${day.replaceAll('-', '_')}`)
  await session.query(`alter table cloud_events detach partition ${name}`)
  await assert.rejects(
    requireDays(session, table, nowMs, noSignal),
    fatal('SCHEMA_MISSING', new RegExp(name!), /Attach it again/),
  )
})
