import assert from 'node:assert/strict'
import { test } from 'node:test'
import { aheadDays, dayBounds, dayMax, dayOf, dayText, partitionName } from '../../src/core/day.ts'
import { ensurePartitions, partitionDays } from '../../src/schema/partitions.ts'
import type { Session } from '../../src/schema/sql.ts'
import { noSignal, useServer } from './database.ts'

const server = useServer()
const today = dayOf(Date.parse('2026-11-21T12:00:00Z'))
const at = Date.parse('2026-11-21T12:00:00Z')

const put = (
  table: string,
  n = 1,
) => `insert into ${table} (id, event_time, source, event_id, type, kafka_topic, kafka_partition, kafka_offset, kafka_time)
  select millrace_event_id('2026-11-21 12:00Z', 's', n::text), '2026-11-21 12:00Z', 's', n::text, 't', 'k', 0, n, now()
  from generate_series(1, ${n}) n`

/** Fails rather than waits. */
async function hurried(session: Session): Promise<Session> {
  await session.query("set lock_timeout = '1s'")
  return session
}

test('ten processes make the same thirty days at once: thirty made, nobody fails', async () => {
  const database = await server.database()
  const sessions = await Promise.all(Array.from({ length: 10 }, () => database.connect()))
  const days = aheadDays(at, { behind: 10, ahead: 19 })
  const made = await Promise.all(
    sessions.map((session, index) =>
      ensurePartitions(session, 'cloud_events', index % 2 ? days : [...days].reverse(), { signal: noSignal }),
    ),
  )
  assert.deepEqual(
    made.flat().sort((a, b) => a - b),
    days,
  )
  assert.deepEqual(await partitionDays(sessions[0]!, 'cloud_events'), days)
  assert.deepEqual(await ensurePartitions(sessions[0]!, 'cloud_events', days, { signal: noSignal }), [])
})

test('a partition has the bounds of its day, its own check, every index of the parent, and all of it valid', async () => {
  const session = await (await server.database()).connect()
  await session.query("set timezone = 'America/St_Johns'")
  const days = [0, today, dayMax]
  await ensurePartitions(session, 'cloud_events', days, { signal: noSignal })
  await session.query("set timezone = 'UTC'")
  for (const day of days) {
    const name = partitionName('cloud_events', day)
    const { fromId, toId } = dayBounds(day)
    const { rows } = await session.query(
      `select pg_get_expr(c.relpartbound, c.oid) as bound,
         (select pg_get_constraintdef(n.oid) from pg_constraint n where n.conrelid = c.oid and n.contype = 'c') as day,
         (select count(*)::integer from pg_index i where i.indrelid = c.oid) as indexes
       from pg_class c where c.oid = $1::regclass`,
      [name],
    )
    assert.equal(rows[0].bound, `FOR VALUES FROM ('${fromId}') TO ('${toId}')`)
    const [from, to] = day === dayMax ? ['9999-12-31', '10000-01-01'] : [dayText(day), dayText(day + 1)]
    const time = (text: string | undefined) => `'${text} 00:00:00+00'::timestamp with time zone`
    assert.equal(rows[0].day, `CHECK (((event_time >= ${time(from)}) AND (event_time < ${time(to)})))`)
    assert.equal(rows[0].indexes, 2)
  }
  const { rows } = await session.query('select count(*)::integer as n from pg_index where not indisvalid')
  assert.equal(rows[0].n, 0)
  const twice = await session.query(
    `${put('cloud_events', 3)} on conflict do nothing; ${put('cloud_events', 4)} on conflict do nothing`,
  )
  assert.deepEqual(
    (twice as unknown as { rowCount: number }[]).map(({ rowCount }) => rowCount),
    [3, 1],
  )
  await assert.rejects(session.query(put(partitionName('cloud_events', 0))), { code: '23514' })
})

test('neither a long reader nor an open COPY holds a new day up, and a new day holds neither up', async () => {
  const database = await server.database()
  const [reader, writer, maker, other] = await Promise.all(
    Array.from({ length: 4 }, async () => hurried(await database.connect())),
  )
  await ensurePartitions(maker!, 'cloud_events', [today], { signal: noSignal })
  await reader!.query('begin; select * from cloud_events')
  await writer!.query(`begin; ${put('cloud_events_2026_11_21')}`)
  const made = await ensurePartitions(maker!, 'cloud_events', [today + 1], {
    signal: noSignal,
    lockTimeoutMs: 500,
    attempts: 1,
  })
  assert.deepEqual(made, [today + 1])

  // Made and not yet committed: the lock is at its height.
  await maker!.query(`begin; select millrace_make_partition('cloud_events', '2026-11-23')`)
  await reader!.query('select * from cloud_events')
  await other!.query('select * from cloud_events')
  await writer!.query('commit')
  await other!.query(
    `begin; insert into cloud_events_2026_11_21 select * from cloud_events_2026_11_21 on conflict do nothing; commit`,
  )
  await maker!.query('commit')
  await reader!.query('commit')
  assert.deepEqual(await partitionDays(reader!, 'cloud_events'), [today, today + 1, today + 2])
})

test('who cannot get the lock lets go in time, tries again, and says so in the end', async () => {
  const database = await server.database()
  const [session, holder] = [await database.connect(), await database.connect()]
  await holder.query('begin; lock table cloud_events in share update exclusive mode')
  const hurry = { signal: noSignal, lockTimeoutMs: 20 }
  await assert.rejects(ensurePartitions(session, 'cloud_events', [today], { ...hurry, attempts: 2 }), {
    name: 'TransientError',
    code: 'POSTGRES_BUSY',
    message: /cloud_events_2026_11_21/,
  })
  assert.deepEqual(await partitionDays(session, 'cloud_events'), [])

  const abort = new AbortController()
  const aborted = ensurePartitions(session, 'cloud_events', [today], { ...hurry, signal: abort.signal })
  abort.abort()
  await assert.rejects(aborted, { name: 'AbortError' })

  const patient = ensurePartitions(session, 'cloud_events', [today], { ...hurry, attempts: 20 })
  await holder.query('commit')
  assert.deepEqual(await patient, [today])
})

test('a table that has the name of a day and is no partition is left alone', async () => {
  const session = await (await server.database()).connect()
  await ensurePartitions(session, 'cloud_events', [today], { signal: noSignal })
  await session.query('alter table cloud_events detach partition cloud_events_2026_11_21')
  await assert.rejects(ensurePartitions(session, 'cloud_events', [today, today + 1], { signal: noSignal }), {
    name: 'FatalError',
    message: /cloud_events_2026_11_21/,
  })
})

test('any table of the same shape, in any schema, can have days', async () => {
  const session = await (await server.database()).connect()
  await session.query(
    `create schema "Side Wing"; create table "Side Wing"."Things" (like cloud_events including all) partition by range (id)`,
  )
  const table = '"Side Wing"."Things"'
  assert.deepEqual(await ensurePartitions(session, table, [today], { signal: noSignal }), [today])
  assert.deepEqual(await partitionDays(session, table), [today])
  assert.deepEqual(await partitionDays(session, 'cloud_events'), [])
  await session.query(put(table))
})
