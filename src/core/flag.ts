/**
 * The options of a command as its help shows them, and what people write behind them, checked: each function answers the value, or throws USAGE with what was
 * written and what it takes.
 */
import { FatalError } from './errors.ts'

export interface Flag {
  readonly flag: string
  readonly help: string
  readonly standard?: string
  /** May be given several times. */
  readonly many?: boolean
}

export const row = (flag: string, help: string, more: { standard?: string; many?: boolean } = {}): Flag => ({
  flag,
  help,
  ...more,
})

export const wrongFlag = (option: string, text: string, expected: string): FatalError =>
  new FatalError('USAGE', `--${option} reads '${text}'.`, `It takes ${expected}.`)

export function wholeFlag(option: string, text: string, min: number, max = Number.MAX_SAFE_INTEGER): number {
  const value = Number(text.replaceAll('_', ''))
  if (text.trim() === '' || !Number.isSafeInteger(value) || value < min || value > max) {
    const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`
    throw wrongFlag(option, text, `a whole number ${range}`)
  }
  return value
}

export function numberFlag(option: string, text: string, min: number, max: number): number {
  const value = Number(text)
  if (text.trim() === '' || !(value >= min && value <= max))
    throw wrongFlag(option, text, `a number from ${min} to ${max}`)
  return value
}

export const shareFlag = (option: string, text: string): number => {
  const value = Number(text)
  if (text.trim() === '' || !(value >= 0 && value <= 1)) throw wrongFlag(option, text, 'a share from 0 to 1')
  return value
}

/** `max` is Infinity. */
export function rateFlag(option: string, text: string, of: string): number {
  if (text === 'max') return Number.POSITIVE_INFINITY
  const value = Number(text.replaceAll('_', ''))
  if (text.trim() === '' || !(value > 0) || !Number.isFinite(value)) {
    throw wrongFlag(option, text, `${of} per second, more than 0, or \`max\``)
  }
  return value
}

export function choiceFlag<T extends string>(option: string, text: string, allowed: readonly T[]): T {
  if (!(allowed as readonly string[]).includes(text)) throw wrongFlag(option, text, `one of ${allowed.join(', ')}`)
  return text as T
}

const unitBytes: Readonly<Record<string, number>> = { '': 1, B: 1, KB: 1000, KIB: 1024, MB: 1_000_000, MIB: 1024 ** 2 }

/** 466, 2KiB, 20kB. */
export function bytesFlag(option: string, text: string, min: number, max: number): number {
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim()) ?? []
  const value = Math.round(Number(number) * (unitBytes[unit.toUpperCase()] ?? Number.NaN))
  if (!(value >= min && value <= max))
    throw wrongFlag(option, text, `bytes from ${min} to ${max}, like 466, 2KiB or 20kB`)
  return value
}
