/** Text for terminals: numbers as people read them, bars and charts out of characters, colours where there are any. Pure. */
import { count } from '../core/count.ts'

export interface Style {
  readonly colours: boolean
  /** Block characters and lines; plain ASCII otherwise. */
  readonly unicode: boolean
}

const codes = {
  bold: 1,
  dim: 2,
  inverse: 7,
  red: 31,
  green: 32,
  yellow: 33,
  blue: 34,
  magenta: 35,
  cyan: 36,
  white: 37,
} as const
export type Colour = keyof typeof codes

export type Paint = (text: string, ...colours: readonly Colour[]) => string

export function painter({ colours }: Style): Paint {
  return (text, ...wanted) =>
    colours && wanted.length > 0 && text !== ''
      ? `\x1b[${wanted.map((colour) => codes[colour]).join(';')}m${text}\x1b[0m`
      : text
}

/** Cut or filled to exactly this width; to be painted afterwards. */
export function fit(text: string, width: number, side: 'left' | 'right' = 'left'): string {
  if (width <= 0) return ''
  const cut = text.length > width ? `${text.slice(0, Math.max(0, width - 1))}…` : text
  return side === 'left' ? cut.padEnd(width) : cut.padStart(width)
}

/** A painted line cut to this many visible characters, colours closed. */
export function clip(line: string, width: number): string {
  let seen = 0
  let out = ''
  for (const part of line.split(escapes)) {
    if (part.startsWith('\x1b')) {
      out += part
      continue
    }
    out += part.slice(0, width - seen)
    seen += part.length
    if (seen > width) return out.includes('\x1b') ? `${out}\x1b[0m` : out
  }
  return out
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: colours are escapes
const escapes = /(\x1b\[[0-9;]*m)/

/** Short enough for a column: 6,667  66.7k  1.23M. */
export function brief(value: number): string {
  if (!Number.isFinite(value)) return '-'
  if (value < 10_000) return count(value)
  if (value < 1_000_000) return `${(value / 1000).toFixed(value < 100_000 ? 1 : 0)}k`
  return `${(value / 1_000_000).toFixed(value < 10_000_000 ? 2 : 1)}M`
}

/** Three digits at most: 0.8 ms  14 ms  1.2 s  2 min. */
export function milliseconds(ms: number): string {
  if (Number.isNaN(ms)) return '-'
  if (ms < 9.95) return `${ms.toFixed(1)} ms`
  if (ms < 999.5) return `${ms.toFixed(0)} ms`
  if (ms < 99_950) return `${(ms / 1000).toFixed(ms < 9950 ? 1 : 0)} s`
  return `${(ms / 60_000).toFixed(0)} min`
}

export function bytes(value: number): string {
  if (!Number.isFinite(value)) return '-'
  if (value < 1024) return `${value} B`
  if (value < 1024 ** 2) return `${Math.round(value / 1024)} KiB`
  if (value < 1024 ** 3) return `${(value / 1024 ** 2).toFixed(value < 10 * 1024 ** 2 ? 1 : 0)} MiB`
  return `${(value / 1024 ** 3).toFixed(1)} GiB`
}

/** 00:12, 1:02:03 */
export function clock(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  const two = (value: number) => String(value).padStart(2, '0')
  const hours = Math.floor(seconds / 3600)
  return `${hours > 0 ? `${hours}:` : ''}${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`
}

const eighths = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉', '█']
const heights = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']

/** A share from 0 to 1 as a bar of this many characters, to an eighth of one. */
export function bar(share: number, width: number, { unicode }: Style): string {
  const filled = Math.min(1, Math.max(0, Number.isNaN(share) ? 0 : share)) * width
  if (!unicode) return '#'.repeat(Math.round(filled)).padEnd(width, '.')
  const whole = Math.floor(filled)
  const part = whole < width ? (eighths[Math.round((filled - whole) * 8)] as string) : ''
  return `${'█'.repeat(whole)}${part === ' ' ? '' : part}`.padEnd(width, '·')
}

/** The last `width` values as columns of `height` lines, the newest at the right; `top` is the value of a full column. */
export function chart(
  values: readonly number[],
  width: number,
  height: number,
  top: number,
  { unicode }: Style,
): string[] {
  const shown = values.slice(-width)
  const steps = shown.map((value) => {
    const level = top > 0 && value > 0 ? Math.round((Math.min(value, top) / top) * height * 8) : 0
    // What is not nothing must be seen.
    return value > 0 ? Math.max(1, level) : 0
  })
  return Array.from({ length: height }, (_, line) => {
    const floor = (height - 1 - line) * 8
    const text = steps.map((step) => heights[Math.min(8, Math.max(0, step - floor))] as string).join('')
    return (unicode ? text : text.replace(/[▁▂▃▄]/g, '.').replace(/[▅▆▇█]/g, '#')).padStart(width)
  })
}

export const sparkline = (values: readonly number[], width: number, style: Style): string =>
  chart(values, width, 1, Math.max(0, ...values.slice(-width)), style)[0] as string

/** How a share of time looks: at ease, busy, at its limit. */
export const heat = (share: number): Colour => (share < 0.5 ? 'green' : share < 0.8 ? 'yellow' : 'red')
