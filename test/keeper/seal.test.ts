/** A closed day gets its indexes, statistics and frozen rows, once, while late events go on landing; a killed sealing is taken up. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { dayMs, dayText, partitionName } from '../../src/core/day.ts'
import { isSealed } from '../../src/keeper/plan.ts'
import { seal } from '../../src/keeper/seal.ts'
import { migrationsDir } from '../../src/schema/migrate.ts'
import { ensurePartitions, readPartitions } from '../../src/schema/partitions.ts'
import { type Session, sqlState } from '../../src/schema/sql.ts'
import { noSignal, useServer } from '../schema/database.ts'
import { keep, keeperClient, makeDays, put, table, today, until } from './world.ts'

const server = useServer()
const day = today - 3
const name = partitionName(table, day)
const policy = { aheadDays: 1, sealAfterHours: 6, retentionDays: 0, retention: 'drop' } as const

const sealed = async (session: Session) =>
  (await readPartitions(session, table)).partitions.filter(isSealed).map((one) => dayText(one.day))
const validIndexes = async (session: Session, of = name) =>
  (await session.query('select count(*)::int as n from pg_index where indrelid = $1::regclass and indisvalid', [of]))
    .rows[0].n

test('a sealed day has its indexes, fresh statistics, frozen rows, and answers by them; a late event still lands', async () => {
  const database = await server.database()
  const session = await keeperClient(database)
  await makeDays(session, [day], 5000)
  const steps: string[] = []
  assert.equal(await seal(session, table, day, { signal: noSignal, onStep: (step) => steps.push(step) }), true)
  assert.deepEqual(steps, ['index subject', 'index source', 'index tenant', 'freeze and analyze'])
  assert.deepEqual(await sealed(session), [dayText(day)])
  const { rows } = await session.query(
    `select reltuples::int as rows, relallfrozen = relpages as frozen,
       (select count(*)::int from pg_stats where tablename = relname and attname in ('subject', 'source', 'tenant_id', 'event_time')) as stats
     from pg_class where oid = $1::regclass`,
    [name],
  )
  assert.deepEqual(rows[0], { rows: 5000, frozen: true, stats: 4 })
  const hour = `event_time between '${dayText(day)} 00:10Z' and '${dayText(day)} 00:20Z'`
  for (const [condition, index] of [
    [`subject = 'subject-7' and ${hour}`, 'subject'],
    ["source = 's' and event_id = 'e77'", 'source'],
    [`tenant_id = 'tenant-7' and ${hour}`, 'tenant'],
  ]) {
    const plan = await session.query(`explain select * from ${name} where ${condition}`)
    assert.match(plan.rows.map((row) => row['QUERY PLAN']).join('\n'), new RegExp(`${name}_${index}`))
  }
  await put(session, day, 10, 'late')
  assert.equal(
    (await session.query(`select count(*)::int as n from ${name} where subject = 'subject-1'`)).rows[0].n,
    51,
  )
  assert.equal(await seal(session, table, day, { signal: noSignal }), false, 'once')
  assert.deepEqual(await sealed(session), [dayText(day)])
})

test('late events land at any moment of a sealing, and the sealing ends all the same', async () => {
  const database = await server.database()
  const [session, late] = [await keeperClient(database), await database.connect()]
  await makeDays(session, [day], 50_000)
  const sealing = seal(session, table, day, { signal: noSignal })
  let ended = false
  void sealing.finally(() => {
    ended = true
  })
  let landed = 0
  let longestMs = 0
  while (!ended) {
    const from = performance.now()
    await put(late, day, 1, `late-${landed++}-`)
    longestMs = Math.max(longestMs, performance.now() - from)
  }
  assert.equal(await sealing, true)
  assert.ok(landed > 5, `${landed} landed meanwhile`)
  assert.ok(longestMs < 2000, `${longestMs} ms`)
  await session.query('set enable_seqscan = off')
  const { rows } = await session.query(
    `select count(*)::int as n from ${name} where source = 's' and event_id like 'late-%'`,
  )
  assert.equal(rows[0].n, landed)
})

test('killed in the middle: the next one drops what is invalid, makes it again, and keeps what is whole', async () => {
  const database = await server.database()
  const [session, killed, writer] = [
    await keeperClient(database),
    await keeperClient(database),
    await database.connect(),
  ]
  await makeDays(session, [day], 100)
  const pid = (await killed.query('select pg_backend_pid() as pid')).rows[0].pid
  // An open transaction that has written to the day: CREATE INDEX CONCURRENTLY waits for it, with its index made and invalid.
  await killed.query(`create index concurrently ${name}_subject on ${name} (subject, event_time)`)
  await writer.query('begin')
  await put(writer, day, 1, 'slow')
  const sealing = assert.rejects(seal(killed, table, day, { signal: noSignal }), (error) => sqlState(error) === '57P01')
  await until(
    'an invalid index',
    async () => (await session.query('select 1 from pg_index where not indisvalid')).rows.length > 0,
  )
  await session.query('select pg_terminate_backend($1)', [pid])
  await sealing
  await writer.query('commit')
  assert.equal(await validIndexes(session), 3)
  const before = await session.query(`select '${name}_subject'::regclass::oid as oid`)

  const { keeper, hear } = keep(database, { policy })
  await hear(/sealed/)
  await keeper.stop()
  assert.ok((await sealed(session)).includes(dayText(day)))
  assert.equal(await validIndexes(session), 5)
  const invalid = 'select count(*)::int as n from pg_index where indrelid = $1::regclass and not indisvalid'
  assert.equal((await session.query(invalid, [name])).rows[0].n, 0)
  assert.deepEqual((await session.query(`select '${name}_subject'::regclass::oid as oid`)).rows, before.rows)
})

test('five keepers seal each day once, in turn, and none of them fails', async () => {
  const database = await server.database()
  const session = await keeperClient(database)
  const days = [today - 5, today - 4, today - 3, today - 2]
  await makeDays(session, [...days, today - 1, today], 2000)
  const keepers = Array.from({ length: 5 }, () => keep(database, { policy: { ...policy, sealAfterHours: 1 } }))
  const total = (action: string) => keepers.reduce((sum, { actions }) => sum + actions(action), 0)
  const due = Date.now() >= today * dayMs + 3_600_000 ? [...days, today - 1] : days
  await until('all sealed', async () => (await sealed(session)).length === due.length)
  await until('all told', () => total('sealed') === due.length)
  await Promise.all(keepers.map(({ keeper }) => keeper.stop()))
  assert.equal(total('sealed'), due.length)
  assert.equal(total('made'), 1)
  assert.deepEqual(
    keepers.flatMap(({ said }) => said.filter(({ level }) => level === 'warn')),
    [],
  )
  assert.equal(await validIndexes(session, partitionName(table, today)), 2)
})

test('only whoever has the turn works; when its session ends, another takes over', async () => {
  const database = await server.database()
  const [session, holder] = [await keeperClient(database), await database.connect()]
  await makeDays(session, [day, today - 50], 10)
  for (const duty of ['days', 'seal']) {
    const key = `hashtext('millrace_keeper_${duty}'), hashtext('cloud_events'::regclass::oid::text)`
    await holder.query(`select pg_advisory_lock(${key})`)
  }
  const retention = { ...policy, retentionDays: 40 }
  const { keeper, hear, said } = keep(database, { policy: retention })
  // It looks: round after round.
  await until('it has looked', async () => keeper.horizonDays() === -1 && (await looks(session)) > 0)
  await new Promise((resolve) => setTimeout(resolve, 300))
  assert.deepEqual(said, [])
  assert.deepEqual(await sealed(session), [])
  await session.query(
    'select pg_terminate_backend(pid) from pg_locks where locktype = $1 and pid <> pg_backend_pid()',
    ['advisory'],
  )
  await hear(/dropped/)
  await hear(/sealed/)
  await hear(/made/)
  await keeper.stop()
})

const looks = async (session: Session) =>
  (await session.query('select sum(xact_commit)::int as n from pg_stat_database where datname = current_database()'))
    .rows[0].n

test('who is not the owner seals nothing, says so once, goes on making days', async () => {
  const database = await server.database()
  const session = await keeperClient(database)
  await makeDays(session, [day])
  await session.query(await readFile(join(migrationsDir, 'roles.sql'), 'utf8'))
  const { keeper, hear, said, metrics, actions } = keep(database, {
    policy: { ...policy, retentionDays: 1 },
    connect: async () => {
      const client = await database.connect()
      await client.query('set role millrace_fleet')
      return client
    },
  })
  await until('several rounds', () => metrics.sum('keeper_failures_total', { code: 'POSTGRES_DENIED' }) >= 6)
  await keeper.stop()
  const warnings = said.filter(({ level }) => level === 'warn').map(({ text }) => text)
  assert.equal(warnings.length, 2)
  assert.match(
    await hear(/^sealing/),
    /POSTGRES_DENIED: Only .*, the owner of cloud_events.* `millrace partitions seal`/,
  )
  assert.match(await hear(/^retention/), /POSTGRES_DENIED/)
  assert.equal(actions('made'), 3)
  assert.equal(keeper.horizonDays(), 1)
  assert.ok(metrics.sum('partitions_to_seal') >= 1)
})

test('an index of that name that belongs to something else is said, not dropped', async () => {
  const session = await keeperClient(await server.database())
  await ensurePartitions(session, table, [day], { signal: noSignal })
  await session.query(`create table ${name}_source (n int)`)
  await assert.rejects(seal(session, table, day, { signal: noSignal }), { name: 'FatalError', message: /_source/ })
})
