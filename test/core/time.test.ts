import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { daysFromCivil, parseTime } from '../../src/core/time.ts'
import { useServer } from '../schema/database.ts'

const server = useServer()
const parse = (text: string) => parseTime(Buffer.from(text), 0, Buffer.byteLength(text))

const known: [text: string, micros: number][] = [
  ['1970-01-01T00:00:00Z', 0],
  ['2026-11-21T10:00:00.123456Z', 1795255200123456],
  ['2026-11-21T10:00:00.123456999Z', 1795255200123456],
  ['2026-11-21t10:00:00z', 1795255200000000],
  ['2026-11-21 10:00:00+00:00', 1795255200000000],
  ['2026-11-21T12:00:00+02:00', 1795255200000000],
  ['2026-11-21T04:30:00.5-05:30', 1795255200500000],
  ['2026-11-20T10:01:00-23:59', 1795255200000000],
  ['1969-12-31T23:59:59.999999Z', -1],
  ['2024-02-29T00:00:00Z', Date.UTC(2024, 1, 29) * 1000],
  ['2016-12-31T23:59:60Z', Date.UTC(2017, 0, 1) * 1000],
  ['9999-12-31T23:59:59Z', (Date.UTC(10_000, 0, 1) - 1000) * 1000],
  ['0001-01-01T00:00:00Z', -62_135_596_800_000_000],
]
for (const [text, micros] of known) test(`${text} is ${micros} us`, () => assert.equal(parse(text), micros))

const wrong = [
  '',
  '2026-11-21',
  '2026-11-21T10:00:00',
  '2026-11-21T10:00Z',
  '2026-11-21T10:00:00.Z',
  '2026-11-21T10:00:00.1',
  '2026-11-21T10:00:00+0200',
  '2026-11-21T10:00:00+02',
  '2026-11-21T10:00:00+02:0',
  '2026-11-21T10:00:00+02:000',
  '2026-11-21T10:00:00+24:00',
  '2026-11-21T10:00:00+02:60',
  '2026-11-21T10:00:00ZZ',
  '2026-11-21T10:00:00Z ',
  ' 2026-11-21T10:00:00Z',
  '2026-11-21T24:00:00Z',
  '2026-11-21T10:60:00Z',
  '2026-11-21T10:00:61Z',
  '2026-02-29T10:00:00Z',
  '2100-02-29T10:00:00Z',
  '2026-04-31T10:00:00Z',
  '2026-00-10T10:00:00Z',
  '2026-13-10T10:00:00Z',
  '2026-11-00T10:00:00Z',
  '2026/11/21T10:00:00Z',
  '2026-11-21T10-00-00Z',
  '2026-11-21\x0010:00:00Z',
  '+2026-11-21T10:00:00Z',
  '20261121T100000Z00000',
  '2026-11-21T1０:00:00Z',
]
for (const text of wrong) test(`${JSON.stringify(text)} is no time`, () => assert.ok(Number.isNaN(parse(text))))

const two = (value: number) => String(value).padStart(2, '0')
const part = (max: number, beyond: number) =>
  fc.oneof({ weight: 20, arbitrary: fc.nat(max) }, { weight: 1, arbitrary: fc.integer({ min: max + 1, max: beyond }) })

/** In the shape of RFC 3339; now and then with a part out of its range. */
const shaped = fc
  .record({
    year: fc.oneof(fc.nat(9999), fc.integer({ min: 1900, max: 2100 })),
    month: fc.oneof({ weight: 20, arbitrary: fc.integer({ min: 1, max: 12 }) }, { weight: 1, arbitrary: fc.nat(13) }),
    day: fc.oneof({ weight: 8, arbitrary: fc.integer({ min: 1, max: 28 }) }, { weight: 4, arbitrary: fc.nat(32) }),
    hour: part(23, 25),
    minute: part(59, 61),
    second: part(59, 62),
    fraction: fc.oneof(fc.constant(''), fc.stringMatching(/^\.\d{1,9}$/)),
    zone: fc.oneof(
      fc.constantFrom('Z', 'z'),
      fc
        .tuple(fc.constantFrom('+', '-'), part(15, 24), part(59, 61))
        .map(([sign, hours, minutes]) => `${sign}${two(hours)}:${two(minutes)}`),
    ),
    separator: fc.constantFrom('T', 'T', 't', ' '),
  })
  .map((t) => ({
    ...t,
    text: `${String(t.year).padStart(4, '0')}-${two(t.month)}-${two(t.day)}${t.separator}${two(t.hour)}:${two(t.minute)}:${two(t.second)}${t.fraction}${t.zone}`,
  }))

test('agrees with PostgreSQL on every time of that shape: which are good, and which moment they are', async () => {
  const session = await (await server.database({ migrated: false })).connect()
  await session.query(`set timezone = 'Asia/Tokyo'`)
  const times = fc.sample(shaped, 30_000)
  // PostgreSQL rounds what lies beyond the microsecond; we cut, so that a time never moves into the next day.
  const cut = times.map(({ text }) => text.replace(/(\.\d{6})\d+/, '$1'))
  const { rows } = await session.query(
    `select case when valid then (extract(epoch from text::timestamptz) * 1000000)::bigint::text end as micros
     from (select text, n, pg_input_is_valid(text, 'timestamptz') as valid
           from unnest($1::text[]) with ordinality u (text, n)) t order by n`,
    [cut],
  )
  const counts = { good: 0, bad: 0 }
  for (const [index, { text, year, hour, minute, second, zone }] of times.entries()) {
    const ours = parse(text)
    const theirs = rows[index].micros as string | null
    // Where we and PostgreSQL differ: it knows no year 0, no zone of 16 hours or more, and nothing beyond the beginning of a day's last leap second;
    // we know no hour 24.
    const zoneHours = Number(/^[+-](\d\d)/.exec(zone)?.[1] ?? 0)
    if (year === 0 || (zoneHours > 15 && zoneHours < 24)) continue
    if (hour === 23 && minute === 59 && second === 60) continue
    if (hour === 24) {
      assert.ok(Number.isNaN(ours), text)
      continue
    }
    assert.equal(Number.isNaN(ours) ? null : BigInt(ours).toString(), theirs && near(theirs, ours), text)
    counts[theirs === null ? 'bad' : 'good']++
  }
  assert.ok(counts.good > 15_000 && counts.bad > 2000, JSON.stringify(counts))
})

/** Beyond 2^53 microseconds (year 2255, and 1684 before) a double is exact to 32 of them at worst. */
function near(theirs: string, ours: number): string {
  if (Math.abs(ours) < Number.MAX_SAFE_INTEGER) return theirs
  const apart = BigInt(theirs) - BigInt(ours)
  return apart >= -32n && apart <= 32n ? BigInt(ours).toString() : theirs
}

test('agrees with Date.parse to the millisecond', () => {
  fc.assert(
    fc.property(shaped, ({ text, second, day, hour, separator, zone }) => {
      // Date.parse knows no leap second, takes 24:00, and lets 31 April be 1 May.
      fc.pre(second < 60 && hour < 24 && day >= 1 && day <= 28 && separator === 'T' && zone !== 'z')
      const date = Date.parse(text)
      const ours = parse(text)
      if (Number.isNaN(date)) return
      if (Math.abs(ours) < Number.MAX_SAFE_INTEGER) assert.equal(Math.floor(ours / 1000), date, text)
      else if (!Number.isNaN(ours)) assert.ok(Math.abs(Math.floor(ours / 1000) - date) <= 1, text)
    }),
    { numRuns: 3000 },
  )
})

test('days are those of the calendar, for any date', () => {
  fc.assert(
    fc.property(fc.integer({ min: -3_000_000, max: 3_000_000 }), (day) => {
      const date = new Date(day * 86_400_000)
      assert.equal(daysFromCivil(date.getUTCFullYear(), date.getUTCMonth() + 1, date.getUTCDate()), day)
    }),
  )
})

test('any bytes: a number or NaN, whatever lies around them, never an exception', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.tuple(shaped, fc.nat(40), fc.nat(255)).map(([{ text }, at, byte]) => {
      const damaged = Buffer.from(text)
      damaged[at % damaged.length] = byte
      return damaged
    }),
  )
  fc.assert(
    fc.property(bytes, fc.uint8Array({ maxLength: 10 }), (given, behind) => {
      const alone = parseTime(given, 0, given.length)
      assert.ok(Number.isNaN(alone) || Number.isInteger(alone))
      const within = Buffer.concat([behind, given, behind])
      assert.deepEqual(parseTime(within, behind.length, behind.length + given.length), alone)
    }),
    { numRuns: 5000 },
  )
})
