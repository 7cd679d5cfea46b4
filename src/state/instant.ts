/**
 * Instants, to the microsecond that PostgreSQL keeps: texts in UTC, always of the same form, so that the order of the texts is the order of the times.
 * JavaScript's Date would cut them to milliseconds, and an event in the cut would be on the wrong side. Pure.
 */
import { parseDuration } from '../core/duration.ts'
import { FatalError } from '../core/errors.ts'
import { parseTime } from '../core/time.ts'

/** 2026-11-21T09:30:00.000000Z */
export type Instant = string

/** Where times are exact in microseconds; the ids of events begin at 1970. */
const firstMicros = 0
const lastMicros = Date.UTC(2255, 0, 1) * 1000

export const instantOfMicros = (micros: number): Instant => {
  const ms = Math.floor(micros / 1000)
  return `${new Date(ms).toISOString().slice(0, 23)}${String(micros - ms * 1000).padStart(3, '0')}Z`
}

export const instantOfMs = (ms: number): Instant => instantOfMicros(Math.floor(ms) * 1000)

export const microsOf = (instant: Instant): number => {
  const bytes = Buffer.from(instant)
  return parseTime(bytes, 0, bytes.length)
}

/** The last instant before it. */
export const justBefore = (instant: Instant): Instant => instantOfMicros(microsOf(instant) - 1)

export const dayOfInstant = (instant: Instant): string => instant.slice(0, 10)

/** For people: without zeros that say nothing. */
export const showInstant = (instant: Instant): string =>
  instant.replace(/\.000000Z$/, 'Z').replace(/(\.\d{3})000Z$/, '$1Z')

/** What a person writes behind an option: `now`, `2h` (ago), a date (its beginning), or a time; without a zone it is UTC, the same on every machine. */
export function readInstant(option: string, text: string, nowMs: number): Instant {
  const wrong = (what: string) =>
    new FatalError(
      'USAGE',
      `--${option} reads '${text}'${what}.`,
      'Write a time like 2026-11-21T09:30:00Z, a date, how long ago (2h, 3d), or now.',
    )
  if (text === 'now') return instantOfMs(nowMs)
  if (!/^\d{4}-/.test(text)) {
    if (!/^\d+(\.\d+)?[a-z]/i.test(text.trim())) throw wrong('')
    const ms = nowMs - parseDuration(text, `--${option}`)
    if (ms < 0) throw wrong(', which is before 1970')
    return instantOfMs(ms)
  }
  const [, date, clock = '00:00', seconds = ':00', zone = 'Z'] =
    /^(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d)(:\d\d(?:\.\d+)?)?([Zz]|[+-]\d\d:\d\d)?)?$/.exec(text.trim()) ?? []
  const micros = date === undefined ? Number.NaN : microsOf(`${date}T${clock}${seconds}${zone}`)
  if (Number.isNaN(micros)) throw wrong(', and there is no such time')
  if (micros < firstMicros || micros >= lastMicros) throw wrong(', and no event has a time before 1970 or after 2254')
  return instantOfMicros(micros)
}
