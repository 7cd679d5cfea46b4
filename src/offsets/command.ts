/**
 * `millrace offsets ...`: where the partitions of a consumer stand, which offsets a time has, and a decision about where they go on. `set` and `restore`
 * tell what it means and do nothing without --yes; with it, the ledger moves and an audit row is written in one transaction. A replica that serves the partition is fenced by the
 * ledger at its next batch and goes on from the new place; a stopped partition is looked at every few seconds and begins by itself.
 */
import { FatalError } from '../core/errors.ts'
import type { Settings } from '../core/settings.ts'
import { isTopicMissing, kafkaConfig, kafkaFailure, openKafka, topicMissing } from '../process/connect-kafka.ts'
import { connectPostgres, postgresFailure } from '../process/connect-postgres.ts'
import type { LoadedConsumer } from '../process/load-consumer.ts'
import { requireSchema, schemaState } from '../schema/migrate.ts'
import { type Session, sqlState } from '../schema/sql.ts'
import { decide, goalsOf, timeOf, usage } from './decide.ts'
import type { OffsetsAction } from './flags.ts'
import {
  checkName,
  forgetPosition,
  listPositions,
  readPosition,
  type SavedPosition,
  savePosition,
} from './positions.ts'
import { renderAt, renderPositions, renderShow, type Shown, type ShownAt } from './print.ts'
import {
  type KafkaState,
  type LedgerState,
  oldestWaiting,
  readLedger,
  stateOf,
  type Target,
  withKafka,
} from './read.ts'

export interface OffsetsFlags {
  readonly partition?: string
  readonly to?: string
  /** Of `save`: a time in place of where the ledger stands. */
  readonly at?: string
  /** Of `at`: another topic than the consumer's. */
  readonly topic?: string
  readonly force?: boolean
  readonly dryRun?: boolean
  readonly yes?: boolean
  readonly json?: boolean
}

export interface OffsetsContext {
  readonly settings: Settings
  readonly consumer: LoadedConsumer
  readonly actor: string
  readonly now: () => number
  readonly signal: AbortSignal
  readonly write: (text: string) => void
  readonly writeError: (text: string) => void
}

/** `named`: a position's name, or of `at` the time. Answers the exit code: 1 when something was refused. */
export async function offsetsCommand(
  action: OffsetsAction,
  named: string | undefined,
  flags: OffsetsFlags,
  context: OffsetsContext,
): Promise<number> {
  const { settings, consumer } = context
  const { topic: own, table } = consumer.definition
  const topic = flags.topic ?? own
  const target: Target = { consumer: consumer.name, topic, table }
  const name = named ?? ''
  if (action === 'save') checkName(name)
  const wanted = partitionsOf(flags.partition)
  if (action === 'set' && (wanted === undefined || flags.to === undefined))
    throw usage('offsets set needs --partition and --to.', 'millrace offsets set --help shows how.')
  const session = await connectPostgres(settings, `millrace ${consumer.name} offsets`)
  try {
    requireSchema(await schemaState(session))
    if (action === 'positions') return positions(await listPositions(session, target), flags, context)
    if (action === 'forget') {
      await forgetPosition(session, target, name, context.actor)
      context.write(flags.json ? `${JSON.stringify({ forgot: name })}\n` : `Forgot '${name}'.\n`)
      return 0
    }
    const group = settings.group || consumer.name
    return await withKafka(openKafka(settings), topic, group, async (kafka) => {
      const all = await readLedger(session, target)
      const rows = wanted === undefined || wanted === 'all' ? all : all.filter(({ partition }) => wanted.has(partition))
      // Another topic has no ledger of ours, and may be asked about all the same.
      const unknown =
        wanted instanceof Set && action !== 'at'
          ? [...wanted].filter((one) => !rows.some((row) => row.partition === one))
          : []
      if (unknown.length > 0)
        throw usage(
          `The ledger has no partition ${unknown.join(', ')} of ${topic}.`,
          'millrace offsets show lists them.',
        )
      switch (action) {
        case 'show':
          return show(rows, kafka, flags, context)
        case 'at':
          return offsetsAt(name, topic, rows, kafka, flags, context)
        case 'save':
          return save(session, target, name, rows, kafka, flags, context)
        case 'set': {
          const goals = await goalsOf(flags.to as string, rows, kafka)
          return decide(session, target, rows, goals, kafka, { action: 'offsets set' }, flags, context)
        }
        case 'restore':
          return restore(session, target, name, rows, kafka, flags, context)
      }
    })
  } catch (error) {
    if (error instanceof FatalError) throw error
    if (isTopicMissing(error)) throw topicMissing(topic, '', error)
    if (error instanceof Error && error.name.startsWith('KafkaJS')) throw kafkaFailure(error, settings)
    throw sqlState(error) === undefined ? error : postgresFailure(error, settings)
  } finally {
    await session.end().catch(() => {})
  }
}

export function partitionsOf(text: string | undefined): Set<number> | 'all' | undefined {
  if (text === undefined || text === 'all') return text
  const numbers = text.split(',').map((one) => (/^\d+$/.test(one.trim()) ? Number(one) : Number.NaN))
  if (numbers.some(Number.isNaN))
    throw usage(`--partition reads '${text}'.`, 'It takes numbers like 3 or 3,7,12, or all.')
  return new Set(numbers)
}

async function show(rows: readonly LedgerState[], kafka: KafkaState, flags: OffsetsFlags, context: OffsetsContext) {
  const { consumer, settings, now, signal, write } = context
  const { topic } = consumer.definition
  const lagging = rows.flatMap((row) => {
    const marks = kafka.marks.get(row.partition)
    return marks === undefined || stateOf(row, marks) !== 'ok' || row.nextOffset >= marks.high
      ? []
      : [{ partition: row.partition, from: row.nextOffset, to: marks.high }]
  })
  const waiting = await oldestWaiting(kafkaConfig(settings), topic, lagging, signal)
  const shown = rows.map((row): Shown => {
    const marks = kafka.marks.get(row.partition)
    const oldest = waiting.get(row.partition)
    const { partition, startOffset, nextOffset, publishedOffset, stopped, passedOver } = row
    return {
      partition,
      startOffset,
      nextOffset,
      publishedOffset,
      settledOffset: kafka.settled.get(partition) ?? null,
      earliestOffset: marks?.low ?? null,
      latestOffset: marks?.high ?? null,
      lagRecords: marks === undefined ? null : Math.max(0, marks.high - nextOffset),
      lagSeconds:
        oldest === undefined
          ? lagging.some((one) => one.partition === partition)
            ? null
            : 0
          : (now() - oldest) / 1000,
      headroomRecords: marks === undefined ? null : nextOffset - marks.low,
      state: marks === undefined ? 'not in Kafka' : stateOf(row, marks),
      stopped: stopped ?? null,
      passedOver,
    }
  })
  if (flags.json)
    write(`${JSON.stringify({ consumer: consumer.name, topic, members: kafka.members, partitions: shown })}\n`)
  else write(renderShow(shown, topic, kafka.members))
  return 0
}

/** The first record of a time on, in every partition, by the records' own Kafka timestamps. */
async function offsetsAt(
  text: string,
  topic: string,
  rows: readonly LedgerState[],
  kafka: KafkaState,
  flags: OffsetsFlags,
  { write }: OffsetsContext,
): Promise<number> {
  const timeMs = timeOf('the time', text)
  const found = await kafka.at(timeMs)
  const ledger = new Map(rows.map((row) => [row.partition, row]))
  const wanted = partitionsOf(flags.partition)
  const shown = [...kafka.marks]
    .filter(([partition]) => !(wanted instanceof Set) || wanted.has(partition))
    .sort(([a], [b]) => a - b)
    .map(([partition, { low, high }]): ShownAt => {
      const offset = found.get(partition) ?? high
      const nextOffset = ledger.get(partition)?.nextOffset ?? null
      return { partition, earliestOffset: low, offset, latestOffset: high, fromThenOn: high - offset, nextOffset }
    })
  const at = new Date(timeMs).toISOString()
  write(flags.json ? `${JSON.stringify({ topic, at, partitions: shown })}\n` : renderAt(shown, topic, at))
  return 0
}

async function save(
  session: Session,
  target: Target,
  name: string,
  rows: readonly LedgerState[],
  kafka: KafkaState,
  flags: OffsetsFlags,
  { actor, write }: OffsetsContext,
): Promise<number> {
  const source = flags.at === undefined ? 'ledger' : new Date(timeOf('--at', flags.at)).toISOString()
  const at = flags.at === undefined ? null : await kafka.at(Date.parse(source))
  const offsets = new Map(rows.map(({ partition, nextOffset }) => [partition, at?.get(partition) ?? nextOffset]))
  if (offsets.size === 0)
    throw usage(
      `${target.consumer} has no position in ${target.topic} yet.`,
      'It has one as soon as it has stored something.',
    )
  const topicId = kafka.marks.get(rows[0]?.partition ?? 0)?.topicId ?? null
  await savePosition(session, target, { name, actor, source, topicId, offsets })
  const saved = { name, source, partitions: Object.fromEntries(offsets) }
  write(flags.json ? `${JSON.stringify(saved)}\n` : `Saved '${name}': ${offsets.size} partitions, by ${source}.\n`)
  return 0
}

function positions(all: readonly SavedPosition[], flags: OffsetsFlags, { write }: OffsetsContext): number {
  const plain = all.map(({ offsets, ...one }) => ({ ...one, positions: Object.fromEntries(offsets) }))
  write(flags.json ? `${JSON.stringify(plain)}\n` : renderPositions(all))
  return 0
}

async function restore(
  session: Session,
  target: Target,
  name: string,
  rows: readonly LedgerState[],
  kafka: KafkaState,
  flags: OffsetsFlags,
  context: OffsetsContext,
): Promise<number> {
  const saved = await readPosition(session, target, name)
  const now = [...kafka.marks.values()][0]?.topicId
  if (saved.topicId !== null && now !== undefined && now !== null && saved.topicId !== now)
    throw new FatalError(
      'TOPIC_RECREATED',
      `'${name}' is of another topic that had the name ${target.topic}: its offsets mean other records.`,
      '`millrace offsets set` takes earliest, latest or a time.',
    )
  const known = rows.filter(({ partition }) => saved.offsets.has(partition))
  const unknown = rows.filter(({ partition }) => !saved.offsets.has(partition)).map(({ partition }) => partition)
  if (unknown.length > 0)
    context.writeError(`'${name}' says nothing of partition ${unknown.join(', ')}: left as they are\n`)
  const { savedAt, source, actor: savedBy } = saved
  const by = { action: 'offsets restore', because: { position: name, savedAt, savedBy, source } } as const
  return decide(session, target, known, saved.offsets, kafka, by, flags, context)
}
