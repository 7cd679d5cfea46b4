/** Makes the target that a description names, and refuses the ones that live flows write to. */
import type pg from 'pg'
import { FatalError } from '../core/errors.ts'
import type { Settings } from '../core/settings.ts'
import { kafkaConfig } from '../process/connect-kafka.ts'
import { connectRedis } from '../process/connect-redis.ts'
import type { LoadedConsumer } from '../process/load-consumer.ts'
import { quoted, type Session } from '../schema/sql.ts'
import type { ReplayDescription } from './description.ts'
import { openFileTarget } from './file-target.ts'
import { openKafkaTarget } from './kafka-target.ts'
import { openTableTarget } from './postgres-table-target.ts'
import { openRedisTarget } from './redis-target.ts'
import { type LineOutput, openStdoutTarget } from './stdout-target.ts'
import type { ReplayTarget, TargetState } from './target.ts'
import { openWebhookTarget } from './webhook-target.ts'

export interface OpenTargetOptions {
  readonly settings: Settings
  /** The one that holds the replay's lock. */
  readonly session: pg.Client
  readonly consumer: LoadedConsumer
  readonly description: ReplayDescription
  /** False: the replay is gone on with. */
  readonly isNew: boolean
  readonly state: TargetState
  /** Null: nobody would see it. */
  readonly stdout: LineOutput | null
}

const live = (what: string, remedy: string) => new FatalError('REPLAY_TARGET', what, remedy)

/** What the fleet feeds is no target, whatever it is called. */
export async function refuseLive(
  session: Session,
  consumer: LoadedConsumer,
  { target }: ReplayDescription,
): Promise<void> {
  const { topic, table, families = [] } = consumer.definition
  if (target.kind === 'redis') {
    const { rows } = await session.query('select distinct jsonb_object_keys(streams) as family from ledger')
    const family = [...families, ...rows.map((row) => row.family as string)].find(
      (one) => target.stream === one || target.stream.startsWith(`${one}:{`),
    )
    if (family !== undefined)
      throw live(`${target.stream} is a live stream, of the family ${family}.`, 'Name a stream of its own.')
  }
  if (target.kind === 'kafka') {
    const { rows } = await session.query('select from ledger where topic = $1 limit 1', [target.topic])
    if (target.topic === topic || rows.length > 0)
      throw live(
        `${target.topic} is a topic that a fleet reads: what is replayed would come in again.`,
        'Name another one.',
      )
  }
  if (target.kind === 'table' && target.table === table)
    throw live(`${table} is the table that the fleet writes.`, 'Name another one; it is made if it is not there.')
  if (target.kind === 'table') {
    // Those that fleets write have parts, one for each day; a view may be of one of them.
    const { rows } = await session.query(
      "select from pg_class where oid = to_regclass($1) and (relkind <> 'r' or relispartition)",
      [quoted(target.table)],
    )
    if (rows.length > 0)
      throw live(
        `${target.table} is no plain table: it has parts, is one, or is a view.`,
        'Name one of its own; it is made if it is not there.',
      )
  }
}

export async function openTarget(options: OpenTargetOptions): Promise<ReplayTarget> {
  const { settings, session, consumer, description, isNew, state, stdout } = options
  const { target } = description
  switch (target.kind) {
    case 'stdout':
      if (stdout === null) throw live('There is no standard output here.', 'Choose another target.')
      return openStdoutTarget(stdout)
    case 'file':
      return openFileTarget({ path: target.path, format: target.format, isNew, state })
    case 'redis': {
      if (settings.redisUrls.length === 0)
        throw new FatalError('SETTINGS_INVALID', 'There is no Redis in the settings.', 'Set MILLRACE_REDIS.')
      const redis = await connectRedis(settings, { name: 'millrace-replay' })
      try {
        return await openRedisTarget({ redis, stream: target.stream, isNew })
      } catch (error) {
        redis.disconnect()
        throw error
      }
    }
    case 'table': {
      const { table: like, topic } = consumer.definition
      return openTableTarget({ session, replayId: description.id, table: target.table, like, topic, isNew })
    }
    case 'kafka':
      return openKafkaTarget({ kafka: kafkaConfig(settings), topic: target.topic })
    case 'webhook':
      return openWebhookTarget({ url: target.url, mode: target.mode })
  }
}
