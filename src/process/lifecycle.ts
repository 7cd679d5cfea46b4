/**
 * One process of the fleet, from its first connection to its last commit:
 *
 *   connect and check -> join the group -> serve the lanes -> drain -> settle -> leave
 *
 * Whatever is wrong before the first record is one FatalError. What happens while it serves, and how that ends, is service.ts's; here it is given
 * servers, the keeper of its days and the admin port.
 */
import type { Logger } from 'pino'
import type { Metrics } from '../core/registry.ts'
import { limitingRoom } from '../core/replicas.ts'
import type { Settings } from '../core/settings.ts'
import { readStatus, type Status } from '../core/status.ts'
import { openBusiness } from '../core/tally.ts'
import type { LaneTracer } from '../flow/trace.ts'
import { startKeeper } from '../keeper/keeper.ts'
import { pageRoutes } from '../live/page.ts'
import { openWatch } from '../live/watch.ts'
import { startAdmin } from './admin.ts'
import { atMost } from './at-most.ts'
import { connectPostgres } from './connect-postgres.ts'
import { partitionLags, sumOf } from './lag.ts'
import type { LoadedConsumer } from './load-consumer.ts'
import { openLogLevel } from './log-level.ts'
import { watchLoop } from './loop-watch.ts'
import { observeProcess } from './observe.ts'
import { openRooms } from './open-rooms.ts'
import { watchSaturation } from './saturation.ts'
import { type Clock, openService, type Service } from './service.ts'
import { watchRedis } from './watch-redis.ts'

export interface LifecycleOptions {
  readonly settings: Settings
  readonly consumer: LoadedConsumer
  readonly replica: string
  readonly version: string
  readonly logger: Logger
  readonly metrics: Metrics
  readonly clock: Clock
  /** Aborted: drain and return. */
  readonly drain: AbortSignal
  readonly onServing?: (adminUrl: string) => void
}

/** So often Redis is asked how full it is. */
const redisAskedMs = 15_000
const watchMs = 1000

export async function runConsumer(options: LifecycleOptions): Promise<void> {
  const { settings, consumer, logger, metrics, clock, drain } = options
  const { definition } = consumer
  const { topic } = definition
  const startedMs = clock.nowMs()
  const business = definition.metrics === undefined ? null : openBusiness(definition.metrics, clock.steadyMs)
  if (business !== null) metrics.include(business.series)
  await using stack = new AsyncDisposableStack()
  const stop = new AbortController()
  // Rooms may tell of trouble before there is a service to tell.
  const opened = Promise.withResolvers<Service>()
  const rooms = await openRooms(
    {
      settings,
      consumer,
      logger,
      nowMs: clock.nowMs,
      sleep: clock.sleep,
      signal: stop.signal,
      onError: (error) => void opened.promise.then((service) => service.fail(error)),
      onRedisBack: () => void opened.promise.then((service) => service.doubtStreams()),
    },
    stack,
  )
  const keeper = startKeeper({
    table: definition.table,
    policy: { ...settings, aheadDays: settings.partitionsAheadDays },
    connect: () => connectPostgres(settings, `millrace ${consumer.name} keeper`),
    days: rooms.days,
    nowMs: clock.nowMs,
    metrics,
    logger,
  })
  stack.defer(() => atMost(keeper.stop(), clock.sleep))
  stack.defer(watchLoop(settings.progressTimeoutMs))
  const service = openService({
    settings,
    consumer: consumer.name,
    topic,
    rooms,
    rejectRuns: rooms.rejectRuns,
    logger,
    metrics,
    business,
    tracerOf: settings.traces === 'on' ? await openTraces(options, rooms.publishes, stack) : null,
    clock,
    drain,
    stop,
    horizonDays: () => keeper.horizonDays(),
  })
  opened.resolve(service)
  const { assignment, absence, budget, lanes, observers, health } = service
  observeProcess(metrics, assignment, budget, topic, clock.nowMs, () => service.retentionMs())
  metrics.observe('decode_queue', () => [[{}, rooms.decodeQueued()]])
  metrics.observe('server_away', () => {
    const away = service.serversAway()
    return ['kafka', 'postgres', 'redis'].map((server) => [{ server }, away.has(server) ? 1 : 0])
  })
  metrics.observe('publish_away', () => [[{}, absence.away ? 1 : 0]])
  metrics.gauge('info', { version: options.version, consumer: consumer.name, replica: options.replica }).set(1)

  const flush = () => {
    for (const observer of observers) observer.flush()
  }
  const saturation = watchSaturation({
    metrics,
    steadyMs: clock.steadyMs,
    flush,
    partitions: rooms.partitionCount,
    lags: () => partitionLags(assignment, clock.nowMs()),
  })
  stack.defer(() => saturation.close())
  const status = (): Status => {
    flush()
    const lags = partitionLags(assignment, clock.nowMs())
    const lag = sumOf(lags)
    const lagSeconds = new Map(lags.map(({ partition, seconds }) => [partition, seconds]))
    const live = health.live()
    const ready = health.ready()
    return readStatus(
      {
        version: options.version,
        consumer: consumer.name,
        replica: options.replica,
        pid: process.pid,
        startedMs,
        atMs: clock.nowMs(),
        phase: service.phase(),
        live: live.ok,
        ready: ready.ok,
        reasons: [...live.reasons, ...ready.reasons],
        lagRecords: lag.records,
        lagSeconds: lag.seconds,
        bytesInFlight: budget.bytes,
        inFlightBytesMax: settings.inFlightBytesMax,
        residentBytes: process.memoryUsage.rss(),
        cpuSeconds: cpuSeconds(),
        lanes: lanes.length,
        publishes: rooms.publishes,
        topicPartitions: rooms.partitionCount,
        partitions: lanes.flatMap((lane) =>
          [...lane.partitions.values()].map(({ partition, marks, highWatermark }) => ({
            topic,
            partition,
            lane: lane.index,
            marks: marks.all(),
            endOffset: highWatermark,
            lagSeconds: lagSeconds.get(partition) ?? 0,
          })),
        ),
        usefulReplicas: saturation.useful(),
        limitingRoom: limitingRoom(saturation.load()),
        stopped: assignment.stopped.map(({ partition, code, error }) => ({ partition, code, reason: error.message })),
      },
      metrics,
    )
  }
  // A replica watches itself, so that its page knows of the minutes before somebody opened it.
  const watch = openWatch({
    consumer: consumer.name,
    // The others' are carried elsewhere: this page is about these.
    partitions: 0,
    replicas: [{ name: options.replica, state: { kind: 'serving', adminUrl: '', pid: process.pid }, restarts: 0 }],
    ask: async () => status(),
    lookMs: watchMs,
    unref: true,
    now: clock.nowMs,
  })
  const watching = new AbortController()
  stack.defer(() => watching.abort())
  watch
    .run(() => {}, watching.signal)
    .catch((error: unknown) => logger.error({ err: error }, 'the page of this replica stands still'))
  const admin = await startAdmin({
    host: settings.adminHost,
    port: settings.adminPort,
    metrics: {
      contentType: metrics.contentType,
      render: () => {
        flush()
        return metrics.render()
      },
    },
    live: () => health.live(),
    ready: () => health.ready(),
    status,
    page: pageRoutes(() => watch.picture(), options.replica),
    logLevel: openLogLevel(logger, { ...clock, signal: stop.signal }),
    logger,
  })
  stack.defer(() => admin.close())

  void every(1000, () => saturation.look())
  if (rooms.redisSize !== null) {
    const families = definition.families ?? []
    const isAway = () => absence.away
    void every(redisAskedMs, watchRedis({ ask: rooms.redisSize, metrics, assignment, families, isAway, logger }))
  }

  /** Until the service has ended. */
  async function every(ms: number, look: () => void | Promise<void>): Promise<void> {
    while (!stop.signal.aborted) {
      await look()
      await clock.sleep(ms, stop.signal).catch(() => {})
    }
  }

  const serving = service.serve()
  const { partitionCount: partitions, publishes } = rooms
  logger.info({ topic, partitions, lanes: lanes.length, publishes, admin: admin.url }, 'serving')
  options.onServing?.(admin.url)
  await serving
}

/** Loaded only where they are on. */
async function openTraces(
  { settings, consumer, replica, version, logger, metrics, clock }: LifecycleOptions,
  publishes: boolean,
  stack: AsyncDisposableStack,
): Promise<(lane: number) => LaneTracer> {
  const { openExporter } = await import('./export-spans.ts')
  const { openLaneTracer } = await import('./trace-batches.ts')
  const exporter = openExporter({
    endpoint: settings.otlpEndpoint,
    headers: settings.otlpHeaders,
    resource: { service: settings.traceServiceName, version, instance: replica },
    clock,
    metrics,
    logger,
  })
  stack.defer(() => atMost(exporter.close(), clock.sleep))
  logger.info({ receiver: exporter.receiver, ratio: settings.traceRatio }, 'traces are on')
  const { topic, table } = consumer.definition
  const group = settings.group || consumer.name
  return (lane) =>
    openLaneTracer(lane, { topic, table, group, publishes, ratio: settings.traceRatio, clock, add: exporter.add })
}

/** All threads. */
function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}
