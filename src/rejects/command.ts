/**
 * `millrace rejects ...`: look at what could not be stored, send it again, or judge it. Nothing is changed without --yes, each change is a row of
 * `audit`, and no reject is ever deleted.
 */
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { count } from '../core/count.ts'
import { FatalError } from '../core/errors.ts'
import { wholeFlag } from '../core/flag.ts'
import type { Settings } from '../core/settings.ts'
import { openKafka } from '../process/connect-kafka.ts'
import { connectPostgres, postgresFailure } from '../process/connect-postgres.ts'
import { loadConsumer } from '../process/load-consumer.ts'
import { requireSchema, schemaState } from '../schema/migrate.ts'
import { type Session, sqlState } from '../schema/sql.ts'
import { discard } from './discard.ts'
import { describeFilter, type FilterFlags, readFilter } from './filter.ts'
import { groupings } from './flags.ts'
import { renderGroups, renderList, renderReject } from './print.ts'
import { actionOf, countAll, every, type FullReject, type Grouping, grouped, newest, one } from './read.ts'
import { type RedriveFlags, redriveCommand } from './redrive-command.ts'

export interface RejectsIo {
  readonly write: (text: string) => void
  readonly writeBytes: (bytes: Uint8Array) => void
  readonly writeError: (text: string) => void
  /** Width to fit tables into; unbounded where nobody looks. */
  readonly columns: number
  /** Whether writeError reaches a terminal, which can show progress. */
  readonly terminal: boolean
}

export interface RejectsContext {
  readonly settings: Settings
  readonly actor: string
  readonly now: () => number
  readonly signal: AbortSignal
}

export type RejectsFlags = RedriveFlags & {
  readonly by?: string
  readonly limit?: string
  readonly output?: string
  readonly raw?: boolean
  readonly reason?: string
}

const usage = (what: string, remedy: string) => new FatalError('USAGE', what, remedy)
const json = (io: RejectsIo, value: unknown) => io.write(`${JSON.stringify(value)}\n`)

/** Opens what it needs, does it, closes it. Answers the exit code. */
export async function rejectsCommand(
  action: 'list' | 'show' | 'export' | 'discard' | 'redrive',
  id: string | undefined,
  flags: RejectsFlags,
  context: RejectsContext,
  io: RejectsIo,
): Promise<number> {
  const { settings } = context
  const session = await connectPostgres(settings, `millrace rejects ${action}`)
  try {
    requireSchema(await schemaState(session))
    switch (action) {
      case 'list':
        return await list(session, flags, context, io)
      case 'show':
        return await show(session, id as string, flags, io)
      case 'export':
        return await exportAll(session, flags, context, io)
      case 'discard':
        return await discardCommand(session, flags, context, io)
      case 'redrive':
        return await redriveCommand(
          session,
          openKafka(settings),
          flags,
          { ...context, topic: await topicOf(flags) },
          io,
        )
    }
  } catch (error) {
    if (error instanceof FatalError || sqlState(error) === undefined) throw error
    throw postgresFailure(error, settings)
  } finally {
    await session.end().catch(() => {})
  }
}

const topicOf = async ({ consumer }: RejectsFlags) => (await loadConsumer(consumer)).definition.topic

async function list(session: Session, flags: RejectsFlags, { now }: RejectsContext, io: RejectsIo): Promise<number> {
  const filter = readFilter(flags, now())
  const limit = wholeFlag('limit', flags.limit ?? '50', 1)
  if (flags.by === undefined) {
    const rows = await newest(session, filter, limit)
    if (flags.json) for (const row of rows) json(io, row)
    else io.write(renderList(rows, await countAll(session, filter), io.columns))
    return 0
  }
  if (!(groupings as readonly string[]).includes(flags.by)) {
    throw usage(`--by reads '${flags.by}'.`, `It takes ${groupings.join(', ')}.`)
  }
  const groups = await grouped(session, filter, flags.by as Grouping, limit)
  if (flags.json) for (const group of groups) json(io, group)
  else io.write(renderGroups(flags.by, groups, await countAll(session, filter), io.columns))
  return 0
}

async function show(session: Session, text: string, flags: RejectsFlags, io: RejectsIo): Promise<number> {
  const id = String(wholeFlag('id', text, 1))
  const reject = await one(session, id)
  if (reject === null) throw usage(`There is no reject ${id}.`, '`millrace rejects list --state all` shows the newest.')
  if (flags.raw) io.writeBytes(reject.value ?? Buffer.alloc(0))
  else if (flags.json) json(io, exported(reject))
  else io.write(renderReject(reject, await actionOf(session, reject)))
  return 0
}

/** One line of an export. Headers stay pairs with base64, as they are in the table. */
export function exported(reject: FullReject): Record<string, unknown> {
  const { key, value } = reject
  return { ...reject, key: key?.toString('base64') ?? null, value: value?.toString('base64') ?? null }
}

async function exportAll(session: Session, flags: RejectsFlags, context: RejectsContext, io: RejectsIo) {
  const filter = readFilter(flags, context.now())
  if (flags.output === undefined) {
    for await (const reject of every(session, filter)) {
      if (context.signal.aborted) return 1
      json(io, exported(reject))
    }
    return 0
  }
  // What a crash leaves must not look like an export, and an older one is not to be written over.
  const file = createWriteStream(flags.output, { flags: 'wx' })
  let lines = 0
  try {
    await once(file, 'open')
    for await (const reject of every(session, filter)) {
      context.signal.throwIfAborted()
      if (!file.write(`${JSON.stringify(exported(reject))}\n`)) await once(file, 'drain')
      lines++
    }
    file.end()
    await once(file, 'finish')
  } catch (error) {
    file.destroy()
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') throw usage(`${flags.output} exists.`, 'Name another file for --output, or remove it first.')
    if (code === 'ENOSPC')
      throw new FatalError('DISK_FULL', `${flags.output} cannot be written to its end.`, 'Make room.')
    if (code?.startsWith('E')) throw usage(`${flags.output} cannot be written (${code}).`, 'Name another for --output.')
    if (!context.signal.aborted) throw error
    io.writeError(`Interrupted: ${flags.output} holds only the first ${count(lines)} rejects.\n`)
    return 1
  }
  io.writeError(`${count(lines)} rejects in ${flags.output}.\n`)
  return 0
}

async function discardCommand(session: Session, flags: RejectsFlags, context: RejectsContext, io: RejectsIo) {
  const filter = readFilter(flags as FilterFlags, context.now(), ['open'])
  const { reason = '' } = flags
  if (!flags.yes || flags.dryRun) {
    const selected = await countAll(session, filter)
    if (flags.json) json(io, { selected, discarded: 0, run: null })
    else {
      io.write(`Would discard ${count(selected)} rejects of '${filter.consumer}' (${describeFilter(filter)}).\n`)
      io.write('Nothing was changed: add --reason TEXT and --yes to do it.\n')
    }
    return 0
  }
  if (reason.trim() === '') throw usage('--reason is missing.', 'Say why: it is all that will be known later.')
  const result = await discard(session, filter, { actor: context.actor, reason })
  if (flags.json) json(io, { selected: result.discarded, ...result })
  else if (result.run === null) io.write('No rejects: nothing was changed.\n')
  else
    io.write(
      `Discarded ${count(result.discarded)} rejects, audit ${result.run}. Their rows stay (--state discarded).\n`,
    )
  return 0
}
