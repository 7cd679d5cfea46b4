/** `millrace offsets` for people: a table, and beneath it what needs somebody. */
import { count } from '../core/count.ts'
import type { Stopped } from '../core/ledger.ts'
import type { Plan, Range } from './plan.ts'

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
