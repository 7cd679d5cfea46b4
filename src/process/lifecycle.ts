/**
 * One process of the fleet, from its first connection to its last commit:
 *
 *   connect and check -> join the group -> serve the lanes -> drain -> settle -> leave
 *
 * Whatever is wrong before the first record is one FatalError. While serving, a lost lane starts over behind the gate; anything fatal or unknown ends
 * the process. `drain` aborted: finish what was taken in, settle, leave, return. No progress while there is lag: end, so that a supervisor can act.
 */
import type { Logger } from 'pino'
import { retry, type Sleep } from '../core/backoff.ts'
import { FatalError, TransientError } from '../core/errors.ts'
import type { Room } from '../core/marks.ts'
import type { Metrics } from '../core/metrics.ts'
import { createRejectLimit } from '../core/reject-limit.ts'
import type { Settings } from '../core/settings.ts'
import { readStatus, type Status } from '../core/status.ts'
import { Absence } from '../flow/absence.ts'
import { Budget } from '../flow/budget.ts'
import { Lane } from '../flow/lane.ts'
import { notedSince } from '../flow/pipeline.ts'
import { openSettler } from '../flow/settle/settler.ts'
import { startKeeper } from '../keeper/keeper.ts'
import { startAdmin } from './admin.ts'
import { Assignment } from './assignment.ts'
import { connectPostgres } from './connect-postgres.ts'
import { createHealth, type Phase } from './health.ts'
import type { LoadedConsumer } from './load-consumer.ts'
import { lagOf, observeLane, observeProcess } from './observe.ts'
import { openRooms } from './open-rooms.ts'
import { serveLanes } from './serve-lanes.ts'

export interface LifecycleOptions {
  readonly settings: Settings
  readonly consumer: LoadedConsumer
  readonly replica: string
  readonly version: string
  readonly logger: Logger
  readonly metrics: Metrics
  readonly clock: {
    readonly nowMs: () => number
    readonly steadyMs: () => number
    readonly random: () => number
    readonly sleep: Sleep
  }
  /** Aborted: drain and return. */
  readonly drain: AbortSignal
  readonly onServing?: (adminUrl: string) => void
}

/** So often the streams are compared with what was published to them, besides after every new connection. */
const streamsComparedMs = 60_000
/** So often the partitions are compared with what Kafka holds, and the stopped ones with what the ledger says. */
const surveyMs = 3000
const remindMs = 300_000
const retentionAskedMs = 600_000
/** A room that has been retrying for so long makes its server "down" for health. */
const downAfterAttempts = 3

export async function runConsumer(options: LifecycleOptions): Promise<void> {
  const { settings, consumer, logger, metrics, clock, drain } = options
  const { definition } = consumer
  const { topic } = definition
  const startedMs = clock.nowMs()
  await using stack = new AsyncDisposableStack()
  const stop = new AbortController()
  const failure = Promise.withResolvers<never>()
  failure.promise.catch(() => {})
  const fail = (error: unknown) => failure.reject(error)

  let surveying = false
  let surveyedAtMs = startedMs
  let remindedAtMs = startedMs
  let retentionAskedAtMs: number | null = null
  /** A Redis that was away may have come back with less. */
  let streamsInDoubt = false
  let streamsComparedAtMs = clock.nowMs()
  const rooms = await openRooms(
    {
      settings,
      consumer,
      logger,
      nowMs: clock.nowMs,
      signal: stop.signal,
      onError: fail,
      onRedisBack: () => {
        streamsInDoubt = true
      },
    },
    stack,
  )
  const { consume, persist, publish, publishes } = rooms
  const settleCounters = {
    records: metrics.counter('records_total', { room: 'settle' }),
    batches: metrics.counter('batches_total', { room: 'settle' }),
  }
  const settler = openSettler(
    consume.settle,
    { intervalMs: settings.settleMs, sleep: clock.sleep },
    {
      committed(records) {
        settleCounters.records.add(records)
        settleCounters.batches.add()
      },
      failed: (error) => logger.debug({ err: error }, 'the offset mirror is late'),
    },
  )
  stack.defer(() => settler.stop())

  // Lanes, the gate, and what they tell.
  const down = new Map<string, number>()
  const { random, sleep } = clock
  const backoff = { minMs: settings.retryBackoffMinMs, maxMs: settings.retryBackoffMaxMs, random, sleep }
  const retrying = (room: Room, error: TransientError, attempt: number, delayMs: number) => {
    metrics.counter('retries_total', { room, code: error.code }).add()
    if (room === 'publish') streamsInDoubt = true
    const server = error.code.split('_')[0]?.toLowerCase() ?? 'unknown'
    if (attempt + 1 >= downAfterAttempts) down.set(server, clock.nowMs() + delayMs + settings.redisTimeoutMs)
    const level = attempt === 0 || (attempt & (attempt + 1)) === 0 ? 'warn' : 'debug'
    logger[level](
      { room, code: error.code, attempt, delayMs: Math.round(delayMs), reason: error.message },
      'trying again',
    )
  }
  const absence = new Absence<Lane>({
    graceMs: settings.publishGraceMs,
    probeMs: settings.retryBackoffMaxMs,
    probe: () => publish.probe(),
    now: clock.nowMs,
    sleep,
    signal: stop.signal,
    on: {
      away(error) {
        const { code, message: reason } = error
        logger.warn({ code, reason }, 'Redis is away: storing goes on, and the streams are filled when it is back')
      },
      back(awayMs) {
        logger.warn({ awayMs }, 'Redis is back: publishing what was stored meanwhile')
        catchUp()
      },
      failed: fail,
    },
  })
  metrics.observe('publish_away', () => [[{}, absence.away ? 1 : 0]])
  const budget = new Budget(settings.inFlightBytesMax)
  const lanes = Array.from(
    { length: settings.lanes },
    (_, index) =>
      new Lane(index, { rowsMax: settings.batchRowsMax, bytesMax: settings.batchBytesMax }, (bytes) =>
        budget.give(bytes),
      ),
  )
  let heardMs: number | null = null
  let phase: Phase = 'starting'
  const consumed = metrics.counter('records_total', { room: 'consume' })
  const consumedBatches = metrics.counter('batches_total', { room: 'consume' })
  const assignment = new Assignment({
    consume,
    persist,
    publish,
    lanes,
    budget,
    absence,
    policy: { consumer: consumer.name, topic, publishes, streamLost: settings.streamLost },
    startFrom: settings.startFrom,
    patiently: (work) =>
      retry(work, backoff, stop.signal, (error, attempt, delayMs) => retrying('consume', error, attempt, delayMs)),
    on: {
      heard: () => {
        heardMs = clock.nowMs()
      },
      taken: (records) => {
        consumed.add(records)
        consumedBatches.add()
      },
      assigned(partitions, added, removed) {
        if (phase === 'starting') phase = 'running'
        metrics.counter('rebalances_total').add()
        logger.info({ partitions: partitions.length, added, removed }, 'partitions assigned')
      },
      sought(partition, from, to) {
        metrics.counter('gate_seeks_total').add()
        logger.debug({ partition, from, to }, 'reading on from elsewhere')
      },
      streamLost(partition, lost, from) {
        metrics.counter('lost_total', { code: 'STREAM_LOST' }).add()
        logger.warn({ partition, lost, from }, 'a stream has lost entries: filling it again from Kafka')
      },
      stopped: (partition, error) => tellStopped(partition, error),
      resumed(state, from) {
        // The client has reset the group's offset in its own way, and nothing may come for long.
        settler.note(state)
        logger.info({ partition: state.partition, from }, 'a stopped partition goes on')
      },
      failed: fail,
    },
  })
  let retentionMs: number | null = null
  observeProcess(metrics, assignment, budget, topic, clock.nowMs, () => retentionMs)
  const tellStopped = (partition: number, { code, message, remedy }: FatalError) =>
    logger.error({ partition, code, reason: message, remedy }, 'the partition stands still, the others go on')
  metrics.gauge('info', { version: options.version, consumer: consumer.name, replica: options.replica }).set(1)

  const sizes = { last: 0 }
  const observers = lanes.map(() => observeLane(metrics, clock, sizes, retrying))

  const keeper = startKeeper({
    table: definition.table,
    policy: { ...settings, aheadDays: settings.partitionsAheadDays },
    connect: () => connectPostgres(settings, `millrace ${consumer.name} keeper`),
    days: rooms.days,
    nowMs: clock.nowMs,
    metrics,
    logger,
  })
  stack.defer(() => keeper.stop())

  // Health, and the admin port.
  const health = createHealth({
    progressTimeoutMs: settings.progressTimeoutMs,
    kafkaSilentMs: Math.min(3 * settings.heartbeatMs + 2 * settings.fetchWaitMs + 1000, settings.progressTimeoutMs),
    now: clock.nowMs,
  })
  const downNow = () => [...down].filter(([, untilMs]) => untilMs > clock.nowMs()).map(([server]) => server)
  const observeHealth = () =>
    health.observe({
      phase,
      moved: metrics.sum('records_total'),
      lagRecords: assignment.gated ? null : lagOf(assignment, clock.nowMs()).records,
      heardMs,
      horizonDays: keeper.horizonDays(),
      down: downNow().filter((server) => server !== 'redis' || !absence.away),
      away: absence.away ? ['redis'] : [],
      stopped: assignment.stopped.map(({ partition, code }) => `partition ${partition} is stopped: ${code}`),
    })
  const status = (): Status => {
    for (const observer of observers) observer.flush()
    const lag = lagOf(assignment, clock.nowMs())
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
        phase,
        live: live.ok,
        ready: ready.ok,
        reasons: [...live.reasons, ...ready.reasons],
        lagRecords: lag.records,
        lagSeconds: lag.seconds,
        bytesInFlight: budget.bytes,
        inFlightBytesMax: settings.inFlightBytesMax,
        residentBytes: process.memoryUsage.rss(),
        lanes: lanes.length,
        partitions: lanes.flatMap((lane) =>
          [...lane.partitions.values()].map(({ partition, marks, highWatermark }) => ({
            topic,
            partition,
            lane: lane.index,
            marks: marks.all(),
            endOffset: highWatermark,
          })),
        ),
        stopped: assignment.stopped.map(({ partition, code, error }) => ({ partition, code, reason: error.message })),
      },
      metrics,
    )
  }
  const admin = await startAdmin({
    host: settings.adminHost,
    port: settings.adminPort,
    metrics: {
      contentType: metrics.contentType,
      render: () => {
        for (const observer of observers) observer.flush()
        return metrics.render()
      },
    },
    live: () => health.live(),
    ready: () => health.ready(),
    status,
    logger,
  })
  stack.defer(() => admin.close())

  const limit = createRejectLimit({
    consumer: consumer.name,
    topic,
    percentMax: settings.rejectPercentMax,
    windowMs: settings.rejectWindowMs,
    windowRecordsMin: settings.rejectWindowRecordsMin,
    runMax: settings.rejectRunMax,
    runs: rooms.rejectRuns,
  })

  // Serve.
  const { serving, compareStreams, catchUp } = serveLanes({
    lanes,
    observers,
    rooms,
    settler,
    absence,
    admit: (batch) => limit(batch, clock.steadyMs()),
    assignment,
    backoff,
    metrics,
    logger,
    signal: stop.signal,
  })
  for (const one of serving) one.catch(fail)
  const running = consume.run(assignment)
  running.catch(fail)
  void watch().catch(fail)
  const { partitionCount: partitions } = rooms
  logger.info({ topic, partitions, lanes: lanes.length, publishes, admin: admin.url }, 'serving')
  options.onServing?.(admin.url)

  async function compareWhatIsInDoubt(): Promise<void> {
    if (phase !== 'running' || (!streamsInDoubt && clock.nowMs() - streamsComparedAtMs < streamsComparedMs)) return
    streamsInDoubt = false
    streamsComparedAtMs = clock.nowMs()
    await compareStreams().catch((error: unknown) => {
      streamsInDoubt = true
      logger.debug({ err: error }, 'could not compare the streams')
    })
  }

  /** What no fetch would show: a log that ends before us, an operator's decision about a stopped partition. */
  async function survey(): Promise<void> {
    if (phase !== 'running' || surveying || assignment.gated || clock.nowMs() - surveyedAtMs < surveyMs) return
    surveying = true
    try {
      await assignment.survey()
      if (clock.nowMs() - remindedAtMs >= remindMs) {
        remindedAtMs = clock.nowMs()
        for (const { partition, error } of assignment.stopped) tellStopped(partition, error)
      }
      if (retentionAskedAtMs === null || clock.nowMs() - retentionAskedAtMs > retentionAskedMs) {
        retentionAskedAtMs = clock.nowMs()
        retentionMs = await consume.retentionMs()
      }
    } catch (error) {
      // A server is away: its rooms see to that.
      if (!(error instanceof TransientError)) throw error
      logger.debug({ err: error }, 'could not survey the partitions')
    } finally {
      surveyedAtMs = clock.nowMs()
      surveying = false
    }
  }

  /** Once a second: is there progress? */
  async function watch(): Promise<void> {
    for (;;) {
      await sleep(1000, stop.signal)
      observeHealth()
      void compareWhatIsInDoubt()
      void survey().catch(fail)
      const { ok, reasons } = health.live()
      if (!ok) {
        throw new FatalError(
          'NO_PROGRESS',
          `${reasons.join('; ')}.`,
          'The supervisor starts the process anew; the log says what came before.',
        )
      }
    }
  }

  try {
    await Promise.race([failure.promise, aborted(drain)])
    phase = 'draining'
    logger.info('draining')
    const drained = drainAll()
    drained.catch(() => {})
    const late = sleep(settings.drainMs, stop.signal).then(() => {
      throw new FatalError(
        'DRAIN_TIMEOUT',
        `The drain did not end within ${settings.drainMs} ms.`,
        'What was not settled is read again by the next owner; raise MILLRACE_DRAIN_MS if this is usual.',
      )
    })
    late.catch(() => {})
    await Promise.race([drained, late, failure.promise])
    logger.info('drained')
  } catch (error) {
    stop.abort(error)
    await Promise.allSettled(serving)
    // Leaving lets the others take over at once; a client that has given up must not keep us.
    const given = new AbortController()
    await Promise.race([consume.stop().catch(() => {}), sleep(3000, given.signal)])
    given.abort()
    throw error
  } finally {
    stop.abort(new Error('ended'))
  }

  async function drainAll(): Promise<void> {
    consume.pause()
    for (const lane of lanes) lane.end()
    await Promise.all(serving)
    await settler.flush()
    const published = new Map([...assignment.states()].map((state) => [state.partition, notedSince(state)]))
    await persist.note(published)
    await consume.stop()
    await running
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
