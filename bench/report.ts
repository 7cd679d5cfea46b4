/** What a bench found, as tables for a terminal or a README. */
import { count } from '../src/core/count.ts'
import { median } from '../src/core/median.ts'
import type { Contender } from './contenders/contender.ts'
import type { Drained } from './drain.ts'
import type { Floor, Quantiles, Steady } from './steady.ts'

export interface Entry {
  readonly contender: Contender
  readonly runs: readonly Drained[]
}

const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |\n`
export const table = (heading: readonly [string, ...string[]], rows: readonly (readonly string[])[]): string =>
  line(heading) + line(heading.map((_, column) => (column === 0 ? '---' : '---:'))) + rows.map(line).join('')
export const number = (value: number, digits = 0): string => (Number.isFinite(value) ? value.toFixed(digits) : '-')

export const medianOf = ({ runs }: Pick<Entry, 'runs'>, value: (run: Drained) => number): number =>
  median(runs.map(value))

const servers = ['contender', 'kafka', 'postgres', 'redis'] as const

export function drainTable(entries: readonly Entry[]): string {
  const raw = entries.find(({ contender }) => contender.name === 'raw')
  const rawRate = raw === undefined ? Number.NaN : medianOf(raw, (run) => run.perSecond)
  const rows = entries.map((entry) => {
    const of = (value: (run: Drained) => number) => medianOf(entry, value)
    const { stores, title } = entry.contender
    const rate = of((run) => run.perSecond)
    const stored = (text: string) => (stores ? text : '')
    return [
      title,
      Number.isFinite(rate) ? count(Math.round(rate)) : '-',
      stored(number(rate / rawRate, 2)),
      ...servers.map((name) =>
        number(
          of(({ cpu }) => cpu[name]),
          1,
        ),
      ),
      number(of((run) => run.residentMiB)),
      stored(number(of((run) => run.walBytes / run.rows))),
      stored(number(of((run) => run.diskBytes / run.rows))),
    ]
  })
  const cpu = ['its own', 'Kafka', 'PostgreSQL', 'Redis'].map((name) => `CPU s/million: ${name}`)
  return table(['what', 'events/s', 'of raw', ...cpu, 'peak MiB', 'WAL B/event', 'disk B/event'], rows)
}

export function steadyTable(runs: readonly (readonly [title: string, Steady])[], floor: Floor): string {
  const cells = ({ p50, p95, p99 }: Quantiles) => [p50, p95, p99].map((ms) => number(ms, 1))
  const rows = runs.flatMap(([title, { committedMs, medianSecond, acknowledgedMs, own, cpu, residentMiB }]) => {
    const used = [...servers.map((name) => `${number(cpu[name] * 100)} %`), number(residentMiB)]
    const empty = used.map(() => '')
    return [
      [title, ...cells(committedMs), ...used],
      ['  in the median second', ...cells(medianSecond), ...empty],
      ['  acknowledged to the load, warm-up included', ...cells(acknowledgedMs), ...empty],
      ...(own === null ? [] : [['  stored, by its own clock', ...cells(own.storedMs), ...empty]]),
      ...(own?.publishedMs ? [['  published, by its own clock', ...cells(own.publishedMs), ...empty]] : []),
    ]
  })
  const rate = runs[0]?.[1].rate ?? Number.NaN
  const cpu = ['its own', 'Kafka', 'PostgreSQL', 'Redis'].map((name) => `core: ${name}`)
  const alone = ['nobody: the load and Kafka alone, acknowledged', ...cells(floor.acknowledgedMs), '']
  return table(
    [`${number(rate)} events/s, due to committed`, 'p50 ms', 'p95 ms', 'p99 ms', ...cpu, 'peak MiB'],
    [[...alone, `${number(floor.kafkaCpu * 100)} %`, '', '', ''], ...rows],
  )
}
