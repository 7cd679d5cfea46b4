/**
 * One frame of the live view, from one picture: never more lines than the terminal has, never wider. 80 by 24 holds everything that matters; what
 * more there is room for goes to charts, replicas and events.
 */
import { count } from '../core/count.ts'
import { partitionLines } from './frame-partitions.ts'
import { roomLines, timesLine } from './frame-rooms.ts'
import type { Picture, ReplicaPicture } from './picture.ts'
import {
  brief,
  bytes,
  chart,
  clip,
  clock,
  fit,
  milliseconds,
  type Paint,
  painter,
  type Style,
  sparkline,
} from './style.ts'
import { judge } from './verdict.ts'

export interface Size {
  readonly columns: number
  readonly rows: number
}

const widthMax = 132
/** Narrower terminals wrap. */
const widthMin = 40
const replicasShownMin = 2
const newsMs = 15_000

export function renderFrame(picture: Picture, size: Size, style: Style): string[] {
  const width = Math.max(widthMin, Math.min(size.columns, widthMax))
  const paint = painter(style)
  const head = [...header(picture, width, style, paint), ...addresses(picture, width, paint)]
  const body = roomLines(picture, width, style, paint)
  const latency = latencies(picture, width, paint)
  const totals = totalLines(picture, width, paint)
  const replicas = picture.replicas.map((replica) => replicaLine(replica, width, paint))

  // What is left over after everything that must be seen goes first to the replicas, then to events, then to taller charts.
  const must = head.length + 1 + body.length + 1 + 1 + latency.length + 1 + 1 + totals.length + 1
  let spare = Math.max(0, size.rows - must - Math.min(replicas.length, replicasShownMin))
  const more = Math.min(spare, Math.max(0, replicas.length - replicasShownMin))
  spare -= more
  const gap = spare > 0 ? [''] : []
  spare -= gap.length
  // With a blank line; where servers and senders have lines, one more stays for news.
  const partitions = partitionLines(picture, width, spare - (picture.load === null ? 1 : 2), style, paint)
  if (partitions.length > 0) partitions.push('')
  spare -= partitions.length
  const times = spare > 1 ? timesLine(picture, width, paint) : []
  spare -= times.length
  const recent = Math.min(picture.events.length, 1 + Math.min(spare, spare > 8 ? 5 : 1))
  spare -= Math.max(0, recent - 1)
  // A line of two points says nothing.
  if (picture.storedHistory.length < 3) spare = 0
  const rateHeight = 1 + Math.min(8, Math.ceil(spare / 2))
  const secondHeight = Math.min(6, Math.max(0, spare - (rateHeight - 1)))

  const lines = [
    ...head,
    '',
    ...body.slice(0, -1),
    ...times,
    ...body.slice(-1),
    ...rateChart(picture, width, rateHeight, style, paint),
    ...(secondHeight > 0 ? secondChart(picture, width, secondHeight, style, paint) : []),
    '',
    ...latency,
    '',
    replicaHead(width, paint),
    ...replicas.slice(0, replicasShownMin + more),
    ...gap,
    ...partitions,
    ...totals,
    ...footer(picture, recent, width, paint),
  ]
  return lines.slice(0, size.rows).map((line) => clip(line.trimEnd(), width))
}

/** The last events; with room for one only, what to press once the last one is old news. */
function footer({ events, elapsedMs, hint }: Picture, recent: number, width: number, paint: Paint): string[] {
  const shown = events.slice(events.length - recent)
  const isNews = elapsedMs - (shown.at(-1)?.elapsedMs ?? Number.NEGATIVE_INFINITY) < newsMs
  if (shown.length === 0 || (shown.length === 1 && !isNews)) return [paint(fit(hint, width), 'dim')]
  return shown.map((event) => paint(fit(`${clock(event.elapsedMs)}  ${event.text}`, width), 'yellow'))
}

function header(picture: Picture, width: number, style: Style, paint: Paint): string[] {
  const { elapsedMs, forMs, phase } = picture
  const left = ` millrace `
  const time = forMs === null ? clock(elapsedMs) : `${clock(Math.min(elapsedMs, forMs))} of ${clock(forMs)}`
  const right = `  ${phase}  ${time} `
  const middle = fit(
    ` ${picture.consumer}, ${picture.replicas.length} ${picture.replicas.length === 1 ? 'replica' : 'replicas'}${picture.seed === null ? '' : `, seed ${picture.seed}`}`,
    width - left.length - right.length,
  )
  const top = `${paint(left, 'bold', 'inverse')}${middle}${paint(right, 'bold')}`
  if (picture.load === null) return [top, verdictLine(picture, width, paint)]
  const share = forMs === null ? 1 : Math.min(1, elapsedMs / forMs)
  const full = Math.round(share * width)
  const [done, todo] = style.unicode ? ['━', '─'] : ['=', '-']
  return [top, `${paint(done.repeat(full), 'cyan')}${paint(todo.repeat(width - full), 'dim')}`]
}

const moods = { good: 'green', warn: 'yellow', bad: 'red' } as const

/** Where no run has an end to wait for, the second line says how things are. */
function verdictLine(picture: Picture, width: number, paint: Paint): string {
  const { mood, text, troubles } = judge(picture)
  const more = troubles.length > 1 ? ` (and ${troubles.length - 1} more)` : ''
  return paint(fit(` ${text}${more}`, width), moods[mood])
}

/** Two to a line where they fit, so that 80 columns hold the three servers in two lines. */
function addresses({ addresses: all }: Picture, width: number, paint: Paint): string[] {
  const lines: { text: string; length: number }[] = []
  for (const [name, address] of all) {
    const length = name.length + 1 + address.length
    const text = `${paint(name, 'dim')} ${address}`
    const line = lines.find((one) => one.length + 3 + length <= width)
    if (line === undefined) lines.push({ text: length > width ? fit(`${name} ${address}`, width) : text, length })
    else {
      line.text += `   ${text}`
      line.length += 3 + length
    }
  }
  return lines.map(({ text }) => text)
}

function rateChart(picture: Picture, width: number, height: number, style: Style, paint: Paint): string[] {
  const { storedHistory, storedPerSecond } = picture
  const label = 'stored/s '
  const figure = ` ${brief(storedPerSecond)}`
  const chartWidth = width - label.length - 16
  const shown = storedHistory.slice(-chartWidth)
  const top = Math.max(0, ...shown)
  const lines =
    height === 1 ? [sparkline(storedHistory, chartWidth, style)] : chart(storedHistory, chartWidth, height, top, style)
  return lines.map((line, index) => {
    const isFirst = index === 0
    const isLast = index === height - 1
    const side = isLast
      ? paint(fit(figure, 8), 'bold') + (height === 1 ? paint(fit(`top ${brief(top)}`, 8), 'dim') : '')
      : ''
    const ceiling = isFirst && height > 1 ? paint(` ${brief(top)} top`, 'dim') : ''
    return `${paint(fit(isLast ? label : '', label.length), 'dim')}${paint(line, 'green')}${side}${ceiling}`
  })
}

/** Of a run the latency is what is looked for, of a fleet at work the lag. */
function secondChart(
  { load, p99History, lagHistory }: Picture,
  width: number,
  height: number,
  style: Style,
  paint: Paint,
) {
  const [label, values] =
    load === null ? ['lag      ', lagHistory.map((seconds) => seconds * 1000)] : ['p99      ', p99History]
  const chartWidth = width - label.length - 16
  const top = Math.max(0, ...values.slice(-chartWidth))
  const lines = chart(values, chartWidth, height, top, style)
  return lines.map((line, index) => {
    const isLast = index === height - 1
    const side = isLast
      ? paint(fit(` ${milliseconds(values.at(-1) ?? Number.NaN)}`, 8), 'bold')
      : index === 0
        ? paint(` ${milliseconds(top)} top`, 'dim')
        : ''
    return `${paint(fit(isLast ? label : '', label.length), 'dim')}${paint(line, 'cyan')}${side}`
  })
}

function latencies(picture: Picture, width: number, paint: Paint): string[] {
  const { stored, published, batchRows, load } = picture
  const named = Math.min(23, width - 30)
  const row = (name: string, values: readonly string[]) =>
    fit(name, named) + values.map((value) => fit(value, 9, 'right')).join('')
  const figures = (of: Picture['stored']) => [of.p50, of.p95, of.p99].map(milliseconds)
  const rows = (value: number) => (Number.isNaN(value) ? '-' : count(value))
  const right = [
    `batch rows ${rows(batchRows.p50)} / ${rows(batchRows.p95)} / ${rows(batchRows.p99)}`,
    `in flight ${bytes(picture.bytesInFlight)} of ${bytes(picture.inFlightBytesMax)}`,
    load === null ? helpText(picture.usefulReplicas) : `acknowledged p99 ${milliseconds(load.ackMsP99)}`,
  ]
  const lines = [
    paint(row('last 10 s', ['p50', 'p95', 'p99']), 'dim'),
    row('produced to stored', figures(stored)),
    picture.publishes ? row('produced to published', figures(published)) : paint('no streams: PostgreSQL only', 'dim'),
  ]
  const used = named + 27
  return lines.map((line, index) => {
    const beside = fit(right[index] ?? '', width - used - 3)
    const gap = index === 2 && !picture.publishes ? used - 27 : 0
    return width - used < 24 ? line : `${line}${' '.repeat(3 + gap)}${paint(beside, 'dim')}`
  })
}

const helpText = (useful: number | null) => (useful === null ? '' : `useful replicas ${useful}`)

const replicaColumns = [
  ['replica', 11],
  ['parts', 6],
  ['lag', 9],
  ['lag s', 8],
  ['stored/s', 10],
  ['cpu', 6],
  ['memory', 9],
] as const

function replicaHead(width: number, paint: Paint): string {
  const [first, ...others] = replicaColumns
  const text = fit(first[0], first[1]) + others.map(([name, columns]) => fit(name, columns, 'right')).join('')
  return paint(fit(text, width), 'dim')
}

function replicaLine(replica: ReplicaPicture, width: number, paint: Paint): string {
  const { lagSeconds, cpuShare } = replica
  const values = [
    replica.name,
    String(replica.partitions),
    replica.lagRecords === null ? '-' : count(replica.lagRecords),
    lagSeconds === null ? '-' : lagSeconds.toFixed(1),
    brief(replica.storedPerSecond),
    cpuShare === null ? '-' : `${Math.round(cpuShare * 100)} %`,
    replica.residentBytes === null ? '-' : bytes(replica.residentBytes),
  ]
  const cells = replicaColumns.map(([, columns], index) => {
    const text = fit(values[index] as string, columns, index === 0 ? 'left' : 'right')
    if (index === 3 && lagSeconds !== null && lagSeconds >= 1) return paint(text, lagSeconds < 5 ? 'yellow' : 'red')
    return text
  })
  const used = replicaColumns.reduce((sum, [, columns]) => sum + columns, 0)
  const trouble = replica.state ?? replica.reasons[0]
  const rest = fit(trouble ?? replica.adminUrl?.replace('http://', '') ?? '', width - used - 2)
  return `${cells.join('')}  ${paint(rest, trouble === undefined ? 'dim' : 'yellow')}`
}

function totalLines(
  { load, totals, restarts, unassigned, rejectsByCode, publishes }: Picture,
  width: number,
  paint: Paint,
): string[] {
  const figures: [string, number, boolean][] = [
    ...(load === null ? [] : [['produced', load.produced, false] as [string, number, boolean]]),
    ['rows', totals.rows, false],
    ...(publishes ? [['entries', totals.entries, false] as [string, number, boolean]] : []),
    ['duplicates', totals.duplicates, false],
    ['rejects', totals.rejects, false],
  ]
  const troubles: [string, number, boolean][] = [
    ['rebalances', totals.rebalances, false],
    ['restarts', restarts, true],
    ['fenced', totals.fenced, true],
    ['retries', totals.retries, true],
    ...(load === null ? [] : [['not sent', load.failed, true] as [string, number, boolean]]),
    ...(unassigned > 0 ? [['unassigned partitions', unassigned, true] as [string, number, boolean]] : []),
  ]
  const line = (all: readonly [string, number, boolean][]) =>
    all
      .map(
        ([name, value, isTrouble]) =>
          `${paint(name, 'dim')} ${isTrouble && value > 0 ? paint(count(value), 'yellow') : count(value)}`,
      )
      .join('   ')
  const byCode = Object.entries(rejectsByCode)
    .filter(([, value]) => value > 0)
    .sort(([, a], [, b]) => b - a)
    .map(([code, value]) => `${code} ${count(value)}`)
    .join('  ')
  return [line(figures), line(troubles), paint(fit(byCode === '' ? '' : `rejects: ${byCode}`, width), 'dim')]
}
