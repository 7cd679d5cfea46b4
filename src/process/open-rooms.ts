/** Connects, checks what must hold, and opens a technology for each room: the one place that says which. */
import kafkajs from 'kafkajs'
import type { Logger } from 'pino'
import type { Sleep } from '../core/backoff.ts'
import { dayMs } from '../core/day.ts'
import { FatalError } from '../core/errors.ts'
import type { KnownRun } from '../core/reject-limit.ts'
import type { Settings } from '../core/settings.ts'
import { registerCodecs } from '../flow/consume/codecs.ts'
import { openKafkajs } from '../flow/consume/kafkajs.ts'
import { kafkajsLog } from '../flow/consume/kafkajs-log.ts'
import type { Consume } from '../flow/consume/port.ts'
import { openPiscina } from '../flow/decode/piscina.ts'
import type { Decode } from '../flow/decode/port.ts'
import type { Persist } from '../flow/persist/port.ts'
import { openPostgres } from '../flow/persist/postgres.ts'
import { publishNothing } from '../flow/publish/none.ts'
import type { Publish } from '../flow/publish/port.ts'
import { openRedis } from '../flow/publish/redis.ts'
import { type AskRedisSize, openRedisSize } from '../flow/publish/redis-size.ts'
import { requireDays } from '../keeper/require-days.ts'
import { atMost } from './at-most.ts'
import { kafkaConfig, kafkaRefusal } from './connect-kafka.ts'
import { connectPostgres, postgresConfig, postgresFailure } from './connect-postgres.ts'
import { connectRedis, redisFailure } from './connect-redis.ts'
import type { LoadedConsumer } from './load-consumer.ts'
import { checkPostgres, checkRedis, checkTopic } from './preflight.ts'
import { rejectRuns } from './reject-runs.ts'

export interface OpenRooms {
  readonly consume: Consume
  readonly decode: Decode
  readonly persist: Persist
  readonly publish: Publish
  /** False: the consumer has no route, or Redis is off. */
  readonly publishes: boolean
  readonly partitionCount: number
}

export interface OpenedRooms extends OpenRooms {
  /** The days that the table has partitions for, tomorrow's among them. */
  readonly days: readonly number[]
  readonly rejectRuns: readonly KnownRun[]
  /** null: nothing is published. */
  readonly redisSize: AskRedisSize | null
  /** Batches that wait for a decoding thread. */
  readonly decodeQueued: () => number
}

export interface OpenRoomsOptions {
  readonly settings: Settings
  readonly consumer: LoadedConsumer
  readonly logger: Logger
  readonly nowMs: () => number
  readonly sleep: Sleep
  readonly signal: AbortSignal
  /** A room has failed beside any batch. */
  readonly onError: (error: Error) => void
  /** A connection to Redis was made anew: it may have come back with less. */
  readonly onRedisBack: () => void
}

const hourMs = 3_600_000
const valueBytesMax = 16 * 1024 * 1024
/** Spans of single events, and links of a batch's span: enough to find one's way by, whatever producers sample. */
const tracedMax = 32
/** kafkajs restarts inside itself so many times in a row before the process would rather start anew. */
const clientRestartsMax = 10

/** Whatever is wrong is one FatalError; what was opened until then is closed with `stack`. */
export async function openRooms(options: OpenRoomsOptions, stack: AsyncDisposableStack): Promise<OpenedRooms> {
  const { settings, consumer, logger, nowMs, sleep, signal } = options
  const { name, url, definition } = consumer
  const { topic, table } = definition
  const publishes = definition.route !== undefined && settings.redisUrls.length > 0

  registerCodecs()
  const kafka = new kafkajs.Kafka(kafkaConfig(settings, kafkajsLog(logger)))
  const preflight = await connectPostgres(settings, `millrace ${name} preflight`)
  let partitionCount: number
  let days: number[]
  let runs: KnownRun[]
  try {
    await checkPostgres(preflight, consumer)
    partitionCount = await checkTopic(kafka, preflight, consumer, settings)
    days = await requireDays(preflight, table, nowMs(), signal)
    runs = await rejectRuns(preflight, name, topic, settings.rejectRunMax)
  } catch (error) {
    throw error instanceof FatalError ? error : postgresFailure(error, settings)
  } finally {
    await preflight.end().catch(() => {})
  }

  let publish = publishNothing
  let redisSize: AskRedisSize | null = null
  if (publishes) {
    const redis = await connectRedis(settings, {
      name: `millrace-${name}`,
      onError: (error) => {
        logger.debug({ err: error }, 'redis connection error')
        // A password that was changed: the process that is started in our place reads the new one.
        if (/^(WRONGPASS|NOAUTH)/.test(error.message)) options.onError(redisFailure(error, settings))
      },
    })
    stack.defer(() => redis.disconnect())
    await checkRedis(redis, definition.families ?? []).catch((error: unknown) => {
      throw error instanceof FatalError ? error : redisFailure(error, settings)
    })
    // Of a cluster, a node that comes back by itself is as suspect.
    redis.on('ready', options.onRedisBack).on('+node', options.onRedisBack)
    redisSize = openRedisSize(redis)
    publish = openRedis({ redis, streamLengthMax: settings.streamLengthMax })
  }

  const persist = openPostgres({
    target: { consumer: name, topic, table },
    connection: postgresConfig(settings, `millrace ${name}`),
    transactionTimeoutMs: settings.transactionTimeoutMs,
    lockTimeoutMs: settings.lockTimeoutMs,
  })
  stack.defer(() => atMost(persist.close(), sleep))

  const decode = openPiscina({
    definition,
    consumerUrl: url,
    limits: {
      consumer: name,
      eventPastMsMax: settings.eventPastDaysMax * dayMs,
      eventFutureMsMax: settings.eventFutureHoursMax * hourMs,
      valueBytesMax,
      tracedMax: settings.traces === 'on' ? tracedMax : 0,
    },
    workers: settings.workers,
    now: nowMs,
    onError: options.onError,
  })
  stack.defer(() => atMost(decode.close(), sleep))

  const group = settings.group || name
  const consume = openKafkajs({
    ...settings,
    kafka,
    topic,
    group,
    restartsMax: clientRestartsMax,
    refusal: (error) => kafkaRefusal(error, settings),
  })
  return {
    consume,
    decode,
    persist,
    publish,
    publishes,
    partitionCount,
    days,
    rejectRuns: runs,
    redisSize,
    decodeQueued: () => decode.queued,
  }
}
