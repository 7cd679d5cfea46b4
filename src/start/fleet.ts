/**
 * A fleet on one machine: servers, schema and topic, replicas that serve all partitions, and a few events gone through. Then load comes and goes, the
 * fleet catches up, drains and leaves, and what is stored is proved. Nothing started here outlives its disposal, nor this process.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { count } from '../core/count.ts'
import { FatalError } from '../core/errors.ts'
import type { Room } from '../core/marks.ts'
import { lanesOfEach, type Settings } from '../core/settings.ts'
import { type Output, openView, styleOf } from '../live/view.ts'
import { openWatch, type Watch } from '../live/watch.ts'
import { loadConsumer } from '../process/load-consumer.ts'
import { nodeFlags } from '../process/node-flags.mjs'
import type { SimulatePlan } from '../simulate/kafka.ts'
import { type Senders, startSenders } from '../simulate/senders.ts'
import { removeFleet, writeFleet } from '../stack/fleet.ts'
import type { Pace } from '../stack/observe-config.ts'
import { progressLines } from '../stack/progress.ts'
import type { StackOptions } from '../stack/stack.ts'
import { stackFolder } from '../stack/state.ts'
import type { VerifyResult } from '../verify/verify.ts'
import { serveFleetPage } from './fleet-page.ts'
import { openObservers } from './observers.ts'
import { migrateAll, prepareTopic } from './prepare.ts'
import { prove } from './prove.ts'
import { openServers, type Servers } from './servers.ts'
import { type Replica, superviseReplica } from './supervisor.ts'
import { readUsage } from './usage.ts'
import { assigned, caughtUp } from './waits.ts'

export interface FleetIo {
  /** Of the project: .local/ lies there. */
  readonly root: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly directory: string
  readonly cores: number
  readonly execPath: string
  /** src/main.ts, which the replicas run. */
  readonly mainPath: string
  readonly now: () => number
  /** The first Ctrl-C: the orderly end. */
  readonly signal: AbortSignal
  /** The second: what was started is killed while its listeners run, so that the process may exit right after. */
  readonly kill: AbortSignal
  readonly stack?: Partial<StackOptions>
}

export interface FleetOptions {
  readonly stackName: string
  readonly forMs: number | null
  readonly rate: number
  readonly replicas: number
  readonly partitions: number
  readonly seed: number
  readonly fresh: boolean | null
  /** Of the fleet page; null: the usual one, or any that is free. */
  readonly pagePort?: number | null
  /** Prometheus and Alertmanager beside it, at this pace. */
  readonly observe?: Pace | null
}

export interface Fleet {
  readonly settings: Settings
  readonly servers: Servers
  readonly logs: string
  readonly topic: string
  readonly table: string
  readonly publishes: boolean
  readonly partitions: number
  readonly replicas: readonly Replica[]
  readonly watch: Watch
  /** Events that went through before any load. */
  readonly primed: number
  readonly producedBefore: number
  /** Rejects when something that must run does not, else as `work` does. */
  orFailure<T>(work: Promise<T>): Promise<T>
  /** Draws the picture after each look, until disposal or leave(); `then` is called as often. */
  show(then?: () => void): void
  /** Ends with the first Ctrl-C, or its own plan. */
  load(plan: Omit<SimulatePlan, 'topic'>, processes?: number): Senders
  /** When this room has everything that Kafka holds now. */
  caughtUp(room: Room): Promise<void>
  /** All replicas drain and leave; answers what was not in order, in sentences. */
  leave(hint: string): Promise<string[]>
  prove(): Promise<VerifyResult>
  [Symbol.asyncDispose](): Promise<void>
}

const consumerName = 'cloud-events'
const primedPerPartition = 20

export async function openFleet(options: FleetOptions, io: FleetIo, output: Output): Promise<Fleet> {
  const { now, signal, kill } = io
  await using stack = new AsyncDisposableStack()
  /** Who ends what is started later: first this function, then the fleet. */
  let owner: AsyncDisposableStack = stack
  const failure = Promise.withResolvers<never>()
  failure.promise.catch(() => {})
  const orFailure = <T>(work: Promise<T>): Promise<T> => Promise.race([work, failure.promise])
  const onProgress = progressLines((text) => output.write(text), now)
  const tell = (text: string) => onProgress({ part: 'fleet', text, done: true })

  // Servers, schema, topic.
  let watch: Watch | null = null
  const servers = await openServers({
    ...io,
    ...options,
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
  const folder = stackFolder(io.root, options.stackName)
  const logs = join(folder, 'logs')
  mkdirSync(logs, { recursive: true })
  const { settings } = servers
  const consumer = await loadConsumer(consumerName)
  const { topic, table } = consumer.definition
  const publishes = consumer.definition.route !== undefined && settings.redisUrls.length > 0
  await migrateAll(settings, signal)
  const { partitions, ends } = await prepareTopic(settings, topic, options.partitions)
  if (partitions !== options.partitions) tell(`'${topic}' is there with ${partitions} partitions, which stay`)
  const producedBefore = [...ends.values()].reduce((sum, { low, high }) => sum + high - low, 0)

  const observers =
    options.observe &&
    (await openObservers({
      root: io.root,
      folder,
      consumer: consumerName,
      servers,
      pace: options.observe,
      onProgress,
      onEvent: (text) => watch?.event(text),
      signal,
    }))
  stack.defer(async () => observers?.close())

  // Replicas.
  const replicas = Array.from({ length: options.replicas }, (_, index): Replica => {
    const name = `replica-${index + 1}`
    return superviseReplica({
      name,
      log: join(logs, `${name}.log`),
      execPath: io.execPath,
      args: [...nodeFlags, io.mainPath, 'consume', consumerName],
      env: {
        MILLRACE_LANES: String(lanesOfEach(options.replicas, io.cores)),
        ...io.env,
        ...servers.env,
        MILLRACE_ADMIN_PORT: '0',
        MILLRACE_REPLICA: name,
        MILLRACE_LOG_FORMAT: 'json',
      },
      now,
      onEvent: (text) => watch?.event(text),
      onServing: (adminUrl) => observers?.replica(name, adminUrl),
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
  const page = await serveFleetPage(options.pagePort ?? null, () => watched.picture())
  stack.defer(() => page.close())
  let told = ''
  stack.defer(() => removeFleet(folder))
  /** For whoever looks for a fleet on this machine. Not to be found is no failure. */
  const tellWhere = () => {
    const serving = replicas.flatMap(({ name, state }) =>
      state.kind === 'serving' ? [{ name, adminUrl: state.adminUrl }] : [],
    )
    if (JSON.stringify(serving) === told) return
    told = JSON.stringify(serving)
    try {
      writeFleet(folder, { consumer: consumerName, page: page.url, replicas: serving })
    } catch {}
  }
  const watched = openWatch({
    ...options,
    partitions,
    addresses: [...servers.addresses, ['page', page.url], ...(observers?.addresses ?? [])],
    consumer: consumerName,
    publishes,
    replicas,
    now,
    usage: readUsage,
    onAnswer: tellWhere,
    hint: 'Ctrl-C ends the run: the fleet catches up, drains, and all is verified',
  })
  watched.phase = 'starting'
  watch = watched
  await orFailure(assigned(watched, partitions, now, signal))
  tell(`${replicas.length} replicas serve ${partitions} partitions; their page is ${page.url}`)
  const startLoad = (plan: Omit<SimulatePlan, 'topic'>, processes = 1): Senders => {
    const senders = startSenders({ settings, plan: { ...plan, topic }, processes, now })
    const stop = () => senders.stop()
    signal.addEventListener('abort', stop)
    if (signal.aborted) stop()
    owner.defer(async () => {
      signal.removeEventListener('abort', stop)
      senders.kill()
      await senders.done.catch(() => {})
    })
    return senders
  }
  const catchUp = async (room: Room) => {
    const { ends } = await prepareTopic(settings, topic, partitions)
    await orFailure(caughtUp(watched, ends, room, now, kill))
  }
  const primed = await prime()
  watched.primed = primed

  const style = styleOf(io.env, output.isTerminal)
  let view: ReturnType<typeof openView> | null = null
  const closeView = () => view?.close()
  kill.addEventListener('abort', closeView)
  const watching = new AbortController()
  let looking: Promise<void> = Promise.resolve()
  stack.defer(async () => {
    kill.removeEventListener('abort', closeView)
    watching.abort()
    await looking.catch(() => {})
    view?.close()
  })
  const owned = stack.move()
  owner = owned

  return {
    ...{ settings, servers, logs, topic, table, publishes, partitions, replicas, primed, producedBefore, orFailure },
    watch: watched,
    show(then = () => {}) {
      view = openView(output, style, now)
      looking = watched.run(() => {
        then()
        view?.show(watched.picture())
      }, watching.signal)
      looking.catch(failure.reject)
    },
    load: startLoad,
    caughtUp: catchUp,
    async leave(hint) {
      watched.phase = 'draining'
      watching.abort()
      await looking
      await watched.look()
      // As it stood while everybody was still there: what stays in the scrollback.
      const last = watched.picture()
      view?.show(last)
      // Before anybody is told that no replica answers.
      await observers?.close()
      const endings = await stopReplicas()
      view?.show({ ...last, phase: 'ended', hint })
      view?.close()
      return endings.flatMap((how, index) => {
        const { name, log } = replicas[index] as Replica
        return how === null ? [] : [`${name} did not end in order (${how}); its log is ${log}`]
      })
    },
    prove: () => prove({ settings, consumer, now, signal: kill }, output),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }

  /**
   * The first record of each partition makes the broker write and flush a file for it: measured on a slow disk, five seconds in which 100 partitions
   * take hardly anything. So a few events go through before the clock starts. They are events like all others, and proved with them.
   */
  async function prime(): Promise<number> {
    const beganMs = now()
    const events = Math.min(primedPerPartition * partitions, Math.ceil(options.rate))
    const rate = Math.min(options.rate, events)
    const seed = (options.seed + 1) % Number.MAX_SAFE_INTEGER
    const { produced } = await orFailure(startLoad({ rate, events, seed }).done)
    await catchUp('settle')
    tell(`the first ${count(produced)} events went through in ${((now() - beganMs) / 1000).toFixed(1)} s`)
    return produced
  }
}
