import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { dayMax, dayMs, idFloor } from '../../src/core/day.ts'
import { eventId } from '../../src/core/identity.ts'
import { useServer } from './database.ts'

const server = useServer()

const text = fc.string({ unit: 'grapheme', minLength: 1 }).filter((s) => s.isWellFormed() && !s.includes('\0'))
const event = fc.record({
  ms: fc.integer({ min: 0, max: (dayMax + 1) * dayMs - 1 }),
  micros: fc.integer({ min: 0, max: 999 }),
  source: text,
  id: text,
})

test('the database makes the same key of an event as the program', async () => {
  const session = await (await server.database()).connect()
  const events = fc.sample(event, 2000)
  // Times go as text: an interval times a number is not exact to the microsecond.
  const times = events.map((e) => new Date(e.ms).toISOString().replace('Z', `${String(e.micros).padStart(3, '0')}Z`))
  const { rows } = await session.query(
    `select millrace_event_id(time, source, id) as id, millrace_id_floor(time) as floor
     from unnest($1::timestamptz[], $2::text[], $3::text[]) with ordinality u (time, source, id, n) order by n`,
    [times, events.map((e) => e.source), events.map((e) => e.id)],
  )
  assert.equal(rows.length, events.length)
  for (const [index, e] of events.entries()) {
    assert.deepEqual(rows[index], { id: eventId(e.ms, e.source, e.id), floor: idFloor(e.ms) }, `${times[index]}`)
  }
})

test('known keys', async () => {
  const session = await (await server.database()).connect()
  const { rows } = await session.query(
    `select millrace_event_id('2026-11-21 10:00:00.123999Z', '/a', 'x') as id, uuid_extract_version(
       millrace_event_id('2026-11-21 10:00:00.123999Z', '/a', 'x')) as version,
       uuid_extract_timestamp(millrace_event_id('2026-11-21 10:00:00.123999Z', '/a', 'x')) = '2026-11-21 10:00:00.123Z' as same,
       millrace_event_id(null, '/a', 'x') as nothing`,
  )
  assert.deepEqual(rows, [{ id: '01a1fd8c-697b-716c-830b-6a2f0d4adf9c', version: 7, same: true, nothing: null }])
})

test('times outside of the years an id can hold are refused for events and taken as the nearest for ranges', async () => {
  const session = await (await server.database()).connect()
  for (const time of ['1969-12-31 23:59:59.999999Z', '10000-01-01Z', 'infinity', '-infinity']) {
    await assert.rejects(session.query(`select millrace_event_id($1, 'a', 'b')`, [time]), { code: '22008' }, time)
  }
  const { rows } = await session.query(
    `select millrace_id_floor('-infinity') as low, millrace_id_floor('infinity') as high, millrace_id_floor(null) as nothing,
       millrace_id_floor('infinity') > millrace_event_id('9999-12-31 23:59:59.999999Z', 'a', 'b') as above`,
  )
  assert.deepEqual(rows, [{ low: idFloor(0), high: idFloor((dayMax + 1) * dayMs), nothing: null, above: true }])
})
