/** The final table: one row a scenario, for terminals and as Markdown. Pure. */
import { count } from '../../src/core/count.ts'
import type { Result } from './run.ts'

export interface Row {
  readonly scenario: string
  readonly cells: readonly string[]
}

export const heads = [
  'scenario',
  'rounds',
  'events',
  'lost',
  'duplicated',
  'out of order',
  'worst recovery (s)',
  'bound (s)',
  'worst lag (s)',
  'highest RSS (MiB)',
  'verdict',
] as const

const seconds = (ms: number) => (ms / 1000).toFixed(1)

export function rowOf(result: Result): string[] {
  const { counted, recoveries, rounds, roundsWanted } = result
  const figure = (of: (found: NonNullable<Result['counted']>) => number) =>
    counted === null ? '?' : count(of(counted))
  return [
    result.scenario,
    rounds === roundsWanted ? String(rounds) : `${rounds} of ${roundsWanted}`,
    figure(({ events }) => events),
    figure(({ lost }) => lost),
    figure(({ duplicated }) => duplicated),
    figure(({ outOfOrder }) => outOfOrder),
    recoveries.length === 0 ? '-' : seconds(Math.max(...recoveries.map(({ ms }) => ms))),
    seconds(result.recoveryMsMax),
    result.worstLagSeconds.toFixed(1),
    String(Math.round(result.residentBytesMax / 1024 ** 2)),
    result.holds ? 'holds' : 'DOES NOT HOLD',
  ]
}

export function renderTable(results: readonly Result[]): string {
  const rows = [[...heads], ...results.map(rowOf)]
  const widths = heads.map((_, column) => Math.max(...rows.map((row) => (row[column] as string).length)))
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) =>
        column === 0 || column === heads.length - 1
          ? cell.padEnd(widths[column] as number)
          : cell.padStart(widths[column] as number),
      )
      .join('  ')
      .trimEnd()
  return `${rows.map(line).join('\n')}\n`
}

export function renderMarkdown(results: readonly Result[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |\n`
  const rule = heads.map((_, column) => (column === 0 || column === heads.length - 1 ? '---' : '---:'))
  return [heads, rule, ...results.map(rowOf)].map(line).join('')
}

/** The command that runs the same scenario with the same choices. */
export function commandOf({ scenario, seed, roundsWanted, rate, replicas, partitions }: Result): string {
  return `npm run chaos -- --scenario ${scenario} --rounds ${roundsWanted} --seed ${seed} --rate ${rate} --replicas ${replicas} --partitions ${partitions}`
}
