/** Which rejects a command is about: from the command line's text to a condition in SQL with its values. */
import { parseDuration } from '../core/duration.ts'
import { FatalError } from '../core/errors.ts'
import { wholeFlag } from '../core/flag.ts'
import { nearest } from '../core/nearest.ts'
import { rejectCodes } from '../core/verdict.ts'

export const states = ['open', 'redriving', 'redriven', 'discarded'] as const
export type State = (typeof states)[number]

/** As it is kept in `audit.detail`: absolute times, names as in the table. */
export interface RejectFilter {
  readonly consumer: string
  readonly states: readonly State[]
  readonly ids?: readonly string[]
  readonly codes?: readonly string[]
  /** Of the moment it was rejected: since <= it < until. */
  readonly since?: string
  readonly until?: string
  readonly topic?: string
  readonly partition?: number
  readonly type?: string
  readonly tenant?: string
}

export interface FilterFlags {
  readonly consumer: string
  readonly code?: readonly string[]
  readonly since?: string
  readonly until?: string
  readonly topic?: string
  readonly partition?: string
  readonly type?: string
  readonly tenant?: string
  readonly state?: string
  readonly id?: readonly string[]
}

/** `may`: the states this command can do something about. */
export function readFilter(flags: FilterFlags, nowMs: number, may: readonly State[] = states): RejectFilter {
  const { consumer, code: codes, topic, type, tenant } = flags
  const ids = flags.id?.map((id) => String(wholeFlag('id', id, 1)))
  return {
    consumer,
    states: readStates(flags.state ?? 'open', may),
    ...(ids !== undefined && ids.length > 0 && { ids }),
    ...(codes !== undefined && codes.length > 0 && { codes: codes.map(knownCode) }),
    ...(flags.since !== undefined && { since: moment('since', flags.since, nowMs) }),
    ...(flags.until !== undefined && { until: moment('until', flags.until, nowMs) }),
    ...(topic !== undefined && { topic }),
    ...(flags.partition !== undefined && { partition: wholeFlag('partition', flags.partition, 0) }),
    ...(type !== undefined && { type }),
    ...(tenant !== undefined && { tenant }),
  }
}

export interface Condition {
  readonly sql: string
  readonly values: readonly unknown[]
}

/** On the columns of `rejects r`; its values are $1 and so on. */
export function condition(filter: RejectFilter): Condition {
  const values: unknown[] = []
  const parts: string[] = []
  const add = (sql: string, value: unknown) => {
    if (value === undefined) return
    values.push(value)
    parts.push(sql.replace('?', `$${values.length}`))
  }
  add('r.consumer = ?', filter.consumer)
  add('r.state = any (?)', filter.states)
  add('r.id = any (?::bigint[])', filter.ids)
  add('r.code = any (?)', filter.codes)
  add('r.rejected_at >= ?::timestamptz', filter.since)
  add('r.rejected_at < ?::timestamptz', filter.until)
  add('r.topic = ?', filter.topic)
  add('r.partition = ?', filter.partition)
  add('r.event_type = ?', filter.type)
  add('r.tenant_id = ?', filter.tenant)
  return { sql: parts.join(' and '), values }
}

/** For people: what was asked for beyond the consumer. */
export function describeFilter({ consumer: _, states: which, ...rest }: RejectFilter): string {
  const parts = Object.entries(rest).map(
    ([name, value]) => `${name} ${Array.isArray(value) ? value.join(', ') : value}`,
  )
  return [`state ${which.join(', ')}`, ...parts].join('; ')
}

const usage = (what: string, remedy: string) => new FatalError('USAGE', what, remedy)

function readStates(text: string, may: readonly State[]): readonly State[] {
  if (text === 'all' && may === states) return states
  if ((may as readonly string[]).includes(text)) return [text as State]
  const allowed = may === states ? [...states, 'all'] : may
  throw usage(`--state reads '${text}'.`, `Here it takes ${allowed.join(', ')}.`)
}

function knownCode(code: string): string {
  // SQLSTATEs and codes of older versions are codes too; a slip of the pen is worth a word.
  const guess = code in rejectCodes || /^[0-9A-Z]{5}$/.test(code) ? null : nearest(code, Object.keys(rejectCodes))
  if (guess === null) return code
  throw usage(`--code reads '${code}'.`, `Did you mean '${guess}'?`)
}

/** `2h` is two hours ago. */
function moment(option: string, text: string, nowMs: number): string {
  if (/^\d{4}-\d\d-\d\d/.test(text)) {
    // A date without a time is its beginning in UTC, and so is a time without a zone: the same on every machine.
    const zoned = /T/i.test(text) && !/(?:z|[+-]\d\d:?\d\d)$/i.test(text) ? `${text}Z` : text
    const ms = Date.parse(zoned)
    if (!Number.isNaN(ms)) return new Date(ms).toISOString()
    throw usage(`--${option} reads '${text}'.`, 'Write 2026-11-21T09:30:00Z, or how long ago: 2h, 3d.')
  }
  return new Date(nowMs - parseDuration(text, `--${option}`)).toISOString()
}
