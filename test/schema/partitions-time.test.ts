/** Days are UTC days, whatever the session, the process or the database thinks of time and of how to write it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { dayBounds, dayMs, dayOf, dayText, partitionName } from '../../src/core/day.ts'
import { ensurePartitions, partitionDays } from '../../src/schema/partitions.ts'
import { noSignal, useServer } from './database.ts'

const server = useServer()

/** Zones whose clocks changed on these days, whose abbreviations mean something else elsewhere, or that lie far out. */
const zones = [
  'UTC',
  'Pacific/Guam',
  'America/New_York',
  'Europe/Berlin',
  'Asia/Kolkata',
  'Australia/Lord_Howe',
  'Pacific/Kiritimati',
  'Pacific/Pago_Pago',
  'America/St_Johns',
  'Asia/Kathmandu',
  'Africa/Casablanca',
]
const styles = ['ISO, MDY', 'SQL, DMY', 'SQL, MDY', 'Postgres, DMY', 'German']
/** The ends of summer time in Europe and America, their beginnings, a leap day, the end of a year. */
const days = ['2026-10-25', '2026-11-01', '2026-03-29', '2026-03-08', '2028-02-29', '2026-12-31', '2026-11-21'].map(
  (text) => dayOf(Date.parse(text)),
)

test('the same bounds and check in every time zone and date style of a session', async () => {
  const database = await server.database()
  for (const [index, zone] of zones.entries()) {
    const session = await database.connect()
    const style = styles[index % styles.length]!
    await session.query(`set timezone = '${zone}'; set datestyle = '${style}'`)
    await session.query(
      `create schema zone_${index}; create table zone_${index}.t (like cloud_events including all) partition by range (id)`,
    )
    const table = `zone_${index}.t`
    assert.deepEqual((await ensurePartitions(session, table, days, { signal: noSignal })).length, days.length)
    assert.deepEqual(
      await partitionDays(session, table),
      [...days].sort((a, b) => a - b),
    )
    await session.query("set timezone = 'UTC'; set datestyle = 'ISO, YMD'")
    for (const day of days) {
      const { rows } = await session.query(
        `select pg_get_expr(c.relpartbound, c.oid) as bound, pg_get_constraintdef(n.oid) as day
         from pg_class c join pg_constraint n on n.conrelid = c.oid and n.contype = 'c' where c.oid = $1::regclass`,
        [partitionName(table, day)],
      )
      const { fromId, toId } = dayBounds(day)
      assert.equal(rows[0].bound, `FOR VALUES FROM ('${fromId}') TO ('${toId}')`)
      const time = (of: number) => `'${dayText(of)} 00:00:00+00'::timestamp with time zone`
      assert.equal(
        rows[0].day,
        `CHECK (((event_time >= ${time(day)}) AND (event_time < ${time(day + 1)})))`,
        `${zone}, ${style}`,
      )
    }
  }
})

test('PostgreSQL puts an event into the day that we compute, to the millisecond around midnight, in any zone', async () => {
  const database = await server.database()
  const session = await database.connect()
  await ensurePartitions(
    session,
    'cloud_events',
    days.flatMap((day) => [day - 1, day, day + 1]),
    { signal: noSignal },
  )
  let made = 0
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...zones),
      fc.constantFrom(...days),
      fc.oneof(
        fc.integer({ min: -3, max: 3 }),
        fc.integer({ min: -dayMs, max: dayMs }),
        fc.constantFrom(3_600_000, 7_200_000, -3_600_000),
      ),
      async (zone, day, offsetMs) => {
        const ms = day * dayMs + offsetMs
        const text = `${new Date(ms).toISOString().slice(0, -1)}999Z`
        await session.query(`set timezone = '${zone}'`)
        const { rows } = await session.query(
          `insert into cloud_events (id, event_time, source, event_id, type, kafka_topic, kafka_partition, kafka_offset, kafka_time)
           values (millrace_event_id($1, 's', $2), $1, 's', $2, 't', 'k', 0, 0, now())
           returning tableoid::regclass::text as place, (extract(epoch from event_time) * 1000)::float8 as ms`,
          [text, `e${made++}`],
        )
        assert.equal(rows[0].place, partitionName('cloud_events', dayOf(ms)))
        assert.equal(Math.floor(rows[0].ms), ms)
      },
    ),
    { numRuns: 300 },
  )
})
