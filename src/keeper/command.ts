/**
 * `millrace partitions`: what the keeper does, by hand, and what it would do. Whatever changes something says so first (--dry-run, or no --yes), tells
 * each day as it is done, and leaves one row in the audit, also where it ended half-way.
 */
import { dayOf, dayText, parseDay } from '../core/day.ts'
import { explain, FatalError } from '../core/errors.ts'
import type { Settings } from '../core/settings.ts'
import { connectPostgres, postgresFailure } from '../process/connect-postgres.ts'
import { type AuditEntry, audit } from '../schema/audit.ts'
import { requireSchema, schemaState } from '../schema/migrate.ts'
import { ensurePartitions, type Partition, type Partitions, readPartitions } from '../schema/partitions.ts'
import { quoted, type Session, sqlState } from '../schema/sql.ts'
import type { PartitionsAction, PartitionsFlags } from './flags.ts'
import { listPartitions, renderList, size } from './list.ts'
import { dueToRetire, dueToSeal, isClosed, isSealed } from './plan.ts'
import { retire } from './retire.ts'
import { seal } from './seal.ts'
import { type Duty, inTurn, keeperSession } from './turn.ts'

export interface PartitionsOptions {
  readonly settings: Settings
  /** As in the consumer file, or as given; bare. */
  readonly table: string
  /** user@host. */
  readonly actor: string
  readonly signal: AbortSignal
  readonly now: () => number
  /** The answer. */
  readonly write: (text: string) => void
  /** Progress. */
  readonly writeError: (text: string) => void
}

interface Work extends PartitionsOptions {
  readonly session: Session
  readonly flags: PartitionsFlags
  /** The table for SQL. */
  readonly relation: string
  readonly found: Partitions
}

/** A day to be worked on, and what is to be known of it. */
interface Task {
  readonly day: number
  readonly note?: string
}

export async function partitionsCommand(
  action: PartitionsAction,
  days: readonly string[],
  flags: PartitionsFlags,
  options: PartitionsOptions,
): Promise<void> {
  const { settings, table, signal } = options
  const given = days.map((text) => dayGiven(text))
  const session = await connectPostgres(settings, `millrace partitions ${action}`)
  // Ends a statement that waits or builds; whatever is half done is taken up by the next one.
  const stop = () => void session.end().catch(() => {})
  signal.addEventListener('abort', stop, { once: true })
  try {
    await session.query(keeperSession)
    requireSchema(await schemaState(session))
    const relation = quoted(table)
    const { rows } = await session.query('select to_regclass($1) is not null as there', [relation])
    if (!rows[0].there) {
      throw new FatalError(
        'SCHEMA_MISSING',
        `There is no table ${table} in the search_path.`,
        'Name another with --table or --consumer.',
      )
    }
    const found = await readPartitions(session, relation)
    await actions[action]({ ...options, session, flags, relation, found }, given)
  } catch (error) {
    if (signal.aborted)
      throw new Error('interrupted; what is half done is taken up by the keeper, or by running this again', {
        cause: error,
      })
    throw error instanceof FatalError || sqlState(error) === undefined ? error : postgresFailure(error, settings)
  } finally {
    signal.removeEventListener('abort', stop)
    await session.end().catch(() => {})
  }
}

const actions: Record<PartitionsAction, (work: Work, given: readonly number[]) => Promise<void>> = {
  async list({ session, relation, flags, now, write }) {
    const listed = await listPartitions(session, relation, now())
    write(flags.json ? `${JSON.stringify(listed)}\n` : renderList(listed))
  },

  async make(work, given) {
    const { settings, flags, found, session, relation, signal, now } = work
    const today = dayOf(now())
    const from = flags.from === undefined ? today : dayGiven(flags.from)
    const to = flags.to === undefined ? Math.max(from, today + settings.partitionsAheadDays) : dayGiven(flags.to)
    if (to < from || to - from > 3660) throw usage(`${dayText(from)} to ${dayText(to)} is no range of up to ten years.`)
    const range =
      given.length > 0 && flags.from === undefined ? [] : Array.from({ length: to - from + 1 }, (_, n) => from + n)
    const there = new Set(found.partitions.filter(({ state }) => state === 'attached').map(({ day }) => day))
    const wanted = [...new Set([...given, ...range])].sort((a, b) => a - b)
    const missing = wanted.filter((day) => !there.has(day))
    await perform(
      work,
      'make',
      missing.map((day) => ({ day })),
      async (day) => {
        const made = await ensurePartitions(session, relation, [day], { signal })
        return made.length > 0 ? 'made' : 'there already'
      },
    )
  },

  async drop(work, given) {
    const { settings, flags, found, session, relation, signal, now } = work
    const { retentionDays, eventPastDaysMax } = settings
    const before = flags.before === undefined ? undefined : dayGiven(flags.before)
    if (given.length === 0 && before === undefined && retentionDays === 0) {
      throw usage('retentionDays is 0, so nothing is beyond it. Name days, or --before a day.')
    }
    const due =
      given.length > 0 || before !== undefined
        ? found.partitions.filter(
            ({ day, state }) => given.includes(day) || (state === 'attached' && before !== undefined && day < before),
          )
        : dueToRetire(found, now(), { ...settings, aheadDays: settings.partitionsAheadDays })
    refuseUnknown(given, due)
    const listed = new Map((await listPartitions(session, relation, now())).partitions.map((one) => [one.name, one]))
    const oldest = dayOf(now()) - eventPastDaysMax
    const tasks = due.map((one) => {
      const { rows = 0, bytes = 0 } = listed.get(one.name) ?? {}
      const late = one.day >= oldest ? '; within the window, so the next event of that day makes it again' : ''
      return { day: one.day, note: `${one.state}, some ${Math.round(rows)} rows, ${size(bytes)}${late}` }
    })
    const how = flags.keep ? 'detach' : settings.retention
    await perform(work, 'drop', tasks, (day) =>
      turn(work, 'days', async () => {
        const became = await retire(session, relation, day, { how, signal })
        if (became === null) return 'left alone: somebody has detached it by hand'
        return became === 'drop' ? 'dropped' : 'detached'
      }),
    )
  },

  async seal(work, given) {
    const { settings, found, session, relation, signal, now, writeError } = work
    const due =
      given.length > 0
        ? found.partitions.filter((one) => given.includes(one.day) && one.state === 'attached')
        : dueToSeal(found, now(), { ...settings, sealAfterHours: settings.sealAfterHours || 1, aheadDays: 0 })
    refuseUnknown(given, due)
    for (const { day } of due) {
      if (isClosed(day, Math.min(now(), found.serverMs), 0)) continue
      throw usage(`${dayText(day)} has not ended: its indexes would slow down what is stored now.`)
    }
    await perform(
      work,
      'seal',
      due.filter((one) => !isSealed(one)).map(({ day }) => ({ day })),
      (day) =>
        turn(work, 'seal', async () => {
          const onStep = (step: string) => writeError(`${dayText(day)}: ${step}\n`)
          return (await seal(session, relation, day, { signal, onStep })) ? 'sealed' : 'sealed already'
        }),
    )
  },
}

/** Says what would be done, or does it, day by day, and writes it down. */
async function perform(
  work: Work,
  action: 'make' | 'drop' | 'seal',
  tasks: readonly Task[],
  one: (day: number) => Promise<string>,
) {
  const { flags, found, session, table, actor, write } = work
  const dry = flags.dryRun === true || (action === 'drop' && flags.yes !== true)
  const done: { day: string; outcome: string }[] = []
  if (dry || tasks.length === 0) {
    if (flags.json) return write(`${JSON.stringify({ table, action, dryRun: dry, days: tasks.map(shown), done })}\n`)
    for (const { day, note } of tasks)
      write(`${dayText(day)}: would ${action}${note === undefined ? '' : ` (${note})`}\n`)
    const rest = action === 'drop' && dry && !flags.dryRun ? ' Nothing was changed: add --yes to do it.' : ''
    return write(
      tasks.length === 0
        ? `${table}: nothing to ${action}.\n`
        : `${table}: ${tasks.length} days to ${action}.${rest}\n`,
    )
  }
  if (action !== 'make' && !found.owned) {
    throw new FatalError(
      'POSTGRES_DENIED',
      `Only ${found.owner}, the owner of ${table}, may ${action} its days.`,
      'Run this as the owner.',
    )
  }
  const { rows } = await session.query("select has_table_privilege('audit', 'INSERT') as granted")
  if (!rows[0].granted)
    throw new FatalError(
      'POSTGRES_DENIED',
      'The user may not write to the audit.',
      'GRANT INSERT ON audit to it, or run this as the owner.',
    )
  let failure: unknown
  for (const { day } of tasks) {
    try {
      work.signal.throwIfAborted()
      const outcome = await one(day)
      done.push({ day: dayText(day), outcome })
      if (!flags.json) write(`${dayText(day)}: ${outcome}\n`)
    } catch (error) {
      failure = error
      break
    }
  }
  const detail = { done, ...(failure !== undefined && { failed: explain(failure) }) }
  const entry = { actor, action: `partitions ${action}`, target: table, detail }
  if (!work.signal.aborted) await audit(session, entry)
  else await auditApart(work, entry)
  if (flags.json) write(`${JSON.stringify({ table, action, dryRun: false, days: tasks.map(shown), done })}\n`)
  if (failure !== undefined) throw failure
}

/** Interrupted, the work's own session is gone. */
async function auditApart({ settings }: Work, entry: AuditEntry): Promise<void> {
  const session = await connectPostgres(settings, 'millrace partitions')
  try {
    await audit(session, entry)
  } finally {
    await session.end()
  }
}

const shown = ({ day, note }: Task) => ({ day: dayText(day), ...(note !== undefined && { note }) })

async function turn<T>({ session, relation }: Work, duty: Duty, work: () => Promise<T>): Promise<T> {
  const result = await inTurn(session, relation, duty, work)
  if (result !== undefined) return result.done
  throw new FatalError(
    'POSTGRES_BUSY',
    'The keeper of a running process is at this very work.',
    'Wait for it (`millrace partitions list`), or stop the fleet.',
  )
}

function dayGiven(text: string): number {
  const day = parseDay(text)
  if (day === undefined) throw usage(`'${text}' is no day.`)
  return day
}

function refuseUnknown(given: readonly number[], due: readonly Partition[]): void {
  const unknown = given.filter((day) => !due.some((one) => one.day === day))
  if (unknown.length > 0) throw usage(`There is no partition of ${unknown.map(dayText).join(', ')}.`)
}

const usage = (what: string) =>
  new FatalError('USAGE', what, 'Days are written 2026-11-21, in UTC; `millrace partitions --help` says more.')
