/** `millrace offsets` for people: a table, and beneath it what needs somebody. */
import { count } from '../core/count.ts'
import type { Stopped } from '../core/ledger.ts'
import type { Plan, Range } from './plan.ts'
import type { SavedPosition } from './positions.ts'

export interface Shown {
  readonly partition: number
  readonly startOffset: number
  readonly nextOffset: number
  readonly publishedOffset: number | null
  readonly settledOffset: number | null
  readonly earliestOffset: number | null
  readonly latestOffset: number | null
  readonly lagRecords: number | null
  readonly lagSeconds: number | null
  readonly headroomRecords: number | null
  readonly state: string
  readonly stopped: Stopped | null
  readonly passedOver: readonly Range[]
}

const orDash = (value: number | null) => (value === null ? '-' : count(value))

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((name, column) => Math.max(name.length, ...rows.map((row) => (row[column] as string).length)))
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => (column === cells.length - 1 ? cell : cell.padStart(widths[column] as number)))
      .join('  ')
  return [head, ...rows].map(line).join('\n')
}

export function renderShow(shown: readonly Shown[], topic: string, members: number): string {
  const rows = shown.map((one) => [
    String(one.partition),
    orDash(one.startOffset),
    orDash(one.nextOffset),
    orDash(one.publishedOffset),
    orDash(one.settledOffset),
    orDash(one.earliestOffset),
    orDash(one.latestOffset),
    orDash(one.lagRecords),
    one.lagSeconds === null ? '-' : `${one.lagSeconds.toFixed(1)} s`,
    orDash(one.headroomRecords),
    one.stopped === null ? one.state : `stopped: ${one.stopped.code}`,
  ])
  const head = [
    'partition',
    'start',
    'next',
    'published',
    'settled',
    'earliest',
    'latest',
    'lag',
    'behind',
    'headroom',
    'state',
  ]
  const stopped = shown.flatMap(({ partition, stopped }) =>
    stopped === null ? [] : [`${topic}/${partition} is stopped since ${stopped.at}: ${stopped.reason}`],
  )
  const left = shown.flatMap(({ partition, passedOver }) =>
    passedOver.length === 0
      ? []
      : [
          `${topic}/${partition}: left out by decision: ${passedOver.map(([from, to]) => `${from} to ${to - 1}`).join(', ')}`,
        ],
  )
  return `${[table(head, rows), '', `${members} members in the group`, ...stopped, ...left].join('\n')}\n`
}

export function renderPlans(plans: readonly Plan[], topic: string, done: boolean): string {
  const lines = plans.map(({ partition, before, after, says, refusal }) => {
    const what = `${topic}/${partition}: ${before.nextOffset} -> ${after.nextOffset}: ${says}`
    return refusal === null ? what : `${what}\n  REFUSED: ${refusal}`
  })
  const sum = (of: (plan: Plan) => number) => count(plans.reduce((total, plan) => total + of(plan), 0))
  const refused = plans.filter(({ refusal }) => refusal !== null).length
  lines.push(
    '',
    `${plans.length} partitions; ${sum(({ skipped }) => skipped)} offsets left out, ${sum(({ again }) => again)} read again`,
    done ? 'Done.' : refused > 0 ? 'Nothing was changed.' : 'Nothing was changed: add --yes to do it.',
  )
  return `${lines.join('\n')}\n`
}

export interface ShownAt {
  readonly partition: number
  readonly earliestOffset: number
  readonly offset: number
  readonly latestOffset: number
  readonly fromThenOn: number
  /** Of the ledger; null: it does not know the partition. */
  readonly nextOffset: number | null
}

export function renderAt(shown: readonly ShownAt[], topic: string, at: string): string {
  const rows = shown.map((one) => [
    String(one.partition),
    orDash(one.earliestOffset),
    orDash(one.offset),
    orDash(one.latestOffset),
    orDash(one.fromThenOn),
    orDash(one.nextOffset),
    one.offset === one.latestOffset
      ? 'no record since'
      : one.nextOffset === null
        ? 'not in the ledger'
        : one.nextOffset > one.offset
          ? 'stored'
          : 'to come',
  ])
  const head = ['partition', 'earliest', 'offset', 'latest', 'from then on', 'ledger', 'that record']
  const sum = count(shown.reduce((total, one) => total + one.fromThenOn, 0))
  return `${table(head, rows)}\n\n${topic}: ${sum} offsets from ${at} on\n`
}

export function renderPositions(all: readonly SavedPosition[]): string {
  if (all.length === 0) return 'No position was saved.\n'
  const rows = all.map(({ name, savedAt, actor, source, offsets }) => [
    name,
    savedAt,
    actor,
    source,
    count(offsets.size),
    count([...offsets.values()].reduce((sum, one) => sum + one, 0)),
  ])
  return `${table(['name', 'saved', 'by', 'of', 'partitions', 'offsets, summed'], rows)}\n`
}
