/** Where partitions are to go on: what it means, told; and with --yes that it is so. Behind `offsets set` and `offsets restore`. */
import { FatalError } from '../core/errors.ts'
import type { Settings } from '../core/settings.ts'
import { streamKey } from '../flow/publish/keys.ts'
import { openRedis } from '../flow/publish/redis.ts'
import { connectRedis } from '../process/connect-redis.ts'
import type { Session } from '../schema/sql.ts'
import { apply, type By } from './apply.ts'
import type { OffsetsContext, OffsetsFlags } from './command.ts'
import { type Plan, planSet } from './plan.ts'
import { renderPlans } from './print.ts'
import type { KafkaState, LedgerState, Target } from './read.ts'

export const usage = (what: string, remedy: string) => new FatalError('USAGE', what, remedy)

/** Answers the exit code: 1 when something was refused. */
export async function decide(
  session: Session,
  target: Target,
  rows: readonly LedgerState[],
  goals: ReadonlyMap<number, number>,
  kafka: KafkaState,
  by: Omit<By, 'actor'>,
  flags: OffsetsFlags,
  context: OffsetsContext,
): Promise<number> {
  const { settings, consumer, actor, now, write } = context
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
    const moved = await apply(session, target, plans, aside, { ...by, actor })
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
  return kafka.at(timeOf('--to', to, 'earliest, latest, an offset, or '))
}

export function timeOf(option: string, text: string, others = ''): number {
  const timeMs = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/.test(text)
    ? Date.parse(text)
    : Number.NaN
  if (!Number.isNaN(timeMs)) return timeMs
  throw usage(`${option} reads '${text}'.`, `It takes ${others}a time like 2026-11-21T09:30:00Z.`)
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
