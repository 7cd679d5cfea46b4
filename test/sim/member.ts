/**
 * One process of the simulated fleet: the real service (gate, lanes, hallway, settler, absence, health) on the memory rooms. It can be killed, put to
 * sleep, cut off, and told to end; what it has sent is on its way all the same.
 */
import type { Logger } from 'pino'
import type { Sleep } from '../../src/core/backoff.ts'
import { FatalError } from '../../src/core/errors.ts'
import { createMetrics } from '../../src/core/registry.ts'
import type { Business } from '../../src/core/tally.ts'
import { type MemoryGroup, type MemoryKafka, openMemoryConsume } from '../../src/flow/consume/memory.ts'
import { openMemoryDecode } from '../../src/flow/decode/memory.ts'
import { type MemoryDatabase, openMemoryPersist } from '../../src/flow/persist/memory.ts'
import { type MemoryStreams, openMemoryPublish } from '../../src/flow/publish/memory.ts'
import { openService, type Service, type ServiceSettings } from '../../src/process/service.ts'
import type { Random } from '../../src/simulate/random.ts'
import { nowMs as epochMs, limits } from '../flow/batches.ts'
import type { Clock } from './clock.ts'
import { definition } from './load.ts'
import type { Sender, ServerName, Wire } from './wire.ts'

/** What a member shares with the others. */
export interface Surroundings {
  readonly clock: Clock
  readonly random: Random
  readonly wire: Wire
  readonly kafka: MemoryKafka
  readonly group: MemoryGroup
  readonly database: MemoryDatabase
  readonly streams: MemoryStreams
  readonly settings: ServiceSettings
  readonly business: Business
  readonly clustered: boolean
  readonly note: (who: string, what: string) => void
  readonly counted: (what: string) => void
  readonly settled: (partition: number, nextOffset: number) => void
}

export interface Member extends Sender {
  readonly service: Service
  readonly isAsleep: boolean
  readonly awakeSinceMs: number
  readonly cut: Set<ServerName>
  /** Its clock is so much ahead of the simulated time. */
  stepMs: number
  isDead: boolean
  /** Nothing of it runs until then. */
  sleepUntil(atMs: number): void
  /** SIGTERM. */
  drain(): void
  /** The Kafka client gives up. */
  crashClient(): void
}

export function startMember(
  name: string,
  around: Surroundings,
  ended: (member: Member, error: unknown) => void,
): Member {
  const { clock, random, wire, kafka, group, settings, note, counted } = around
  let asleepUntilMs = 0
  const client = Promise.withResolvers<never>()
  client.promise.catch(() => {})
  const stop = new AbortController()
  const drained = new AbortController()

  const sleep: Sleep = (ms, signal) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    if (signal.aborted) return Promise.reject(signal.reason)
    const onAbort = () => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    member.deliver(ms, () => {
      signal.removeEventListener('abort', onAbort)
      resolve()
    })
    return promise
  }

  const call = <T>(server: ServerName, what: string, apply: () => T) => wire.call(member, server, what, apply)
  const plain = openMemoryConsume(
    { ...kafka, onAppend: (wake) => kafka.onAppend(() => member.deliver(random.unit() * 2, wake)) },
    {
      group: 'sim',
      name,
      settle: {
        commit: (nextOffsets) =>
          call('kafka', `settle ${[...nextOffsets].map(([partition, to]) => `${partition}:${to}`).join(' ')}`, () => {
            for (const [partition, nextOffset] of nextOffsets) {
              around.settled(partition, nextOffset)
              group.committed.set(partition, nextOffset)
            }
          }),
      },
      fetchBatchesMax: 1 + random.below(5),
      async trip(what, ask) {
        for (;;) {
          try {
            return await call('kafka', what, ask)
          } catch (error) {
            if (what === 'watermarks') throw error
            await sleep(100 + random.unit() * 400, stop.signal)
          }
        }
      },
      hear: (wake) => member.deliver(random.unit() * (random.unit() < 0.3 ? 3000 : 20), wake),
      wait: (happened) => Promise.race([happened, sleep(settings.fetchWaitMs, stop.signal).catch(() => {})]),
    },
  )
  const consume = {
    ...plain,
    run: (handlers: Parameters<typeof plain.run>[0]) => Promise.race([plain.run(handlers), client.promise]),
  }
  const { database, streams } = around
  const persist = openMemoryPersist(
    {
      ...database,
      commit: (apply, what = '') => call('postgres', `COMMIT ${what}`, apply),
      ask: (apply, what = '') => call('postgres', what, apply),
    },
    { consumer: limits.consumer, topic: definition.topic },
  )
  const publish = openMemoryPublish(
    { ...streams, call: (apply, what = '') => call('redis', what, apply) },
    { callEntriesMax: 1 + random.below(12), byPartition: around.clustered },
  )

  const member: Member = {
    name,
    isDead: false,
    stepMs: 0,
    cut: new Set(),
    get isAsleep() {
      return clock.nowMs < asleepUntilMs
    },
    get awakeSinceMs() {
      return asleepUntilMs
    },
    deliver(delayMs, run) {
      clock.after(delayMs, () => {
        if (member.isDead) return
        if (clock.nowMs < asleepUntilMs) member.deliver(asleepUntilMs - clock.nowMs, run)
        else run()
      })
    },
    sleepUntil(atMs) {
      asleepUntilMs = Math.max(asleepUntilMs, atMs)
    },
    drain: () => member.deliver(0, () => drained.abort()),
    crashClient: () =>
      member.deliver(0, () => client.reject(new FatalError('KAFKA_CRASHED', 'The Kafka client gave up.', ''))),
    get service() {
      return service
    },
  }

  const say = (level: string) => (about: object, text: string | undefined) => {
    if (text === undefined) {
      counted(`${about}`)
      return note(name, `${about}`)
    }
    const { err, ...rest } = about as { err?: Error }
    const detail = { ...rest, ...(err && { err: err.message }) }
    counted(text)
    const { code } = detail as { code?: string }
    if (code !== undefined) counted(`${text}: ${code}`)
    note(name, `${level === 'debug' ? '' : `${level}: `}${text} ${JSON.stringify(detail)}`)
  }
  const logger = { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') }
  const service = openService({
    settings,
    consumer: limits.consumer,
    topic: definition.topic,
    rooms: {
      consume,
      decode: openMemoryDecode(definition, limits, () => epochMs + clock.nowMs + member.stepMs),
      persist,
      publish,
      publishes: true,
      partitionCount: kafka.partitions,
    },
    rejectRuns: [],
    logger: logger as unknown as Logger,
    metrics: createMetrics({ processMetrics: false }),
    business: around.business,
    clock: {
      nowMs: () => epochMs + clock.nowMs + member.stepMs,
      steadyMs: () => clock.nowMs,
      random: random.unit,
      sleep,
    },
    drain: drained.signal,
    stop,
    horizonDays: () => 1,
  })
  note(name, 'starts')
  service.serve().then(
    () => ended(member, null),
    (error: unknown) => ended(member, error),
  )
  return member
}
