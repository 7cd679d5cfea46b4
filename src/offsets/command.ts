/**
 * `millrace offsets show|set`: where the partitions of a consumer stand, and a decision about where they go on. `set` tells what it means and does
 * nothing without --yes; with it, the ledger moves and an audit row is written in one transaction. A replica that serves the partition is fenced by the
 * ledger at its next batch and goes on from the new place; a stopped partition is looked at every few seconds and begins by itself.
 */
import { FatalError } from '../core/errors.ts'
import type { Settings } from '../core/settings.ts'
import { streamKey } from '../flow/publish/keys.ts'
import { openRedis } from '../flow/publish/redis.ts'
import { isTopicMissing, kafkaConfig, kafkaFailure, openKafka, topicMissing } from '../process/connect-kafka.ts'
import { connectPostgres, postgresFailure } from '../process/connect-postgres.ts'
import { connectRedis } from '../process/connect-redis.ts'
import type { LoadedConsumer } from '../process/load-consumer.ts'
import { requireSchema, schemaState } from '../schema/migrate.ts'
import { type Session, sqlState } from '../schema/sql.ts'
import { apply } from './apply.ts'
import type { OffsetsAction } from './flags.ts'
import { type Plan, planSet } from './plan.ts'
import { renderPlans, renderShow, type Shown } from './print.ts'
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
}

const usage = (what: string, remedy: string) => new FatalError('USAGE', what, remedy)

/** Answers the exit code: 1 when something was refused. */
export async function offsetsCommand(
  action: OffsetsAction,
  flags: OffsetsFlags,
  context: OffsetsContext,
): Promise<number> {
  const { settings, consumer } = context
  const { topic, table } = consumer.definition
  const target: Target = { consumer: consumer.name, topic, table }
  const wanted = partitionsOf(flags.partition)
  if (action === 'set' && (wanted === undefined || flags.to === undefined))
    throw usage('offsets set needs --partition and --to.', 'millrace offsets set --help shows how.')
  const session = await connectPostgres(settings, `millrace ${consumer.name} offsets`)
  try {
    requireSchema(await schemaState(session))
    const group = settings.group || consumer.name
    return await withKafka(openKafka(settings), topic, group, async (kafka) => {
      const all = await readLedger(session, target)
      const rows = wanted === undefined || wanted === 'all' ? all : all.filter(({ partition }) => wanted.has(partition))
      const unknown =
        wanted instanceof Set ? [...wanted].filter((one) => !rows.some((row) => row.partition === one)) : []
      if (unknown.length > 0)
        throw usage(
          `The ledger has no partition ${unknown.join(', ')} of ${topic}.`,
          'millrace offsets show lists them.',
        )
      return action === 'show' ? show(rows, kafka, flags, context) : set(session, target, rows, kafka, flags, context)
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

async function set(
  session: Session,
  target: Target,
  rows: readonly LedgerState[],
  kafka: KafkaState,
  flags: OffsetsFlags,
  context: OffsetsContext,
): Promise<number> {
  const { settings, consumer, actor, now, write } = context
  const goals = await goalsOf(flags.to as string, rows, kafka)
  const publishes = consumer.definition.route !== undefined && settings.redisUrls.length > 0
  const held = await lastIds(rows, publishes, settings, consumer.name)
  const plans = rows.map((row) => {
    const marks = kafka.marks.get(row.partition)
    if (marks === undefined)
      throw usage(`Kafka has no partition ${row.partition} of ${target.topic}.`, 'Look at the topic.')
    const key = (family: string) => streamKey(family, row.partition)
    const plan = planSet(row, marks, goals.get(row.partition) ?? marks.high, held.get(row.partition) ?? new Map(), {
      publishes,
      key,
    })
    const served = kafka.members > 0 && !row.stopped && plan.kind !== 'same' && flags.force !== true
    if (plan.refusal !== null || !served) return plan
    const refusal = `it is not stopped, and the group has ${kafka.members} members: stop the fleet first, or --force (the replica that serves it is fenced by the ledger at its next batch, and goes on from the new place)`
    return { ...plan, refusal }
  })
  const refused = plans.filter(({ refusal }) => refusal !== null)
  let done = false
  if (flags.yes === true && flags.dryRun !== true && refused.length === 0) {
    const aside = `${target.topic}~${new Date(now()).toISOString().replaceAll(/[-:]|\.\d+/g, '')}`
    const moved = await apply(session, target, plans, aside, actor)
    if (moved.length > 0) {
      throw new FatalError(
        'FENCED',
        `Partitions ${moved.join(', ')} have moved on meanwhile; nothing was changed.`,
        'Run it again, or stop the fleet first.',
      )
    }
    done = true
  }
  if (flags.json) write(`${JSON.stringify({ done, plans: plans.map(plainPlan) })}\n`)
  else write(renderPlans(plans, target.topic, done))
  return refused.length > 0 ? 1 : 0
}

const plainPlan = ({ partition, kind, before, after, skipped, again, says, refusal }: Plan) => ({
  partition,
  kind,
  from: before.nextOffset,
  to: after.nextOffset,
  skipped,
  again,
  says,
  refusal,
})

export async function goalsOf(
  to: string,
  rows: readonly LedgerState[],
  kafka: Pick<KafkaState, 'marks' | 'at'>,
): Promise<ReadonlyMap<number, number>> {
  if (to === 'earliest') return new Map([...kafka.marks].map(([partition, { low }]) => [partition, low]))
  if (to === 'latest') return new Map([...kafka.marks].map(([partition, { high }]) => [partition, high]))
  if (/^\d+$/.test(to)) return new Map(rows.map(({ partition }) => [partition, Number(to)]))
  const timeMs = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/.test(to) ? Date.parse(to) : Number.NaN
  if (Number.isNaN(timeMs))
    throw usage(`--to reads '${to}'.`, 'It takes earliest, latest, an offset, or a time like 2026-11-21T09:30:00Z.')
  return kafka.at(timeMs)
}

async function lastIds(rows: readonly LedgerState[], publishes: boolean, settings: Settings, name: string) {
  const found = new Map<number, Map<string, number>>()
  if (!publishes) return found
  const redis = await connectRedis(settings, { name: `millrace-${name}-offsets` })
  try {
    const wanted = rows.flatMap(({ partition, streams }) =>
      [...streams.keys()].map((family) => ({ partition, family })),
    )
    const last = await openRedis({ redis, streamLengthMax: settings.streamLengthMax }).last(wanted)
    for (const [index, { partition, family }] of wanted.entries()) {
      const own = found.get(partition) ?? new Map<string, number>()
      found.set(partition, own.set(family, last[index] as number))
    }
  } finally {
    redis.disconnect()
  }
  return found
}
