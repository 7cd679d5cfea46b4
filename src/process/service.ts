/**
 * What a process of the fleet does while it serves, whatever the technologies behind the rooms: lanes and their gate, the settler, what to do while Redis
 * is away, the looks at partitions and streams every few seconds, health; and how it ends.
 *
 * What is lost is unwound lane by lane and starts over behind the gate; anything fatal or unknown ends the service. `drain` aborted: finish what was
 * taken in, settle, leave, return. No progress while there is lag: end, so that a supervisor can act.
 */
import type { Logger } from 'pino'
import { retry, type Sleep } from '../core/backoff.ts'
import { FatalError, TransientError } from '../core/errors.ts'
import type { Room } from '../core/marks.ts'
import type { Metrics } from '../core/registry.ts'
import { createRejectLimit, type KnownRun } from '../core/reject-limit.ts'
import type { Settings } from '../core/settings.ts'
import type { Business } from '../core/tally.ts'
import { Absence } from '../flow/absence.ts'
import { Budget } from '../flow/budget.ts'
import { fewRecords } from '../flow/decode/port.ts'
import { Lane } from '../flow/lane.ts'
import { notedSince } from '../flow/pipeline.ts'
import { openSettler } from '../flow/settle/settler.ts'
import type { LaneTracer } from '../flow/trace.ts'
import { Assignment } from './assignment.ts'
import { atMost } from './at-most.ts'
import { createHealth, type Health, type Phase } from './health.ts'
import { inTrace } from './log.ts'
import { type LaneObserver, lagRecords, observeLane, workOf } from './observe.ts'
import type { OpenRooms } from './open-rooms.ts'
import { serveLanes } from './serve-lanes.ts'

export type ServiceSettings = Pick<
  Settings,
  | 'batchBytesMax'
  | 'batchRowsMax'
  | 'drainMs'
  | 'fetchWaitMs'
  | 'heartbeatMs'
  | 'inFlightBytesMax'
  | 'lanes'
  | 'progressTimeoutMs'
  | 'publishGraceMs'
  | 'redisTimeoutMs'
  | 'rejectPercentMax'
  | 'rejectRunMax'
  | 'rejectWindowMs'
  | 'rejectWindowRecordsMin'
  | 'retryBackoffMaxMs'
  | 'retryBackoffMinMs'
  | 'settleMs'
  | 'startFrom'
  | 'streamLost'
  | 'transactionTimeoutMs'
>

export interface Clock {
  readonly nowMs: () => number
  readonly steadyMs: () => number
  readonly random: () => number
  readonly sleep: Sleep
}

export interface ServiceOptions {
  readonly settings: ServiceSettings
  readonly consumer: string
  readonly topic: string
  readonly rooms: OpenRooms
  /** What the processes before have left. */
  readonly rejectRuns: readonly KnownRun[]
  readonly logger: Logger
  readonly metrics: Metrics
  /** What the consumer file counts. */
  readonly business?: Business | null
  /** Only where traces are on: who follows the batches of a lane. */
  readonly tracerOf?: ((lane: number) => LaneTracer) | null
  readonly clock: Clock
  /** Aborted: drain and return. */
  readonly drain: AbortSignal
  /** Aborted here when the service has ended. */
  readonly stop: AbortController
  /** Days after today that have a partition. */
  readonly horizonDays: () => number
}

export interface Service {
  readonly assignment: Assignment
  readonly absence: Absence<Lane>
  readonly budget: Budget
  readonly lanes: readonly Lane[]
  readonly observers: readonly LaneObserver[]
  readonly health: Health
  phase(): Phase
  retentionMs(): number | null
  /** Of kafka, postgres and redis, those that do not answer now. */
  serversAway(): ReadonlySet<string>
  /** Redis may have come back with less. */
  doubtStreams(): void
  /** Something beside any batch has failed. */
  fail(error: unknown): void
  /** Serves until everything is drained; rejects with what has ended it. Once. */
  serve(): Promise<void>
}

/** So often the streams are compared with what was published to them, besides after every new connection. */
const streamsComparedMs = 60_000
/** So often the partitions are compared with what Kafka holds, and the stopped ones with what the ledger says. */
const surveyMs = 3000
/** What a survey has told is known for so long. */
const toldForMs = 4 * surveyMs
const remindMs = 300_000
const retentionAskedMs = 600_000
/** A room that has been retrying for so long makes its server "down" for health. */
const downAfterAttempts = 3

export function openService(options: ServiceOptions): Service {
  const { settings, consumer, topic, rooms, metrics, logger, clock, drain, stop } = options
  const { consume, persist, publish, publishes } = rooms
  // How long something has lasted is asked of the steady clock: the other one may be set, by hours and back.
  const startedMs = clock.steadyMs()
  const failure = Promise.withResolvers<never>()
  failure.promise.catch(() => {})
  const fail = (error: unknown) => failure.reject(error)
  let surveying = false
  let surveyedAtMs = startedMs
  /** When Kafka last told how far all partitions reach. */
  let toldAtMs = startedMs
  let remindedAtMs = startedMs
  let retentionAskedAtMs: number | null = null
  /** A Redis that was away may have come back with less. */
  let streamsInDoubt = false
  let streamsComparedAtMs = startedMs
  let running: Promise<void> = Promise.resolve()
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

  stop.signal.addEventListener('abort', () => settler.stop(), { once: true })

  // Lanes, the gate, and what they tell.
  const down = new Map<string, number>()
  const { random, sleep } = clock
  const backoff = { minMs: settings.retryBackoffMinMs, maxMs: settings.retryBackoffMaxMs, random, sleep }
  const retrying = (room: Room, error: TransientError, attempt: number, delayMs: number, traceId?: string) => {
    metrics.counter('retries_total', { room, code: error.code }).add()
    if (room === 'publish') streamsInDoubt = true
    const server = error.code.split('_')[0]?.toLowerCase() ?? 'unknown'
    if (attempt + 1 >= downAfterAttempts) down.set(server, clock.steadyMs() + delayMs + settings.redisTimeoutMs)
    const level = attempt === 0 || (attempt & (attempt + 1)) === 0 ? 'warn' : 'debug'
    logger[level](
      { room, code: error.code, attempt, delayMs: Math.round(delayMs), reason: error.message, ...inTrace(traceId) },
      'trying again',
    )
  }
  const patiently = <T>(room: Room, work: () => Promise<T>) =>
    retry(work, backoff, stop.signal, (error, attempt, delayMs) => retrying(room, error, attempt, delayMs))
  const absence = new Absence<Lane>({
    graceMs: settings.publishGraceMs,
    probeMs: settings.retryBackoffMaxMs,
    probe: () => publish.probe(),
    now: clock.steadyMs,
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
  const budget = new Budget(settings.inFlightBytesMax)
  const limits = { rowsMax: settings.batchRowsMax, bytesMax: settings.batchBytesMax, fewRecords }
  const lanes = Array.from(
    { length: settings.lanes },
    (_, index) => new Lane(index, limits, (bytes) => budget.give(bytes)),
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
    policy: { consumer, topic, publishes, streamLost: settings.streamLost },
    startFrom: settings.startFrom,
    patiently: (work) => patiently('consume', work),
    nowMs: clock.nowMs,
    on: {
      heard: () => {
        heardMs = clock.steadyMs()
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
      jumped(partition, from, to) {
        metrics.counter('gaps_total').add()
        logger.debug({ partition, from, to }, 'Kafka holds nothing between these offsets')
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
      wentBack: (lane, lost) => startOver(lane, lost),
      failed: fail,
    },
  })
  let retentionMs: number | null = null
  const tellStopped = (partition: number, { code, message, remedy }: FatalError) =>
    logger.error({ partition, code, reason: message, remedy }, 'the partition stands still, the others go on')

  const sizes = { last: 0 }
  const observers = lanes.map(({ index }) => ({
    ...observeLane(metrics, clock, sizes, retrying, options.business),
    tracer: options.tracerOf?.(index) ?? null,
  }))

  const kafkaSilentMs = Math.min(3 * settings.heartbeatMs + 2 * settings.fetchWaitMs + 1000, settings.progressTimeoutMs)
  const health = createHealth({
    progressTimeoutMs: settings.progressTimeoutMs,
    kafkaSilentMs,
    // No batch takes longer than its transaction may.
    standstillMs: settings.transactionTimeoutMs,
    now: clock.steadyMs,
  })
  const downNow = () => [...down].filter(([, untilMs]) => untilMs > clock.steadyMs()).map(([server]) => server)
  const observeHealth = () =>
    health.observe({
      phase,
      moved: metrics.sum('records_total'),
      lagRecords: assignment.gated ? null : lagRecords(assignment),
      heardMs,
      work: workOf(assignment, { publishing: !absence.away, surveyed: clock.steadyMs() - toldAtMs < toldForMs }),
      horizonDays: options.horizonDays(),
      down: downNow().filter((server) => server !== 'redis' || !absence.away),
      away: absence.away ? ['redis'] : [],
      stopped: assignment.stopped.map(({ partition, code }) => `partition ${partition} is stopped: ${code}`),
    })

  const limit = createRejectLimit({
    consumer,
    topic,
    percentMax: settings.rejectPercentMax,
    windowMs: settings.rejectWindowMs,
    windowRecordsMin: settings.rejectWindowRecordsMin,
    runMax: settings.rejectRunMax,
    runs: options.rejectRuns,
  })
  const { serving, compareStreams, catchUp, startOver } = serveLanes({
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

  return {
    assignment,
    absence,
    budget,
    lanes,
    observers,
    health,
    phase: () => phase,
    retentionMs: () => retentionMs,
    serversAway() {
      const away = new Set(downNow())
      if (absence.away) away.add('redis')
      if (heardMs !== null && clock.steadyMs() - heardMs > kafkaSilentMs) away.add('kafka')
      return away
    },
    doubtStreams() {
      streamsInDoubt = true
    },
    fail,
    serve,
  }

  async function compareWhatIsInDoubt(): Promise<void> {
    if (phase !== 'running' || (!streamsInDoubt && clock.steadyMs() - streamsComparedAtMs < streamsComparedMs)) return
    streamsInDoubt = false
    streamsComparedAtMs = clock.steadyMs()
    await compareStreams().catch((error: unknown) => {
      streamsInDoubt = true
      logger.debug({ err: error }, 'could not compare the streams')
    })
  }

  /** What no fetch would show: a log that ends before us, an operator's decision about a stopped partition. */
  async function survey(): Promise<void> {
    if (phase !== 'running' || surveying || assignment.gated || clock.steadyMs() - surveyedAtMs < surveyMs) return
    surveying = true
    surveyedAtMs = clock.steadyMs()
    try {
      await assignment.survey()
      toldAtMs = clock.steadyMs()
      if (clock.steadyMs() - remindedAtMs >= remindMs) {
        remindedAtMs = clock.steadyMs()
        for (const { partition, error } of assignment.stopped) tellStopped(partition, error)
      }
      if (retentionAskedAtMs === null || clock.steadyMs() - retentionAskedAtMs > retentionAskedMs) {
        retentionAskedAtMs = clock.steadyMs()
        retentionMs = await consume.retentionMs()
      }
    } catch (error) {
      // A server is away: its rooms see to that.
      if (!(error instanceof TransientError)) throw error
      logger.debug({ err: error }, 'could not survey the partitions')
    } finally {
      surveyedAtMs = clock.steadyMs()
      surveying = false
    }
  }

  /** Once a second: is there progress? */
  async function watch(): Promise<void> {
    for (;;) {
      await sleep(1000, stop.signal)
      observeHealth()
      const surveyingMs = surveying ? clock.steadyMs() - surveyedAtMs : 0
      if (surveyingMs > settings.progressTimeoutMs)
        throw noProgress(`a survey has not ended for ${Math.round(surveyingMs)} ms`)
      void compareWhatIsInDoubt()
      void survey().catch(fail)
      const { ok, reasons } = health.live()
      if (!ok) throw noProgress(reasons.join('; '))
    }
  }

  async function serve(): Promise<void> {
    running = consume.run(assignment)
    running.catch(fail)
    void watch().catch(fail)

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
      await atMost(Promise.allSettled(serving), sleep)
      // Leaving lets the others take over at once; a client that has given up must not keep us.
      await atMost(consume.stop(), sleep)
      throw error
    } finally {
      stop.abort(new Error('ended'))
    }
  }

  async function drainAll(): Promise<void> {
    consume.pause()
    for (const lane of lanes) lane.end()
    await Promise.all(serving)
    await settler.flush()
    const published = new Map([...assignment.states()].map((state) => [state.partition, notedSince(state)]))
    await patiently('publish', () => persist.note(published))
    await consume.stop()
    await running
  }
}

const noProgress = (why: string) =>
  new FatalError('NO_PROGRESS', `${why}.`, 'The supervisor starts the process anew; the log says what came before.')

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
