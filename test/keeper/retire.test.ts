/** Days are taken away without anybody waiting, and whatever is interrupted is finished by whoever comes next. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dayText, partitionName } from '../../src/core/day.ts'
import { retireNotes } from '../../src/keeper/plan.ts'
import { retire } from '../../src/keeper/retire.ts'
import { sqlState } from '../../src/schema/sql.ts'
import { noSignal, useServer } from '../schema/database.ts'
import { keep, keeperClient, makeDays, put, states, table, today, until } from './world.ts'

const server = useServer()
const old = today - 50
const options = { how: 'drop', signal: noSignal, pauseMs: 10 } as const

test('a day is dropped, or kept beside the table under a name that no COPY uses', async () => {
  const database = await server.database()
  const session = await keeperClient(database)
  await makeDays(session, [old, old + 1, old + 2], 5)
  assert.equal(await retire(session, table, old, options), 'drop')
  assert.equal(await retire(session, table, old + 1, { ...options, how: 'detach' }), 'detach')
  assert.deepEqual(await states(session), { [dayText(old + 2)]: 'attached' })
  const kept = `cloud_events_detached_${dayText(old + 1).replaceAll('-', '_')}`
  const { rows } = await session.query(`select count(*)::int as n from ${kept}`)
  assert.equal(rows[0].n, 5)
  const all = await session.query('select count(*)::int as n from cloud_events')
  assert.equal(all.rows[0].n, 5)
  // And it can be had back.
  await session.query(`alter table ${kept} rename to ${partitionName(table, old + 1)}`)
  const bound = (day: number) => `millrace_id_floor('${dayText(day)} 00:00Z')`
  await session.query(
    `do $$ begin execute format('alter table cloud_events attach partition ${partitionName(table, old + 1)} for values from (%L) to (%L)',
     ${bound(old + 1)}, ${bound(old + 2)}); end $$`,
  )
  assert.equal((await states(session))[dayText(old + 1)], 'attached')
  assert.equal(await retire(session, table, old + 1, options), 'drop')
  assert.equal(await retire(session, table, old + 1, options), null, 'a day that is not there')
})

test('a reader that stays leaves the day pending, unseen by new queries; a later keeper finishes it', async (t) => {
  const database = await server.database()
  const [session, reader, other] = [await keeperClient(database), await database.connect(), await database.connect()]
  await makeDays(session, [old, today], 3)
  await reader.query('begin; select * from cloud_events')
  const started = performance.now()
  await assert.rejects(retire(session, table, old, options), { code: 'POSTGRES_BUSY' })
  t.diagnostic(`gave up after ${Math.round(performance.now() - started)} ms`)
  assert.ok(performance.now() - started < 8000)
  assert.deepEqual(await states(session), { [dayText(old)]: 'pending', [dayText(today)]: 'attached' })
  // A day that is pending keeps neither queries nor new days waiting.
  await other.query("set lock_timeout = '500ms'")
  assert.equal((await other.query('select count(*)::int as n from cloud_events')).rows[0].n, 3)
  await makeDays(other, [today + 1])

  // Two processes' keepers meanwhile, one of which will finish it.
  const keepers = [keep(database), keep(database)]
  await keepers[0]!.hear(/waits for a lock/)
  await reader.query('commit')
  await until('the day is gone', async () => !(dayText(old) in (await states(session))))
  const dropped = () => keepers.reduce((sum, { actions }) => sum + actions('dropped'), 0)
  await until('one of them says so', () => dropped() > 0)
  await Promise.all(keepers.map(({ keeper }) => keeper.stop()))
  assert.equal(dropped(), 1)
})

test('a process killed while it waits for readers leaves nothing behind that a keeper does not finish', async () => {
  const database = await server.database()
  const [session, killed, reader] = [
    await keeperClient(database),
    await keeperClient(database),
    await database.connect(),
  ]
  await makeDays(session, [old])
  await reader.query('begin; select * from cloud_events')
  await killed.query('set lock_timeout = 0')
  const { rows } = await killed.query('select pg_backend_pid() as pid')
  const detaching = assert.rejects(retire(killed, table, old, options), (error) => sqlState(error) === '57P01')
  await until('detach pending', async () => (await states(session))[dayText(old)] === 'pending')
  await session.query('select pg_terminate_backend($1)', [rows[0].pid])
  await detaching
  await reader.query('commit')
  const { keeper, hear } = keep(database)
  await hear(/dropped/)
  await keeper.stop()
  assert.equal(dayText(old) in (await states(session)), false)
})

test('killed between detach and drop: finished; detached by hand: left alone; pending by hand: finished and kept', async () => {
  const database = await server.database()
  const [session, reader] = [await keeperClient(database), await database.connect()]
  await makeDays(session, [old, old + 1, old + 2, old + 3])
  for (const day of [old, old + 1, old + 2]) {
    await session.query(`alter table cloud_events detach partition ${partitionName(table, day)}`)
  }
  await session.query(`comment on table ${partitionName(table, old)} is '${retireNotes.drop}'`)
  await session.query(`comment on table ${partitionName(table, old + 1)} is '${retireNotes.detach}'`)
  await reader.query('begin; select * from cloud_events')
  await session.query("set lock_timeout = '100ms'")
  await assert.rejects(
    session.query(`alter table cloud_events detach partition ${partitionName(table, old + 3)} concurrently`),
    { code: '55P03' },
  )
  await reader.query('commit')
  const { keeper } = keep(database)
  await until('the keeper is through', async () => {
    const now = await states(session)
    return now[dayText(old + 3)] === 'detached' && !(dayText(old) in now) && !(dayText(old + 1) in now)
  })
  await keeper.stop()
  assert.equal((await states(session))[dayText(old + 2)], 'detached')
  const { rows } = await session.query("select relname from pg_class where relname like 'cloud\\_events\\_detached%'")
  assert.equal(rows.length, 1)
})

test('retention: what is beyond it goes, the oldest first, what is within it stays, and stays away', async () => {
  const database = await server.database()
  const session = await keeperClient(database)
  await makeDays(session, [today - 43, today - 42, today - 41, today - 40, today])
  const policy = { aheadDays: 2, sealAfterHours: 0, retentionDays: 40, retention: 'drop' } as const
  const { keeper, actions, said } = keep(database, { policy })
  await until('three dropped', () => actions('dropped') === 3)
  const rounds = said.length
  await keeper.stop()
  assert.deepEqual(
    Object.keys(await states(session)),
    [-40, -1, 0, 1, 2].map((more) => dayText(today + more)),
  )
  assert.deepEqual(
    said.slice(0, rounds).filter(({ level }) => level === 'warn'),
    [],
  )
  assert.equal(keeper.horizonDays(), 2)
})

test('a clock that has jumped ahead costs no day', async () => {
  const database = await server.database()
  const session = await keeperClient(database)
  await makeDays(session, [today - 1, today])
  const policy = { aheadDays: 1, sealAfterHours: 6, retentionDays: 40, retention: 'drop' } as const
  let rounds = 0
  const { keeper, actions } = keep(database, {
    policy,
    nowMs: () => Date.now() + 400 * 86_400_000,
    connect: () => {
      rounds++
      return database.connect()
    },
  })
  await until('days of the wrong clock are made', () => actions('made') >= 3)
  const seen = rounds
  await until('two rounds more', () => rounds >= seen + 2)
  await keeper.stop()
  await put(session, today - 1, 1, 'late')
  assert.equal((await states(session))[dayText(today)], 'attached')
  assert.equal(actions('dropped'), 0)
})
