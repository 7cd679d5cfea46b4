/** `millrace partitions`: says before it does, does what it said, writes it down, and refuses in words. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { dayText, partitionName } from '../../src/core/day.ts'
import { parseSettings } from '../../src/core/settings.ts'
import { partitionsCommand } from '../../src/keeper/command.ts'
import type { PartitionsAction, PartitionsFlags } from '../../src/keeper/flags.ts'
import { migrationsDir } from '../../src/schema/migrate.ts'
import type { Session } from '../../src/schema/sql.ts'
import { type Database, noSignal, useServer } from '../schema/database.ts'
import { keeperClient, makeDays, states, table, today, until } from './world.ts'

const server = useServer()
const old = today - 50
const texts = (...days: number[]) => days.map(dayText)

async function run(
  database: Database,
  action: PartitionsAction,
  days: readonly string[] = [],
  { env = {}, ...flags }: Partial<PartitionsFlags> & { env?: Record<string, string> } = {},
): Promise<string> {
  const { settings } = parseSettings({
    env: { MILLRACE_POSTGRES: database.url, ...env },
    needs: ['postgresUrl'],
    readFile: () => '',
  })
  let said = ''
  await partitionsCommand(
    action,
    days,
    { consumer: 'cloud-events', ...flags },
    {
      settings,
      table: flags.table ?? table,
      actor: 'ann@desk',
      signal: noSignal,
      now: Date.now,
      write: (text) => {
        said += text
      },
      writeError: () => {},
    },
  )
  return said
}

const audited = async (session: Session) =>
  (await session.query('select actor, action, target, detail from audit order by id')).rows.map((row) => [
    row.actor,
    row.action,
    row.target,
    row.detail.done.map((one: { day: string }) => one.day),
  ])

test('make: what is missing, said first, then made and written down', async () => {
  const database = await server.database()
  const session = await database.connect()
  const week = texts(...Array.from({ length: 8 }, (_, n) => today + n))
  const dry = await run(database, 'make', [], { dryRun: true })
  assert.match(dry, /would make/)
  assert.deepEqual(await states(session), {})
  assert.deepEqual(await audited(session), [])
  assert.equal(await run(database, 'make'), week.map((day) => `${day}: made\n`).join(''))
  assert.equal(await run(database, 'make'), 'cloud_events: nothing to make.\n')
  const json = JSON.parse(await run(database, 'make', texts(old), { json: true }))
  assert.deepEqual(json.done, [{ day: dayText(old), outcome: 'made' }])
  await run(database, 'make', [], { from: dayText(old), to: dayText(old + 2) })
  assert.deepEqual(Object.keys(await states(session)), [...texts(old, old + 1, old + 2), ...week])
  assert.deepEqual(await audited(session), [
    ['ann@desk', 'partitions make', table, week],
    ['ann@desk', 'partitions make', table, texts(old)],
    ['ann@desk', 'partitions make', table, texts(old + 1, old + 2)],
  ])
})

test('list: days, rows, sizes, ends, sealed, kept; the horizon', async () => {
  const database = await server.database()
  const session = await keeperClient(database)
  await makeDays(session, [old, old + 1, today, today + 1], 100)
  await run(database, 'seal', texts(old))
  await run(database, 'drop', texts(old + 1), { keep: true, yes: true })
  const listed = JSON.parse(await run(database, 'list', [], { json: true }))
  assert.equal(listed.horizonDays, 1)
  assert.deepEqual(
    listed.partitions.map((one: { day: string; state: string; sealed: boolean }) => [one.day, one.state, one.sealed]),
    [
      [dayText(old), 'attached', true],
      [dayText(old + 1), 'kept', false],
      [dayText(today), 'attached', false],
      [dayText(today + 1), 'attached', false],
    ],
  )
  const [first] = listed.partitions
  assert.equal(first.rows, 100)
  assert.equal(first.oldest, `${dayText(old)}T00:00:01.000Z`)
  assert.equal(first.newest, `${dayText(old)}T00:01:40.000Z`)
  assert.equal(first.frozen, 1)
  assert.ok(first.bytes > 8192)
  const text = await run(database, 'list')
  assert.match(text, /^cloud_events: 1 days ahead; some \d+ rows, .* KiB with indexes/)
  assert.match(
    text,
    new RegExp(`^  ${dayText(old)}  attached +100 +.* KiB  00:00:01.000  00:01:40.000  yes, 100 % frozen$`, 'm'),
  )
  await session.query(`drop table ${partitionName(table, today)}`)
  assert.match(await run(database, 'list'), /TODAY HAS NO PARTITION/)
})

test('drop: nothing without --yes; then what was said, and no more', async () => {
  const database = await server.database()
  const session = await keeperClient(database)
  await makeDays(session, [old, old + 1, old + 2, today - 2, today])
  const before = await states(session)
  const said = await run(database, 'drop', [], { before: dayText(old + 2) })
  assert.match(said, /would drop \(attached, some \d rows, /)
  assert.match(said, /2 days to drop\. Nothing was changed: add --yes/)
  assert.match(await run(database, 'drop', texts(today - 2)), /within the window/)
  assert.deepEqual(await states(session), before)
  await run(database, 'drop', [], { before: dayText(old + 1), yes: true })
  const retention = { MILLRACE_RETENTION_DAYS: '48', MILLRACE_RETENTION: 'detach' }
  assert.equal(await run(database, 'drop', [], { yes: true, env: retention }), `${dayText(old + 1)}: detached\n`)
  assert.deepEqual(Object.keys(await states(session)), texts(old + 2, today - 2, today))
  assert.deepEqual(await audited(session), [
    ['ann@desk', 'partitions drop', table, texts(old)],
    ['ann@desk', 'partitions drop', table, texts(old + 1)],
  ])
  await assert.rejects(run(database, 'drop'), { code: 'USAGE', message: /retentionDays is 0/ })
})

test('refusals: days that are none, that are not there, that have not ended; tables; turns; owners', async () => {
  const database = await server.database()
  const [session, holder] = [await keeperClient(database), await database.connect()]
  await makeDays(session, [old, today])
  const refused = (
    action: PartitionsAction,
    days: string[],
    flags: Partial<PartitionsFlags>,
    code: string,
    message: RegExp,
  ) => assert.rejects(run(database, action, days, flags), { name: 'FatalError', code, message })
  await refused('make', ['2026-02-30'], {}, 'USAGE', /'2026-02-30' is no day/)
  await refused('make', [], { from: '2026-03-02', to: '2026-03-01' }, 'USAGE', /no range/)
  await refused('drop', texts(old + 7), { yes: true }, 'USAGE', /no partition of/)
  await refused('seal', texts(today), {}, 'USAGE', /has not ended/)
  await refused('list', [], { table: 'elsewhere' }, 'SCHEMA_MISSING', /no table elsewhere/)
  for (const duty of ['days', 'seal']) {
    await holder.query(
      `select pg_advisory_lock(hashtext('millrace_keeper_${duty}'), hashtext('cloud_events'::regclass::oid::text))`,
    )
  }
  await refused('seal', texts(old), {}, 'POSTGRES_BUSY', /keeper of a running process/)
  await refused('drop', texts(old), { yes: true }, 'POSTGRES_BUSY', /keeper of a running process/)
  await holder.query('select pg_advisory_unlock_all()')

  await session.query(await readFile(join(migrationsDir, 'roles.sql'), 'utf8'))
  const role = `fleet_${process.pid}`
  await session.query(`create role ${role} login password 'p' in role millrace_operator`)
  const url = Object.assign(new URL(database.url), { username: role, password: 'p' }).href
  const operator = { ...database, url }
  assert.match(await run(operator, 'list'), /cloud_events: /)
  assert.match(await run(operator, 'make', texts(old + 1)), /made/)
  for (const action of ['drop', 'seal'] as const) {
    await assert.rejects(run(operator, action, texts(old), { yes: true }), {
      code: 'POSTGRES_DENIED',
      message: /the owner of cloud_events/,
    })
  }
})

test('a program of its own: exit codes, and Ctrl-C in the middle of an index, which the next run makes good', async () => {
  const database = await server.database()
  const [session, writer] = [await keeperClient(database), await database.connect()]
  await makeDays(session, [old], 10)
  const start = (...words: string[]) => {
    const child = spawn(process.execPath, [join(import.meta.dirname, '../../src/main.ts'), 'partitions', ...words], {
      env: { PATH: process.env.PATH, HOME: process.env.HOME, MILLRACE_POSTGRES: database.url },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let said = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        said += text
      })
    }
    const exit = new Promise<number | null>((resolve) => child.once('close', resolve))
    return { child, exit, said: () => said }
  }
  const list = start('list', '--json')
  assert.equal(await list.exit, 0)
  assert.equal(JSON.parse(list.said()).partitions.length, 1)
  const wrong = start('drop', 'yesterday')
  assert.equal(await wrong.exit, 2)
  assert.match(wrong.said(), /^millrace: USAGE: 'yesterday' is no day/)

  await writer.query('begin')
  await writer.query(`insert into ${partitionName(table, old)} select * from ${partitionName(table, old)} where false`)
  await writer.query(`lock table ${partitionName(table, old)} in row exclusive mode`)
  const seal = start('seal')
  const invalid = async () => (await session.query('select 1 from pg_index where not indisvalid')).rows.length > 0
  await until('an index half made', invalid)
  seal.child.kill('SIGINT')
  assert.equal(await seal.exit, 1)
  assert.match(seal.said(), /interrupted/)
  await until('the server has noticed', async () => {
    const { rows } = await session.query("select 1 from pg_locks where locktype = 'advisory'")
    return rows.length === 0
  })
  await writer.query('commit')
  assert.equal(await invalid(), true)
  const again = start('seal')
  assert.equal(await again.exit, 0)
  assert.match(again.said(), /sealed/)
  assert.equal(await invalid(), false)
  const { rows } = await session.query("select detail from audit where action = 'partitions seal' order by id")
  assert.match(rows[0].detail.failed, /./)
  assert.deepEqual(rows[1].detail, { done: [{ day: dayText(old), outcome: 'sealed' }] })
})
