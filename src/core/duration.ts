/** Durations as people write them: `250ms`, `30s`, `5m`, `1.5h`, `2d`, or several from large to small: `1h30m`. The answer is in milliseconds. */
import { FatalError } from './errors.ts'

const unitMs = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000, ms: 1 } as const
const whole = /^(?:\d+(?:\.\d+)?(?:ms|[dhms]))+$/
const part = /(\d+(?:\.\d+)?)(ms|[dhms])/g

/** `name` is what the person typed it for: `--for`, or a setting's name. A bare number is refused: nobody can tell seconds from milliseconds. */
export function parseDuration(text: string, name = 'the duration'): number {
  const wrong = (what: string) =>
    new FatalError(
      'USAGE',
      `${name} reads '${text}', ${what}.`,
      'Write a number and a unit: 250ms, 30s, 5m, 1h30m or 2d.',
    )
  const trimmed = text.trim().toLowerCase()
  if (/^\d+(\.\d+)?$/.test(trimmed)) throw wrong('which has no unit')
  if (!whole.test(trimmed)) throw wrong('which is not a duration')
  let ms = 0
  let last = Number.POSITIVE_INFINITY
  for (const [, number, unit] of trimmed.matchAll(part)) {
    const size = unitMs[unit as keyof typeof unitMs]
    if (size >= last) throw wrong('whose units do not go from large to small')
    last = size
    ms += Number(number) * size
  }
  const rounded = Math.round(ms)
  if (!Number.isSafeInteger(rounded)) throw wrong('which is too long')
  return rounded
}

/** The shortest exact way to write it, for messages: 90000 becomes `1m30s`. */
export function formatDuration(ms: number): string {
  let rest = Math.round(ms)
  if (rest <= 0) return '0s'
  let text = ''
  for (const unit of ['d', 'h', 'm', 's', 'ms'] as const) {
    const count = Math.floor(rest / unitMs[unit])
    if (count > 0) text += `${count}${unit}`
    rest -= count * unitMs[unit]
  }
  return text
}
