/**
 * UTC days, the grain of partitions. A day is a number: whole days since 1970-01-01.
 *
 * Pure. The same bounds are made in SQL by millrace_make_partition; a test holds the two equal.
 */
import { assert } from './errors.ts'

export const dayMs = 86_400_000

/** 9999-12-31: names of partitions have four digits for the year. */
export const dayMax = 2_932_896

/** The day of a time in milliseconds since 1970. */
export function dayOf(ms: number): number {
  return Math.floor(ms / dayMs)
}

/** 2026-11-21 */
export function dayText(day: number): string {
  assert(Number.isInteger(day) && day >= 0 && day <= dayMax, () => `${day} is no day between 1970 and 9999`)
  return new Date(day * dayMs).toISOString().slice(0, 10)
}

/** The day of 2026-11-21, or undefined where the text is no such date. */
export function parseDay(text: string): number | undefined {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return undefined
  const day = dayOf(Date.parse(`${text}T00:00:00Z`))
  return day >= 0 && day <= dayMax && dayText(day) === text ? day : undefined
}

/** cloud_events_2026_11_21 */
export function partitionName(table: string, day: number): string {
  return `${table}_${dayText(day).replaceAll('-', '_')}`
}

/** The lowest UUIDv7 of a millisecond: 48 bits of time, then nothing. */
export function idFloor(ms: number): string {
  assert(Number.isInteger(ms) && ms >= 0 && ms < 2 ** 48, () => `${ms} is no millisecond a UUIDv7 can hold`)
  const hex = ms.toString(16).padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`
}

export interface DayBounds {
  /** Milliseconds, upper exclusive. */
  fromMs: number
  toMs: number
  /** The bounds of the partition, upper exclusive. */
  fromId: string
  toId: string
}

export function dayBounds(day: number): DayBounds {
  const fromMs = day * dayMs
  const toMs = fromMs + dayMs
  return { fromMs, toMs, fromId: idFloor(fromMs), toId: idFloor(toMs) }
}

/** The days to have partitions for at a time: yesterday for what comes late, a week ahead for what nobody looks after. */
export function aheadDays(nowMs: number, { behind = 1, ahead = 7 } = {}): number[] {
  const today = dayOf(nowMs)
  return Array.from({ length: behind + ahead + 1 }, (_, index) => today - behind + index)
}
