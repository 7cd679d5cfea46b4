/** Line charts as SVG, made by hand: no script, no library, sizes that stay readable on a phone. Colours are variables of the page around them. */

export interface Series {
  readonly name: string
  /** A number from 1 to 8: one of the page's colours. 0 is the quiet one. */
  readonly colour: number
  readonly values: readonly (number | null)[]
  readonly dashed?: boolean
}

export interface ChartOptions {
  readonly title: string
  /** Seconds, ascending; as many as each series has values. */
  readonly times: readonly number[]
  readonly series: readonly Series[]
  /** For the axis and for what is told of one moment. */
  readonly format: (value: number) => string
  /** Powers of ten, from 1. */
  readonly log?: boolean
  /** The axis reaches at least so far. */
  readonly topMin?: number
  /** Where a point tells its values to whoever points at it; a chart that is drawn anew each second does without. */
  readonly moments?: boolean
  /** How seconds are written below the axis; as on a stopwatch unless given. */
  readonly time?: (seconds: number) => string
  /** A limit to be seen. */
  readonly limit?: { readonly value: number; readonly name: string }
}

const width = 480
const height = 220
const left = 66
const right = 8
const top = 8
const bottom = 24
const inner = { width: width - left - right, height: height - top - bottom }
/** More would be finer than the lines are wide. */
const pointsMax = 240

export function renderChart(given: ChartOptions): string {
  const { title, format, log = false, limit, time: timeText = clockText } = given
  const { times, series } = thinned(given.times, given.series)
  const from = times[0] ?? 0
  const to = Math.max(times.at(-1) ?? 1, from + 1)
  const x = (seconds: number) => left + ((seconds - from) / (to - from)) * inner.width
  const highest = Math.max(
    given.topMin ?? 0,
    limit?.value ?? 0,
    ...series.flatMap(({ values }) => values.filter((value): value is number => value !== null)),
  )
  const ticks = log ? logTicks(highest) : linearTicks(highest)
  const ceiling = ticks.at(-1) as number
  const share = (value: number) => (log ? Math.log10(Math.max(value, 1)) / Math.log10(ceiling) : value / ceiling)
  const y = (value: number) => top + inner.height * (1 - Math.min(1, Math.max(0, share(value))))

  const grid = ticks.map((tick) => {
    const at = fixed(y(tick))
    return `<line class="grid" x1="${left}" x2="${width - right}" y1="${at}" y2="${at}"/><text class="tick" x="${left - 6}" y="${fixed(y(tick) + 4)}" text-anchor="end">${escapeText(format(tick))}</text>`
  })
  const seconds = timeTicks(from, to).map(
    (tick) =>
      `<text class="tick" x="${fixed(x(tick))}" y="${height - 6}" text-anchor="middle">${escapeText(timeText(tick))}</text>`,
  )
  const lines = series.map(
    ({ colour, values, dashed }) =>
      `<path class="line c${colour}${dashed ? ' dashed' : ''}" d="${path(values, times, x, y)}"/>`,
  )
  const mark =
    limit === undefined
      ? ''
      : `<line class="limit" x1="${left}" x2="${width - right}" y1="${fixed(y(limit.value))}" y2="${fixed(y(limit.value))}"/><text class="tick limit-name" x="${width - right - 2}" y="${fixed(y(limit.value) - 4)}" text-anchor="end">${escapeText(limit.name)}</text>`
  const momentOf = (time: number, index: number) => {
    const begin = index === 0 ? left : x((time + (times[index - 1] as number)) / 2)
    const end = index === times.length - 1 ? width - right : x((time + (times[index + 1] as number)) / 2)
    const told = series
      .map(({ name, values }) => [name, values[index]] as const)
      .filter((pair): pair is [string, number] => pair[1] !== null && pair[1] !== undefined)
      .map(([name, value]) => `${name} ${format(value)}`)
    return `<rect class="moment" x="${fixed(begin)}" y="${top}" width="${fixed(Math.max(0.1, end - begin))}" height="${inner.height}"><title>${escapeText([clockText(time), ...told].join('\n'))}</title></rect>`
  }
  return [
    `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeText(title)}">`,
    ...grid,
    ...seconds,
    mark,
    ...lines,
    ...(given.moments === false ? [] : times.map(momentOf)),
    '</svg>',
  ].join('')
}

const fixed = (value: number) => String(Math.round(value * 10) / 10)

/** Of several seconds to a point the highest counts: what is looked for is what was bad. */
function thinned(times: readonly number[], series: readonly Series[]): { times: number[]; series: Series[] } {
  const every = Math.ceil(times.length / pointsMax)
  if (every <= 1) return { times: [...times], series: [...series] }
  const groups = Array.from({ length: Math.ceil(times.length / every) }, (_, group) => group * every)
  return {
    times: groups.map((at) => times[at] as number),
    series: series.map((one) => ({
      ...one,
      values: groups.map((at) => {
        const numbers = one.values.slice(at, at + every).filter((value): value is number => value !== null)
        return numbers.length === 0 ? null : Math.max(...numbers)
      }),
    })),
  }
}

/** A gap where nothing was known. A value alone between gaps is a dot: a line to itself, with round ends. */
function path(
  values: readonly (number | null)[],
  times: readonly number[],
  x: (seconds: number) => number,
  y: (value: number) => number,
): string {
  let d = ''
  let isOpen = false
  for (const [index, value] of values.entries()) {
    if (value === null || !Number.isFinite(value)) {
      isOpen = false
      continue
    }
    const at = `${fixed(x(times[index] as number))} ${fixed(y(value))}`
    d += isOpen ? `L${at}` : `M${at}L${at}`
    isOpen = true
  }
  return d
}

/** Four or five round steps from zero. */
export function linearTicks(highest: number): number[] {
  const wanted = highest > 1e-9 ? highest : 1
  const rough = wanted / 4
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough) as number) * power
  const steps = Math.max(1, Math.ceil(wanted / step - 1e-9))
  return Array.from({ length: steps + 1 }, (_, index) => Number((index * step).toPrecision(6)))
}

export function logTicks(highest: number): number[] {
  const decades = Math.max(1, Math.ceil(Math.log10(Math.max(highest, 1)) - 1e-9))
  return Array.from({ length: decades + 1 }, (_, power) => 10 ** power)
}

const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400]

function timeTicks(from: number, to: number): number[] {
  const step = steps.find((one) => (to - from) / one <= 6) ?? 86_400
  const first = Math.ceil(from / step) * step
  return Array.from({ length: Math.floor((to - first) / step) + 1 }, (_, index) => first + index * step)
}

/** 45 s, 2:30, 1:02:03 */
export function clockText(seconds: number): string {
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  const two = (value: number) => String(value).padStart(2, '0')
  const hours = Math.floor(whole / 3600)
  const minutes = Math.floor(whole / 60) % 60
  return `${hours > 0 ? `${hours}:${two(minutes)}` : minutes}:${two(whole % 60)}`
}

/** Also for attributes. Characters that XML does not have become the replacement character. */
export function escapeText(text: string): string {
  return (
    text
      .toWellFormed()
      // biome-ignore lint/suspicious/noControlCharactersInRegex: characters XML does not have
      .replaceAll(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd')
      .replaceAll('&', '&amp;')
      .replaceAll('<', '&lt;')
      .replaceAll('>', '&gt;')
      .replaceAll('"', '&quot;')
      .replaceAll("'", '&#39;')
  )
}
