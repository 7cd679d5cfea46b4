/**
 * A cluster of Kafka brokers on this machine to do harm to: three nodes that are brokers and controllers (or one), every topic in three copies of
 * which two must have a record before it is acknowledged.
 *
 * Promises: each broker can be killed, stopped for a while and started by its number, on the same ports and data; no broker outlives this process,
 * however it ends. Whoever is given `via` as its brokers speaks to each of them through a proxy, and can be cut off from any of them while all others are not.
 */
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import kafkajs, { type KafkaConfig } from 'kafkajs'
import { mendKafkajs } from '../../../src/flow/consume/kafkajs-mend.ts'
import { launchKafka } from '../../../src/stack/kafka.ts'
import { type Identity, isAlive } from '../../../src/stack/lock.mjs'
import { installParts } from '../../../src/stack/parts.ts'
import { freePort } from '../../../src/stack/ports.ts'
import { awaitReady, endProcess, type Launch, PortTakenError, spawnServer } from '../../../src/stack/server.ts'
import { removeFolder } from '../../../src/stack/sweep.ts'
import { startWatchdog } from '../../../src/stack/watchdog.ts'
import { startProxy, type TcpProxy } from '../../e2e/proxy.ts'
import { until } from '../../e2e/until.ts'
import { openFolder } from './folder.ts'
import { describe, electPreferred, findController, type PartitionState } from './kafka-requests.ts'

export type Cut = 'silence' | 'reset'

export interface KafkaCluster {
  readonly ids: readonly number[]
  /** host:port, with commas: what MILLRACE_KAFKA takes. */
  readonly brokers: string
  /** The same brokers through our proxies, also when they name each other. */
  readonly via: string
  /** For clients of the suite's own. */
  readonly config: KafkaConfig
  readonly folder: string
  log(id: number): string
  isRunning(id: number): boolean
  pid(id: number): number
  /** SIGKILL by default, and resolves when the process is gone. SIGSTOP and SIGCONT only reach it. */
  kill(id: number, signal?: NodeJS.Signals): Promise<void>
  /** Resolves when it answers and its cluster knows it. */
  start(id: number): Promise<void>
  /** Every broker answers, knows all others, and sees every partition with all its copies in sync. */
  untilHealthy(limitMs?: number): Promise<void>
  /** As the brokers see it, those that run; all topics unless one is named. */
  partitions(topic?: string): Promise<PartitionState[]>
  /** How many partitions of the topic each broker leads. */
  leads(topic: string): Promise<Map<number, number>>
  /** The active controller. */
  controller(): Promise<number>
  /** The broker that coordinates this consumer group, or this transactional id; -1: none. */
  coordinator(name: string, of?: 'group' | 'transaction'): Promise<number>
  /** Gives every broker its share again: the leader of each partition is its first replica, where that is in sync. */
  electPreferred(topic: string): Promise<void>
  /** Moves the leadership of every partition of the topic to the replica after the one that leads it. */
  moveLeaders(topic: string): Promise<void>
  /** Who speaks through the proxies no longer reaches these brokers: bytes are held back, or connections reset and refused. */
  cut(how: Cut, ids?: readonly number[]): void
  mend(): void
  stop(): Promise<void>
}

const settings = {
  'default.replication.factor': 3,
  'min.insync.replicas': 2,
  'offsets.topic.replication.factor': 3,
  'transaction.state.log.replication.factor': 3,
  'transaction.state.log.min.isr': 2,
  'share.coordinator.state.topic.replication.factor': 3,
  'share.coordinator.state.topic.min.isr': 2,
}
/** What is asked of three copies, of what is there. */
const copies = (count: number) =>
  Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, String(count === 1 ? 1 : value)]))

/** Long enough for a broker that waits for its share of two cores, short enough that the others take over soon. */
const session = { 'broker.session.timeout.ms': '4000', 'broker.heartbeat.interval.ms': '500' }
const readyMs = 60_000

interface Node {
  readonly id: number
  readonly port: number
  readonly proxy: TcpProxy
  readonly launch: Launch
  readonly log: string
  identity: Identity | undefined
}

export async function startKafkaCluster(options: {
  readonly root: string
  readonly name: string
  readonly brokers?: 1 | 3
  /** Settings of all brokers, over ours. */
  readonly settings?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}): Promise<KafkaCluster> {
  const { root, name, signal } = options
  mendKafkajs()
  const parts = (await installParts(root, ['kafka'], () => {}, signal)).kafka!
  const folder = openFolder(root, name)
  const watchdog = startWatchdog()

  const taken = new Set<number>()
  const port = async () => {
    const found = await freePort(taken)
    taken.add(found)
    return found
  }
  const ids = Array.from({ length: options.brokers ?? 3 }, (_, index) => index + 1)
  const ports = await Promise.all(
    ids.map(async () => ({ kafka: await port(), controller: await port(), via: await port() })),
  )
  const voters = ids.map((id, index) => `${id}@127.0.0.1:${ports[index]!.controller}`).join()
  const nodes = new Map<number, Node>()
  for (const [index, id] of ids.entries()) {
    const { kafka, controller, via } = ports[index]!
    const proxy = await startProxy(`tcp://127.0.0.1:${via}`)
    const overrides = {
      'node.id': String(id),
      'controller.quorum.voters': voters,
      listeners: `PLAINTEXT://127.0.0.1:${kafka},VIA://127.0.0.1:${via},CONTROLLER://127.0.0.1:${controller}`,
      'advertised.listeners': `PLAINTEXT://127.0.0.1:${kafka},VIA://127.0.0.1:${proxy.port}`,
      'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,VIA:PLAINTEXT,CONTROLLER:PLAINTEXT',
      ...copies(ids.length),
      ...session,
      ...options.settings,
    }
    const home = join(folder, `broker-${id}`)
    mkdirSync(home, { recursive: true })
    const launch = launchKafka(parts, home, { kafka, controller }, overrides, { quick: true })
    nodes.set(id, { id, port: kafka, proxy, launch, log: join(home, 'kafka.log'), identity: undefined })
  }
  const all = [...nodes.values()]
  const node = (id: number) => nodes.get(id) as Node
  const clientOf = (brokers: string[]) =>
    new kafkajs.Kafka({
      brokers,
      logLevel: kafkajs.logLevel.NOTHING,
      connectionTimeout: 2000,
      requestTimeout: 5000,
      retry: { retries: 0 },
    })
  const addressOf = ({ port }: Node) => `127.0.0.1:${port}`
  const brokers = all.map(addressOf)

  const start = async (id: number) => {
    const one = node(id)
    for (let tries = 1; ; tries++) {
      await one.launch.prepare(signal)
      const running = spawnServer(one.launch, one.log)
      one.identity = running.identity
      watchdog.add(running.identity, one.launch.abandonSignal)
      void running.exited.then(() => watchdog.drop(running.identity))
      try {
        return await awaitReady(`broker ${id}`, one.launch, running, readyMs, signal)
      } catch (error) {
        await endProcess(running.identity, 'SIGKILL')
        if (!(error instanceof PortTakenError) || tries === 10) throw error
        await sleep(500)
      }
    }
  }
  const kill = async (id: number, by: NodeJS.Signals = 'SIGKILL') => {
    const { identity } = node(id)
    if (identity === undefined || !isAlive(identity)) return
    if (by === 'SIGSTOP' || by === 'SIGCONT') process.kill(identity.pid, by)
    else await endProcess(identity, by)
  }
  const stop = async () => {
    await Promise.all(ids.map((id) => kill(id)))
    await Promise.all(all.map(({ proxy }) => proxy.close()))
    watchdog.done()
    removeFolder(folder)
  }
  /** Of the brokers that answer, the first one's answer: what runs may be stopped by SIGSTOP. */
  const firstOf = <T>(question: (kafka: kafkajs.Kafka) => Promise<T>) =>
    until('a broker to answer', readyMs, () => Promise.any(brokers.map((one) => question(clientOf([one])))))
  const partitions = async (topic?: string) => {
    const found = await firstOf(describe)
    return found.partitions.filter((one) => topic === undefined || one.topic === topic)
  }

  const elect = async (topic: string) => {
    const all = (await partitions(topic)).map(({ partition }) => partition)
    await firstOf((one) => electPreferred(one, topic, all))
  }

  try {
    await Promise.all(ids.map(start))
  } catch (error) {
    await stop()
    throw error
  }

  return {
    ids,
    brokers: brokers.join(),
    via: all.map(({ proxy }) => `127.0.0.1:${proxy.port}`).join(),
    config: { brokers, logLevel: kafkajs.logLevel.NOTHING },
    folder,
    log: (id) => readFileSync(node(id).log, 'utf8'),
    isRunning: (id) => isAlive(node(id).identity),
    pid: (id) => node(id).identity?.pid ?? 0,
    kill,
    start,
    async untilHealthy(limitMs = readyMs) {
      await until('all brokers in sync', limitMs, async () => {
        for (const one of brokers) {
          const seen = await describe(clientOf([one]))
          if (seen.ids.join() !== ids.join()) throw new Error(`${one} knows ${seen.ids.join()}`)
          const behind = seen.partitions.filter(
            ({ leader, isr, replicas }) => leader < 0 || isr.length < replicas.length,
          )
          if (behind.length > 0) throw new Error(`${one} sees ${behind.length} partitions without all copies`)
        }
        return true
      })
    },
    partitions,
    async leads(topic) {
      const found = new Map(ids.map((id) => [id, 0]))
      for (const { leader } of await partitions(topic)) found.set(leader, (found.get(leader) ?? 0) + 1)
      return found
    },
    controller: () => firstOf(findController),
    async coordinator(name, of = 'group') {
      const table = await partitions(of === 'group' ? '__consumer_offsets' : '__transaction_state')
      // As Kafka does: Java's hash of the name.
      const hash = [...name].reduce((sum, letter) => (Math.imul(sum, 31) + letter.charCodeAt(0)) | 0, 0)
      const chosen = (hash & 0x7fffffff) % table.length
      return table.find(({ partition }) => partition === chosen)?.leader ?? -1
    },
    async moveLeaders(topic) {
      const now = await partitions(topic)
      const kafka = new kafkajs.Kafka({ brokers, logLevel: kafkajs.logLevel.NOTHING })
      const admin = kafka.admin()
      await admin.connect()
      try {
        const partitionAssignment = now.map(({ partition, leader, replicas }) => {
          const at = replicas.indexOf(leader) + 1
          return { partition, replicas: [...replicas.slice(at), ...replicas.slice(0, at)] }
        })
        await admin.alterPartitionReassignments({ topics: [{ topic, partitionAssignment }] })
      } finally {
        await admin.disconnect()
      }
      await elect(topic)
    },
    electPreferred: elect,
    cut(how, cutIds = ids) {
      for (const id of cutIds) how === 'silence' ? node(id).proxy.hold() : node(id).proxy.cut()
    },
    mend() {
      for (const { proxy } of all) {
        proxy.mend()
        proxy.release()
      }
    },
    stop,
  }
}
