/** RFC 3339 timestamps from bytes to microseconds since 1970, without a Date or a string on the way. */

const digit = (bytes: Uint8Array, at: number) => {
  const value = (bytes[at] as number) - 0x30
  return value >= 0 && value <= 9 ? value : Number.NaN
}
const two = (bytes: Uint8Array, at: number) => digit(bytes, at) * 10 + digit(bytes, at + 1)

/** Days from 1970-01-01 to a date of the proleptic Gregorian calendar. */
export function daysFromCivil(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year
  const era = Math.floor(y / 400)
  const yearOfEra = y - era * 400
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear
  return era * 146_097 + dayOfEra - 719_468
}

function daysInMonth(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

/** Microseconds since the epoch, or NaN. Digits beyond the microsecond are cut; second 60 is the first of the next minute, as in PostgreSQL. Exact from 1684 to 2255. */
export function parseTime(bytes: Uint8Array, start: number, end: number): number {
  if (end - start < 20 || bytes[start + 4] !== 0x2d || bytes[start + 7] !== 0x2d) return Number.NaN
  const separator = bytes[start + 10]
  if (
    (separator !== 0x54 && separator !== 0x74 && separator !== 0x20) ||
    bytes[start + 13] !== 0x3a ||
    bytes[start + 16] !== 0x3a
  ) {
    return Number.NaN
  }
  const year = two(bytes, start) * 100 + two(bytes, start + 2)
  const month = two(bytes, start + 5)
  const day = two(bytes, start + 8)
  const hour = two(bytes, start + 11)
  const minute = two(bytes, start + 14)
  const second = two(bytes, start + 17)
  // NaN fails every comparison, so each is written the way round that refuses it.
  if (!(month >= 1 && month <= 12 && day >= 1 && day <= daysInMonth(year, month))) return Number.NaN
  if (!(hour <= 23 && minute <= 59 && second <= 60)) return Number.NaN

  let at = start + 19
  let micros = 0
  if (bytes[at] === 0x2e) {
    const from = ++at
    let scale = 100_000
    while (at < end) {
      const value = digit(bytes, at)
      if (Number.isNaN(value)) break
      micros += value * scale
      scale = scale === 1 ? 0 : Math.floor(scale / 10)
      at++
    }
    if (at === from) return Number.NaN
  }

  let offsetMinutes = 0
  const zone = bytes[at] as number
  if ((zone | 0x20) === 0x7a) at++
  else if (zone === 0x2b || zone === 0x2d) {
    if (at + 6 > end || bytes[at + 3] !== 0x3a) return Number.NaN
    const hours = two(bytes, at + 1)
    const minutes = two(bytes, at + 4)
    if (!(hours <= 23 && minutes <= 59)) return Number.NaN
    offsetMinutes = (hours * 60 + minutes) * (zone === 0x2d ? -1 : 1)
    at += 6
  } else return Number.NaN
  if (at !== end) return Number.NaN

  const seconds = daysFromCivil(year, month, day) * 86_400 + hour * 3600 + (minute - offsetMinutes) * 60 + second
  return seconds * 1_000_000 + micros
}
