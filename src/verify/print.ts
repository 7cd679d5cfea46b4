/** The proof for people: a table of what was counted, a verdict in one line, and sentences for the first things that are wrong. */
import { count } from '../core/count.ts'
import type { VerifyResult } from './verify.ts'

/** `produced` is what Kafka holds of the range that was judged. */
export function renderVerify(result: VerifyResult, streams: boolean): string {
  const rows: [string, number, string][] = [
    ['records', result.produced, `in Kafka, on ${count(result.partitions)} partitions`],
    ['rows', result.rows, 'events stored'],
    ['rejects', result.rejects, 'records that are no event, kept with their bytes'],
    ['duplicates', result.duplicates, "a producer's second copies of events stored"],
  ]
  if (result.skips > 0) rows.push(['skips', result.skips, 'records that are not ours'])
  if (streams) rows.push(['entries', result.entries, 'events published'])
  if (result.trimmed > 0)
    rows.push(['trimmed', result.trimmed, 'entries gone from the heads of their streams, as settings ask'])
  if (result.awaited > 0) rows.push(['awaited', result.awaited, 'rows on their way to their streams'])
  if (result.unchecked > 0)
    rows.push(['unchecked', result.unchecked, 'rows and rejects whose records Kafka no longer holds'])
  rows.push(['lost', result.lost, ''], ['duplicated', result.duplicated, ''], ['out of order', result.outOfOrder, ''])
  if (result.wrong > 0) rows.push(['wrong', result.wrong, 'content, keys, counters or marks'])

  const width = Math.max(...rows.map(([, value]) => count(value).length))
  const table = rows.map(([name, value, what]) =>
    `  ${name.padEnd(12)}  ${count(value).padStart(width)}  ${what}`.trimEnd(),
  )
  const problems = result.problems.map(
    ({ kind, text }) => `  ${kind === 'outOfOrder' ? 'out of order' : kind}: ${text}`,
  )
  const found = result.lost + result.duplicated + result.outOfOrder + result.wrong
  const untold = found - result.problems.length
  if (problems.length > 0 && untold > 0) problems.push(`  and ${count(untold)} more`)
  return `${[...table, '', verdict(result), ...problems].join('\n')}\n`
}

/** One line; the first word says it. */
export function verdict({
  holds,
  lost,
  duplicated,
  outOfOrder,
  wrong,
  comparedInFull,
  rows,
  seconds,
}: VerifyResult): string {
  const took = `${seconds.toFixed(1)} s`
  if (!holds) {
    const found = [`${count(lost)} lost`, `${count(duplicated)} duplicated`, `${count(outOfOrder)} out of order`]
    if (wrong > 0) found.push(`${count(wrong)} wrong`)
    return `BROKEN: ${found.join(', ')} (${took})`
  }
  const compared = comparedInFull >= rows ? 'all rows' : `${count(comparedInFull)} rows`
  return `HOLDS: 0 lost, 0 duplicated, in order; ${compared} compared in full (${took})`
}
