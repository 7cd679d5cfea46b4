/** The end of a load test for people: a table of the runs, each goal with what was measured, the proof. */
import { count } from '../core/count.ts'
import { bytes, milliseconds, type Paint } from '../live/style.ts'
import { renderTable } from '../simulate/table.ts'
import { renderVerify } from '../verify/print.ts'
import { type LoadResult, readRows, type SuiteResult } from './result.ts'

const columns = ['', 'events', 'per s', 'p50', 'p95', 'p99', 'p99.9', 'max', 'caught up', ''] as const

export function renderResult(result: LoadResult, paint: Paint): string {
  const rows = result.suites.map((suite) => [...cells(suite), suite.kept ? 'kept' : 'MISSED'])
  const [head = '', ...lines] = renderTable(columns, rows).trimEnd().split('\n')
  const end = result.publishes ? 'published' : 'stored'
  const text = [
    '',
    paint(
      `From due to ${end}, on ${result.replicas} replicas and ${result.partitions} partitions; seed ${result.seed}`,
      'bold',
    ),
    paint(head, 'dim'),
    ...lines.map((line, index) => paintLast(line, result.suites[index] as SuiteResult, paint)),
    '',
    ...result.suites.flatMap((suite) => goalLines(suite, paint)),
    ...result.suites.flatMap((suite) => [...usageLine(suite), ...readerLines(suite)]),
    '',
    renderVerify(result.proof, result.publishes).trimEnd(),
    ...result.troubles.map((text) => `but: ${text}`),
    '',
    result.passed
      ? paint('PASSED: every goal is kept, nothing is lost', 'bold', 'green')
      : paint(`FAILED: ${failures(result).join('; ')}`, 'bold', 'red'),
  ]
  return `${text.join('\n')}\n`
}

function cells({ name, sent, ratePerSecond, stored, published, catchUpSeconds }: SuiteResult): string[] {
  const { p50, p95, p99, p999, max } = published ?? stored
  const ms = (value: number | null) => milliseconds(value ?? Number.NaN)
  return [
    name,
    count(sent),
    count(ratePerSecond),
    ...[p50, p95, p99, p999, max].map(ms),
    `${catchUpSeconds.toFixed(1)} s`,
  ]
}

function paintLast(line: string, { kept }: SuiteResult, paint: Paint): string {
  const word = kept ? 'kept' : 'MISSED'
  return `${line.slice(0, -word.length)}${paint(word, 'bold', kept ? 'green' : 'red')}`
}

function goalLines({ name, what, goals, findings }: SuiteResult, paint: Paint): string[] {
  return [
    `${paint(name, 'bold')}  ${what}`,
    ...goals.map(
      ({ goal, measured, kept }) =>
        `  ${kept ? paint('kept  ', 'green') : paint('MISSED', 'red')}  ${goal}: ${measured}`,
    ),
    ...findings.map((text) => `  found   ${text}`),
  ]
}

/** What a million events cost each process, and the most memory it had. */
function usageLine({ name, cpuSecondsPerMillion, memoryPeak }: SuiteResult): string[] {
  const parts = Object.entries(cpuSecondsPerMillion).map(
    ([process, seconds]) => `${process} ${seconds.toFixed(1)} s, ${bytes(memoryPeak[process] ?? Number.NaN)}`,
  )
  return parts.length === 0 ? [] : ['', `${name}: CPU per million events, highest memory`, ...wrapped(parts)]
}

function readerLines({ name, readers }: SuiteResult): string[] {
  if (readers === null) return []
  const rows = readRows(readers).map(([what, many, p50, p99]) => [
    what,
    count(many),
    milliseconds(p50),
    milliseconds(p99),
  ])
  return ['', `${name}: readers beside it`, renderTable(['', 'how many', 'p50', 'p99'], rows).trimEnd()]
}

/** Two to a line. */
function wrapped(parts: readonly string[]): string[] {
  const lines: string[] = []
  for (let at = 0; at < parts.length; at += 2) {
    lines.push(`  ${(parts[at] as string).padEnd(36)}${parts[at + 1] ?? ''}`.trimEnd())
  }
  return lines
}

/** What did not hold, in short: goals by suite, the proof, the rest. */
export function failures(result: LoadResult): string[] {
  return [
    ...result.suites.flatMap(({ name, kept, goals, findings }) => {
      const missed = goals.filter((goal) => !goal.kept).map(({ goal, measured }) => `${name}: ${goal}, but ${measured}`)
      return kept || missed.length > 0 ? missed : [`${name}: ${findings[0] ?? 'not kept'}`]
    }),
    ...(result.proof.holds ? [] : ['the proof does not hold']),
    ...result.troubles,
  ]
}
