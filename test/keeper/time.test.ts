/**
 * Calendars and clocks: whatever the process's time zone, the session's time zone, the hour of the year and the clock that somebody set back, an event
 * is a row in the partition of its own UTC day, or a reject that says it is outside of the window; and it can be had after the window was widened.
 */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { dayMs, dayOf, dayText, partitionName } from '../../src/core/day.ts'
import { dueToRetire, isClosed } from '../../src/keeper/plan.ts'
import { partitionDays } from '../../src/schema/partitions.ts'
import type { Session } from '../../src/schema/sql.ts'
import { useServer } from '../schema/database.ts'
import { openStoring, standardWindow } from './flow.ts'
import { keep, states, table, today, until } from './world.ts'

const server = useServer()
const hourMs = 3_600_000
const minuteMs = 60_000
const zoneBefore = process.env.TZ
after(() => {
  if (zoneBefore === undefined) delete process.env.TZ
  else process.env.TZ = zoneBefore
})

/** Rows that lie elsewhere than in the day of their time, or whose key does not bear it. */
const misplaced = async (session: Session) =>
  (
    await session.query(
      `select tableoid::regclass::text as place, event_time::text from cloud_events
       where tableoid::regclass::text <> 'cloud_events_' || to_char(event_time at time zone 'UTC', 'YYYY_MM_DD')
         or uuid_extract_timestamp(id) <> date_trunc('milliseconds', event_time)`,
    )
  ).rows
const counts = async (session: Session) =>
  (
    await session.query(
      `select (select count(*)::int from cloud_events) as rows, (select count(*)::int from rejects) as rejects`,
    )
  ).rows[0]

test('midnight, summer time, clocks apart and set back: no row in a wrong partition, none lost', async (t) => {
  const database = await server.database()
  const session = await database.connect()
  await session.query("set timezone = 'UTC'")
  const zones = ['America/St_Johns', 'Europe/Berlin', 'Australia/Lord_Howe', 'Pacific/Kiritimati', 'America/Sao_Paulo']
  /** Midnight in UTC, and the local ones when clocks change, in the year of the lanes' clocks. */
  const moments = [
    '2026-10-25T00:00Z',
    '2026-10-25T01:00Z',
    '2026-11-01T06:00Z',
    '2026-03-29T01:00Z',
    '2026-10-03T15:30Z',
  ].map((text) => Date.parse(text))
  let partition = 0
  let sent = 0
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...zones),
      fc.constantFrom(...zones),
      fc.constantFrom(...moments),
      // Each batch: how far the clock of its process has gone (or been set) since, and when its events happened, by their own clocks.
      fc.array(
        fc.record({
          clockMs: fc.constantFrom(0, 1, 999, 10 * minuteMs, -10 * minuteMs, -hourMs, hourMs, dayMs, 2 * hourMs + 1),
          eventsMs: fc.array(
            fc.oneof(
              fc.integer({ min: -3, max: 3 }),
              fc.integer({ min: -15 * minuteMs, max: 15 * minuteMs }),
              fc.integer({ min: -40 * dayMs, max: 40 * dayMs }),
            ),
            { minLength: 1, maxLength: 8 },
          ),
        }),
        { minLength: 1, maxLength: 6 },
      ),
      async (processZone, sessionZone, atMs, batches) => {
        process.env.TZ = processZone
        const url = `${database.url}?options=${encodeURIComponent(`-c timezone=${sessionZone} -c datestyle=SQL,DMY`)}`
        await using lane = await openStoring(url, partition++)
        for (const { clockMs, eventsMs } of batches) {
          const nowMs = atMs + clockMs
          const events = eventsMs.map((offset) => ({ id: `e${sent++}`, timeMs: atMs + offset }))
          const inside = events.filter(
            ({ timeMs }) =>
              timeMs >= nowMs - standardWindow.eventPastMsMax && timeMs <= nowMs + standardWindow.eventFutureMsMax,
          )
          const { rows, rejects } = await lane.store(events, nowMs)
          assert.equal(rows, inside.length)
          assert.equal(rejects.time_out_of_window ?? 0, events.length - inside.length)
        }
        assert.deepEqual(await misplaced(session), [])
        const { rows, rejects } = await counts(session)
        assert.equal(rows + rejects, sent)
      },
    ),
    { numRuns: 60 },
  )
  const { rows, rejects } = await counts(session)
  t.diagnostic(`${rows} rows and ${rejects} rejects in ${(await partitionDays(session, table)).length} days`)
})

test('events from other times make no partition, and are stored once the window lets them in', async () => {
  const database = await server.database()
  const session = await database.connect()
  await using lane = await openStoring(database.url, 0)
  const nowMs = today * dayMs + 12 * hourMs
  const strange = [
    0,
    -1,
    Date.parse('1969-12-31T23:59:59Z'),
    Date.parse('9999-12-31T23:59:59Z'),
    nowMs - 40 * dayMs,
    nowMs + 2 * hourMs,
  ]
  const odd = strange.map((timeMs, n) => ({ id: `odd-${n}`, timeMs }))
  const { rows, rejects } = await lane.store([...odd, { id: 'good', timeMs: nowMs }], nowMs)
  assert.deepEqual([rows, rejects], [1, { time_out_of_window: 6 }])
  assert.deepEqual(Object.keys(await states(session)), [dayText(today)])
  const { rows: rejected } = await session.query('select distinct code, reason ~ $1 as told from rejects', ['It is '])
  assert.deepEqual(rejected, [{ code: 'time_out_of_window', told: true }])

  // Redriven, that is sent again, after eventPastDaysMax went from 30 to 60: it lands in its day, made for it, beside whatever the keeper has sealed.
  const wider = { ...standardWindow, eventPastMsMax: 60 * dayMs }
  const again = await lane.store(odd, nowMs, wider)
  assert.deepEqual([again.rows, again.rejects], [1, { time_out_of_window: 5 }])
  assert.deepEqual(await lane.store([odd[4]!], nowMs, wider), { rows: 0, rejects: {}, duplicates: 1 })
  assert.deepEqual(Object.keys(await states(session)), [dayText(today - 40), dayText(today)])
  assert.deepEqual(await misplaced(session), [])
})

test('over midnight and back the keeper has the days before anybody needs them', async () => {
  const database = await server.database()
  const session = await database.connect()
  process.env.TZ = 'America/St_Johns'
  let nowMs = Date.parse('2026-10-24T23:59:59.999Z')
  const day = dayOf(nowMs)
  const { keeper, said } = keep(database, {
    nowMs: () => nowMs,
    connect: async () => {
      const client = await database.connect()
      await client.query("set timezone = 'Asia/Kathmandu'; set datestyle = 'German'")
      return client
    },
  })
  const last = async () => (await partitionDays(session, table)).at(-1)
  await until('before midnight', async () => (await last()) === day + 2)
  assert.equal(keeper.horizonDays(), 2)
  nowMs += 1
  assert.equal(keeper.horizonDays(), 1, 'at midnight, before the keeper has looked')
  await until('after midnight', async () => (await last()) === day + 3)
  nowMs -= hourMs
  await using lane = await openStoring(database.url, 0)
  for (const timeMs of [nowMs, nowMs + hourMs]) {
    await lane.store([{ id: `at-${timeMs}`, timeMs }], nowMs)
    const { rows } = await session.query(
      'select tableoid::regclass::text as place from cloud_events where event_id = $1',
      [`at-${timeMs}`],
    )
    assert.deepEqual(rows, [{ place: partitionName(table, dayOf(timeMs)) }])
  }
  await until('it knows what it made', () => keeper.horizonDays() === 3)
  nowMs += 30 * dayMs
  assert.equal(keeper.horizonDays(), -1, 'a clock that leaps finds no days, and says so')
  await until('made for the new time', () => keeper.horizonDays() === 2)
  await keeper.stop()
  assert.deepEqual(
    said.filter(({ level }) => level === 'warn'),
    [],
  )
})

test("what a lane lets in is not yet taken away, though its clock be a day behind the keeper's", () => {
  const time = fc.integer({ min: 400 * dayMs, max: 40_000 * dayMs })
  fc.assert(
    fc.property(
      time,
      fc.integer({ min: 0, max: dayMs - 1 }),
      fc.integer({ min: 1, max: 300 }),
      fc.integer({ min: 1, max: 50 }),
      (laneMs, skewMs, window, more) => {
        const oldest = dayOf(laneMs - window * dayMs)
        const partition = { day: oldest, name: 't', state: 'attached', note: null, indexes: [] } as const
        const found = {
          table: 't',
          schema: 's',
          owner: 'o',
          owned: true,
          serverMs: laneMs + skewMs,
          partitions: [partition],
        }
        // As settings-relations.ts demands: retentionDays > eventPastDaysMax.
        const policy = { aheadDays: 7, sealAfterHours: 6, retentionDays: window + more }
        assert.deepEqual(dueToRetire(found, laneMs + skewMs, policy), [])
        assert.ok(isClosed(oldest - 1, laneMs, 1) || window === 0)
      },
    ),
  )
})
