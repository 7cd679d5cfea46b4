/** `millrace state ...`: what a subject was, how it came to be, and snapshots of it. Only `snapshot` and `snapshots --drop --yes` change anything, in tables of their own. */
import { count } from '../core/count.ts'
import { FatalError } from '../core/errors.ts'
import { wholeFlag } from '../core/flag.ts'
import type { Settings } from '../core/settings.ts'
import { connectPostgres, postgresFailure } from '../process/connect-postgres.ts'
import type { LoadedConsumer } from '../process/load-consumer.ts'
import { type LoadedReducer, loadReducer, reducerFor, reducerNames } from '../process/load-reducer.ts'
import { requireSchema, schemaState } from '../schema/migrate.ts'
import { sqlState } from '../schema/sql.ts'
import type { StateAction, StateFlags } from './flags.ts'
import type { History, Place } from './history.ts'
import { dayOfInstant, type Instant, instantOfMs, readInstant } from './instant.ts'
import { withHistory } from './postgres-history.ts'
import { placeText, renderBetween, renderJudged, renderMade, renderState, renderTimeline } from './print.ts'
import {
  checkSnapshot,
  dropSnapshots,
  isUseless,
  type Judged,
  judgeSnapshots,
  makeSnapshot,
  restoreSnapshot,
  type Shelf,
} from './snapshots.ts'
import { requireKept, stateAt } from './state-at.ts'
import { between, timeline } from './timeline.ts'

export interface StateContext {
  readonly settings: Settings
  readonly consumer: LoadedConsumer
  readonly actor: string
  readonly now: () => number
  readonly signal: AbortSignal
  readonly write: (text: string) => void
  readonly writeError: (text: string) => void
}

const usage = (what: string, remedy: string) => new FatalError('USAGE', what, remedy)

/** Answers the exit code. */
export async function stateCommand(
  action: Exclude<StateAction, 'debug'>,
  subjects: readonly string[],
  flags: StateFlags,
  context: StateContext,
): Promise<number> {
  return withSession(context, `millrace state ${action}`, async (shelf) => {
    switch (action) {
      case 'show':
      case 'timeline':
      case 'diff':
      case 'restore':
        return ask(action, subjects[0] as string, flags, context, shelf)
      case 'snapshot':
        return keep(subjects, flags, context, shelf)
      case 'snapshots':
        return list(subjects[0], flags, context, shelf)
    }
  })
}

/** A connected session of a migrated database; Ctrl-C ends it, whatever it is at. Answers the exit code. */
export async function withSession(
  { settings, consumer, actor, signal, writeError }: StateContext,
  name: string,
  work: (shelf: Shelf) => Promise<number>,
): Promise<number> {
  const session = await connectPostgres(settings, name)
  const cut = () => session.connection?.stream.destroy()
  signal.addEventListener('abort', cut, { once: true })
  try {
    // The server looks for a client that has gone, so that what was cut off does not go on reading.
    await session.query("set client_connection_check_interval = '1s'")
    requireSchema(await schemaState(session))
    return await work({ session, table: consumer.definition.table, actor })
  } catch (error) {
    if (signal.aborted) {
      writeError('stopped\n')
      return 1
    }
    if (error instanceof FatalError) throw error
    throw sqlState(error) === undefined ? error : postgresFailure(error, settings)
  } finally {
    signal.removeEventListener('abort', cut)
    await session.end().catch(() => {})
  }
}

export const reducerOf = (flags: StateFlags, subject: string): Promise<LoadedReducer> =>
  flags.reducer === undefined ? reducerFor(subject) : loadReducer(flags.reducer)

async function ask(
  action: 'show' | 'timeline' | 'diff' | 'restore',
  subject: string,
  flags: StateFlags,
  context: StateContext,
  { session, table }: Shelf,
): Promise<number> {
  const { write } = context
  const reducer = await reducerOf(flags, subject)
  const isAt = action === 'show' || action === 'restore'
  const { from, to } = isAt ? readRange({ to: flags.at ?? 'now' }, context, 'at') : readRange(flags, context)
  const known = flags.known === undefined ? {} : { known: instant('known', flags.known, context) }
  const limit = wholeFlag('limit', flags.limit ?? '100', 1, 10_000)
  const after = flags.after === undefined ? {} : { after: readPlace(flags.after) }
  const told = { subject, reducer: reducer.name, consumer: context.consumer.name, ...known }
  const text = await withHistory(session, table, async (history) => {
    await warn(history, from, to, context)
    switch (action) {
      case 'show': {
        const shown = await stateAt(history, reducer, subject, to, { ...known, full: flags.full === true })
        if (!flags.json) return renderState(subject, reducer.name, shown)
        const { at, state, events, read, last, snapshot, begins, days } = shown
        const passedOver = shown.passedOver.map((one) => ({ at: one.snapshot.at, ...one.standing }))
        const since = days[0]?.day
        return { ...told, at, state, events, read, last: last?.event ?? null, snapshot, passedOver, begins, since }
      }
      case 'timeline': {
        const states = flags.states === true
        const found = await timeline(history, reducer, subject, { from, to, limit, states, ...after, ...known })
        // An empty page is an answer; a subject that nobody knows, or a time that nobody remembers, is not.
        if (found.items.length === 0) await stateAt(history, reducer, subject, to, known)
        if (!flags.json) return renderTimeline(subject, found)
        return { ...told, items: found.items, next: found.next === null ? null : placeText(found.next) }
      }
      case 'diff': {
        if (from === null) throw usage('state diff needs --from.', 'millrace state diff --help shows how.')
        const found = await between(history, reducer, subject, from, to, known.known)
        if (found.start.events === 0) requireKept(found.start.days, from)
        if (found.start.events + found.events === 0) await stateAt(history, reducer, subject, to, known)
        if (!flags.json) return renderBetween(subject, from, to, found)
        const { before, after: state, changes, events } = found
        return { ...told, from, to, before, after: state, changes, events }
      }
      case 'restore': {
        const { snapshot, state } = await restoreSnapshot(history, reducer, subject, to)
        const verdict = flags.check ? await checkSnapshot(history, snapshot, reducer, await history.days()) : 'right'
        if (verdict === 'WRONG') throw wrong([{ snapshot, verdict, events: 0 }])
        if (verdict !== 'right') context.writeError(`${verdict}: days that it has are gone\n`)
        return flags.json ? { ...told, ...snapshot, state } : `${JSON.stringify(state, null, 2)}\n`
      }
    }
  })
  write(typeof text === 'string' ? text : `${JSON.stringify(text)}\n`)
  return 0
}

async function keep(subjects: readonly string[], flags: StateFlags, context: StateContext, shelf: Shelf) {
  const { to } = readRange({ to: flags.at ?? 'now' }, context, 'at')
  if (to > instantOfMs(context.now()))
    throw usage(`--at reads '${flags.at}', which is still to come.`, 'What happens until then is not known yet.')
  await withHistory(shelf.session, shelf.table, (history) => warn(history, null, to, context))
  const kept: object[] = []
  for (const subject of subjects) {
    context.signal.throwIfAborted()
    const reducer = await reducerOf(flags, subject)
    const made = await makeSnapshot(shelf, reducer, subject, to)
    if (!flags.json) context.write(renderMade(subject, made))
    kept.push({
      subject,
      reducer: reducer.name,
      hash: reducer.hash,
      at: made.at,
      events: made.events,
      isNew: made.isNew,
    })
  }
  if (flags.json) context.write(`${JSON.stringify(kept)}\n`)
  return 0
}

async function list(subject: string | undefined, flags: StateFlags, context: StateContext, shelf: Shelf) {
  const names = reducerNames()
  const limit = wholeFlag('limit', flags.limit ?? '100', 1, 100_000)
  const judged = await withHistory(shelf.session, shelf.table, (history) =>
    judgeSnapshots(history, {
      ...(subject !== undefined && { subject }),
      limit,
      check: flags.check === true,
      reducerOf: async (name) => (names.includes(name) ? loadReducer(name) : null),
      signal: context.signal,
    }),
  )
  const dropped = flags.drop ? judged.filter(isUseless) : []
  if (flags.yes && dropped.length > 0) await dropSnapshots(shelf, dropped)
  const isDone = flags.yes === true
  if (flags.json) {
    const plain = (one: Judged) => ({ ...one.snapshot, verdict: one.verdict, off: one.events })
    const drop = flags.drop ? { dropped: dropped.length, isDone } : {}
    context.write(`${JSON.stringify({ snapshots: judged.map(plain), ...drop })}\n`)
  } else {
    context.write(renderJudged(judged))
    if (flags.drop) {
      const what = `${count(dropped.length)} of them are of no use`
      context.write(`\n${isDone ? `${what} and were dropped.` : `${what}: add --yes to drop them.`}\n`)
    }
  }
  const bad = judged.filter(({ verdict }) => verdict === 'WRONG')
  if (bad.length > 0 && !(flags.drop && isDone)) throw wrong(bad)
  return 0
}

const wrong = (judged: readonly Judged[]) =>
  new FatalError(
    'SNAPSHOT_WRONG',
    `${judged.map(({ snapshot, verdict }) => `${snapshot.subject} at ${snapshot.at}: ${verdict}`).join('; ')}.`,
    'A reducer must be pure; if it is, somebody changed rows or snapshots by hand. `state snapshots --check --drop --yes` drops what is wrong.',
  )

/** `option`: where the end was written. */
export function readRange(flags: Pick<StateFlags, 'from' | 'to'>, context: StateContext, option = 'to') {
  const from = flags.from === undefined ? null : instant('from', flags.from, context)
  const to = instant(option, flags.to ?? 'now', context)
  if (from !== null && from > to) throw usage(`--from ${from} is after --to ${to}.`, 'Swap them.')
  return { from, to }
}

/** No event is further ahead than the settings let one in. */
export function instant(option: string, text: string, { now, settings }: StateContext): Instant {
  const nowMs = now()
  const found = readInstant(option, text, nowMs)
  const { eventFutureHoursMax } = settings
  if (found <= instantOfMs(nowMs + eventFutureHoursMax * 3_600_000)) return found
  throw usage(
    `--${option} reads '${text}', further ahead than any event may be.`,
    `eventFutureHoursMax is ${eventFutureHoursMax}.`,
  )
}

function readPlace(text: string): Place {
  const [, time, key] = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z),([0-9a-f-]{36})$/.exec(text) ?? []
  if (time === undefined || key === undefined)
    throw usage(`--after reads '${text}'.`, 'It takes what the page before has told at its end.')
  return { time: readInstant('after', time, 0), key }
}

/** Rows that are read in less time than it takes to read a line about them. */
const silentRows = 200_000

export async function warn(
  history: History,
  from: Instant | null,
  to: Instant,
  { writeError }: Pick<StateContext, 'writeError'>,
) {
  for (const { day, indexed, rows } of await history.days()) {
    const isMet = day <= dayOfInstant(to) && (from === null || day >= dayOfInstant(from))
    if (isMet && !indexed && rows > silentRows)
      writeError(`${day} is not sealed: some ${count(rows)} rows are read from end to end\n`)
  }
}
