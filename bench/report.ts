/** What a bench found, as tables for a terminal or a README. */
import { count } from '../src/core/count.ts'
import type { Contender } from './contenders/contender.ts'
import type { Drained } from './drain.ts'
import { median } from './median.ts'
import type { Quantiles, Steady } from './steady.ts'

export interface Entry {
  readonly contender: Contender
  readonly runs: readonly Drained[]
}

const line = (...cells: readonly string[]) => `| ${cells.join(' | ')} |\n`
const heading = (first: string, ...others: readonly string[]) =>
  line(first, ...others) + line('---', ...others.map(() => '---:'))
const number = (value: number, digits = 0) => (Number.isFinite(value) ? value.toFixed(digits) : '-')

export const medianOf = ({ runs }: Entry, value: (run: Drained) => number): number => median(runs.map(value))

export function drainTable(entries: readonly Entry[]): string {
  const raw = entries.find(({ contender }) => contender.name === 'raw')
  const rawRate = raw === undefined ? Number.NaN : medianOf(raw, (run) => run.perSecond)
  const rows = entries.map((entry) => {
    const of = (value: (run: Drained) => number) => medianOf(entry, value)
    const { stores, title } = entry.contender
    const rate = of((run) => run.perSecond)
    return line(
      title,
      Number.isFinite(rate) ? count(Math.round(rate)) : '-',
      stores ? number(rate / rawRate, 2) : '',
      number(
        of(({ cpu }) => cpu.contender),
        1,
      ),
      number(
        of(({ cpu }) => cpu.kafka),
        1,
      ),
      number(
        of(({ cpu }) => cpu.postgres),
        1,
      ),
      number(
        of(({ cpu }) => cpu.redis),
        1,
      ),
      number(of((run) => run.residentMiB)),
      stores ? number(of((run) => run.walBytes / run.rows)) : '',
      stores ? number(of((run) => run.diskBytes / run.rows)) : '',
    )
  })
  const cpu = ['its own', 'Kafka', 'PostgreSQL', 'Redis'].map((name) => `CPU s/million: ${name}`)
  return heading('what', 'events/s', 'of raw', ...cpu, 'peak MiB', 'WAL B/event', 'disk B/event') + rows.join('')
}

export function steadyTable({ rate, storedMs, publishedMs, residentMiB }: Steady): string {
  const medianSecond = (seconds: readonly Quantiles[]): Quantiles => ({
    p50: median(seconds.map(({ p50 }) => p50)),
    p95: median(seconds.map(({ p95 }) => p95)),
    p99: median(seconds.map(({ p99 }) => p99)),
  })
  const rows = [
    ['produced to stored', storedMs],
    ['produced to published', publishedMs],
    ['to stored, the median second', medianSecond(storedMs.seconds)],
    ['to published, the median second', medianSecond(publishedMs.seconds)],
  ] as const
  return (
    heading(`at ${number(rate)} events/s`, 'p50 ms', 'p95 ms', 'p99 ms', 'peak MiB') +
    rows
      .map(([title, { p50, p95, p99 }]) =>
        line(title, number(p50, 1), number(p95, 1), number(p99, 1), number(residentMiB)),
      )
      .join('')
  )
}
