/**
 * `npm start`: the whole thing on one machine, for people to watch and for machines to judge.
 *
 *   servers -> schema and topic -> replicas, until all partitions are assigned and a few events went through -> load, watched
 *   -> load ends -> the fleet catches up -> replicas drain and leave -> the proof -> servers stop
 *
 * The end is the same whether time is up or somebody presses Ctrl-C (`signal`); a failure skips what has become pointless. Nothing started here
 * outlives it: not after `kill`, the second Ctrl-C, nor after a kill -9 of this process (replicas drain when their channel closes, the stack ends
 * with its owner).
 */
import { existsSync, mkdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import kafkajs from 'kafkajs'
import { FatalError } from '../core/errors.ts'
import type { Settings } from '../core/settings.ts'
import { mendKafkajs } from '../flow/consume/kafkajs-mend.ts'
import { kafkaConfig, kafkaFailure } from '../process/connect-kafka.ts'
import { connectPostgres } from '../process/connect-postgres.ts'
import { loadConsumer } from '../process/load-consumer.ts'
import { migrate } from '../schema/migrate.ts'
import { ensureTopic } from '../simulate/topic.ts'
import { progressLines } from '../stack/progress.ts'
import type { StackOptions } from '../stack/stack.ts'
import { stackFolder } from '../stack/state.ts'
import { progressLine, verifyDeployment } from '../verify/command.ts'
import { type TopicEnds, topicEnds } from '../verify/kafka-marks.ts'
import { readStartFlags, type StartFlags, type StartOptions } from './flags.ts'
import { startLoad } from './load.ts'
import { openServers } from './servers.ts'
import { renderSummary, summaryOf } from './summary.ts'
import { type Replica, superviseReplica } from './supervisor.ts'
import { type Output, openView, styleOf } from './view.ts'
import { openWatch, type Watch } from './watch.ts'

export interface StartIo {
  /** Of the project: .local/ lies there. */
  readonly root: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly directory: string
  readonly cores: number
  readonly execPath: string
  /** src/main.ts, which the replicas run. */
  readonly mainPath: string
  readonly stdout: Output
  readonly stderr: Output
  readonly now: () => number
  /** The first Ctrl-C: the orderly end. */
  readonly signal: AbortSignal
  /** The second: what was started is killed while its listeners run, so that the process may exit right after. */
  readonly kill: AbortSignal
  readonly stackName?: string
  readonly stack?: Partial<StackOptions>
}

const consumerName = 'cloud-events'
const warmupMs = 3000
const primedPerPartition = 20
const assignMs = 60_000
/** The fleet may take long to catch up, but not stand still. */
const stuckMs = 30_000

/** Answers the exit code: 0 when everything holds. */
export async function startCommand(flags: StartFlags, io: StartIo): Promise<number> {
  const options = readStartFlags(flags, io.now())
  const output = options.json ? io.stderr : io.stdout
  const stackName = io.stackName ?? 'default'
  const logs = join(stackFolder(io.root, stackName), 'logs')
  try {
    return await run(options, io, output, stackName, logs)
  } catch (error) {
    const isOurs = error instanceof FatalError && (error.code === 'USAGE' || error.code === 'SETTINGS_INVALID')
    if (isOurs) throw error
    if (io.signal.aborted && (error === io.signal.reason || (error as Error).name === 'AbortError')) {
      output.write('Stopped before there was anything to verify.\n')
      return 1
    }
    if (existsSync(logs)) output.write(`The logs are in ${relative(io.directory, logs)} and beside it.\n`)
    throw error
  }
}

async function run(
  options: StartOptions,
  io: StartIo,
  output: Output,
  stackName: string,
  logs: string,
): Promise<number> {
  const { now, signal, kill } = io
  await using stack = new AsyncDisposableStack()
  const failure = Promise.withResolvers<never>()
  failure.promise.catch(() => {})
  const onProgress = progressLines((text) => output.write(text), now)
  const tell = (text: string) => onProgress({ part: 'fleet', text, done: true })

  // Servers, schema, topic.
  let watch: Watch | null = null
  const servers = await openServers({
    ...io,
    ...options,
    stackName,
    stack: {
      ...io.stack,
      onProgress,
      signal,
      onDeath: (server, how) =>
        failure.reject(
          new FatalError('STACK_FAILED', `${server} ended by itself (${how}).`, `See ${server}.log of the stack.`),
        ),
    },
  })
  stack.defer(() => servers.stop())
  mkdirSync(logs, { recursive: true })
  const { settings } = servers
  const consumer = await loadConsumer(consumerName)
  const { topic } = consumer.definition
  const publishes = consumer.definition.route !== undefined && settings.redisUrls.length > 0
  await migrateAll(settings, signal)
  const { partitions, ends } = await prepareTopic(settings, topic, options.partitions)
  if (partitions !== options.partitions) tell(`'${topic}' is there with ${partitions} partitions, which stay`)
  const producedBefore = [...ends.values()].reduce((sum, { low, high }) => sum + high - low, 0)

  // Replicas.
  const replicas = Array.from({ length: options.replicas }, (_, index): Replica => {
    const name = `replica-${index + 1}`
    return superviseReplica({
      name,
      log: join(logs, `${name}.log`),
      execPath: io.execPath,
      args: [io.mainPath, 'consume', consumerName],
      env: {
        // On one machine the lanes of all replicas together are about as many as cores: more of them make smaller batches and longer queues.
        MILLRACE_LANES: String(Math.max(1, Math.round(io.cores / options.replicas))),
        ...io.env,
        ...servers.env,
        MILLRACE_ADMIN_PORT: '0',
        MILLRACE_REPLICA: name,
        MILLRACE_LOG_FORMAT: 'json',
      },
      now,
      onEvent: (text) => watch?.event(text),
    })
  })
  const killAll = () => {
    for (const replica of replicas) replica.kill()
  }
  kill.addEventListener('abort', killAll)
  stack.defer(() => kill.removeEventListener('abort', killAll))
  let stopMs = settings.drainMs + 10_000
  failure.promise.catch(() => {
    stopMs = 3000
  })
  const stopReplicas = () => Promise.all(replicas.map((replica) => replica.stop(stopMs)))
  stack.defer(async () => void (await stopReplicas()))
  for (const replica of replicas) replica.failed.catch(failure.reject)
  watch = openWatch({
    ...options,
    partitions,
    addresses: servers.addresses,
    consumer: consumerName,
    publishes,
    replicas,
    now,
  })
  await orFailure(assigned(watch, partitions, now, signal))
  tell(`${replicas.length} replicas serve ${partitions} partitions`)
  const primed = await prime()
  watch.primed = primed

  // Load, watched.
  const view = openView(output, styleOf(io.env, output.isTerminal), now)
  const closeView = () => view.close()
  kill.addEventListener('abort', closeView)
  stack.defer(() => {
    kill.removeEventListener('abort', closeView)
    view.close()
  })
  const watching = new AbortController()
  const watched = watch.run(() => view.show((watch as Watch).picture()), watching.signal)
  watched.catch(failure.reject)
  stack.defer(async () => {
    watching.abort()
    await watched.catch(() => {})
  })
  const load = startLoad({ ...options, settings, topic, now })
  watch.load = load
  watch.phase = 'running'
  const stopLoad = () => load.stop()
  signal.addEventListener('abort', stopLoad)
  if (signal.aborted) stopLoad()
  stack.defer(() => {
    signal.removeEventListener('abort', stopLoad)
    load.stop()
  })
  const warmup = options.forMs === null ? warmupMs : Math.min(warmupMs, options.forMs / 5)
  const warmed = sleep(warmup, undefined, { ref: false }).then(() => watch?.recorder.mark())
  const stats = await orFailure(load.done)
  void warmed

  // The fleet catches up, and leaves.
  watch.phase = 'catching up'
  const loadEndedMs = now()
  const { ends: last } = await prepareTopic(settings, topic, partitions)
  await orFailure(caughtUp(watch, last, now, kill))
  const catchUpMs = now() - loadEndedMs
  watch.phase = 'draining'
  watching.abort()
  await watched
  await watch.look()
  // As it stood while everybody was still there: what stays in the scrollback.
  const lastPicture = watch.picture()
  view.show(lastPicture)
  const endings = await stopReplicas()
  view.show({ ...lastPicture, phase: 'ended', hint: `logs ${relative(io.directory, logs)}` })
  view.close()

  // The proof.
  const verified = await prove(settings, output, io)
  const troubles = endings.flatMap((how, index) =>
    how === null ? [] : [`${replicas[index]?.name} did not end in order (${how}); its log is ${replicas[index]?.log}`],
  )
  const facts = {
    options,
    partitions,
    publishes,
    stats,
    primed,
    recorder: watch.recorder,
    verified,
    producedBefore,
    warmupMs: warmup,
    catchUpMs,
    restarts: replicas.reduce((sum, { restarts }) => sum + restarts, 0),
    peaks: watch.peaks,
    troubles,
  }
  const summary = summaryOf(facts)
  output.write(renderSummary(summary, facts))
  if (options.json) io.stdout.write(`${JSON.stringify(summary)}\n`)
  return summary.holds ? 0 : 1

  /**
   * The first record of each partition makes the broker write and flush a file for it: measured on a slow disk, five seconds in which 100 partitions
   * take hardly anything. So a few events go through before the clock starts. They are events like all others, and proved with them.
   */
  async function prime(): Promise<number> {
    const beganMs = now()
    const events = Math.min(primedPerPartition * partitions, Math.ceil(options.rate))
    const rate = Math.min(options.rate, events)
    const seed = (options.seed + 1) % Number.MAX_SAFE_INTEGER
    const first = startLoad({
      settings,
      topic,
      rate,
      events,
      forMs: null,
      seed,
      duplicates: 0,
      poison: 0,
      binary: 0,
      now,
    })
    const stopFirst = () => first.stop()
    signal.addEventListener('abort', stopFirst)
    try {
      const { produced } = await orFailure(first.done)
      const { ends } = await prepareTopic(settings, topic, partitions)
      await orFailure(caughtUp(watch as Watch, ends, now, kill))
      tell(
        `the first ${produced.toLocaleString('en')} events went through in ${((now() - beganMs) / 1000).toFixed(1)} s`,
      )
      return produced
    } finally {
      signal.removeEventListener('abort', stopFirst)
    }
  }

  function orFailure<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, failure.promise])
  }
}

async function migrateAll(settings: Settings, signal: AbortSignal): Promise<void> {
  const session = await connectPostgres(settings, 'millrace start')
  try {
    await migrate({ session, signal })
  } finally {
    await session.end()
  }
}

/** The topic as it is, made where it was missing. -1: as many copies as the brokers make by default. */
async function prepareTopic(
  settings: Settings,
  topic: string,
  wanted: number,
): Promise<{ partitions: number; ends: TopicEnds }> {
  mendKafkajs()
  try {
    const kafka = new kafkajs.Kafka(kafkaConfig(settings))
    const partitions = await ensureTopic(kafka, topic, { partitions: wanted, replicationFactor: -1 })
    return { partitions, ends: await topicEnds(kafka, topic) }
  } catch (error) {
    throw error instanceof FatalError ? error : kafkaFailure(error, settings)
  }
}

/** All partitions are somebody's, so that the first events find a fleet. */
async function assigned(watch: Watch, partitions: number, now: () => number, signal: AbortSignal): Promise<void> {
  const untilMs = now() + assignMs
  for (;;) {
    await watch.look()
    const owned = watch.serving().reduce((sum, status) => sum + status.partitions.length, 0)
    if (owned === partitions) return
    if (now() > untilMs) {
      throw new FatalError(
        'NO_PROGRESS',
        `After ${assignMs / 1000} s only ${owned} of ${partitions} partitions are assigned.`,
        'Look into the logs of the replicas, and for other members of the group.',
      )
    }
    await sleep(100, undefined, { signal })
  }
}

/** Every partition is settled up to where Kafka ended when the load did. */
async function caughtUp(watch: Watch, ends: TopicEnds, now: () => number, signal: AbortSignal): Promise<void> {
  let best = Number.POSITIVE_INFINITY
  let movedMs = now()
  for (;;) {
    await watch.look()
    const settled = new Map<number, number>()
    for (const { partitions } of watch.serving()) {
      for (const { partition, marks } of partitions) settled.set(partition, marks.settle)
    }
    let missing = 0
    for (const [partition, { low, high }] of ends)
      missing += Math.max(0, high - Math.max(low, settled.get(partition) ?? low))
    if (missing === 0) return
    watch.phase = `catching up, ${missing.toLocaleString('en')} to settle`
    if (missing < best) {
      best = missing
      movedMs = now()
    } else if (now() - movedMs > stuckMs) {
      throw new FatalError(
        'NO_PROGRESS',
        `The load has ended, ${missing} records are not settled, and nothing has moved for ${stuckMs / 1000} s.`,
        'Look into the logs of the replicas.',
      )
    }
    await sleep(100, undefined, { signal })
  }
}

async function prove(settings: Settings, output: Output, { now, kill }: StartIo) {
  const consumer = await loadConsumer(consumerName)
  output.write(output.isTerminal ? '' : 'verifying\n')
  try {
    return await verifyDeployment({
      settings,
      consumer,
      toEnd: true,
      signal: kill,
      now,
      ...(output.isTerminal && { onProgress: (progress) => output.write(`\r\x1b[2K${progressLine(progress)}`) }),
    })
  } finally {
    if (output.isTerminal) output.write('\r\x1b[2K')
  }
}
