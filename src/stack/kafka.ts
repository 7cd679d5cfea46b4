/** A Kafka broker that is its own controller, or one of several nodes that are both (KRaft): its settings, its JVM, and when it is ready. */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Kafka, logLevel } from 'kafkajs'
import { mendKafkajs } from '../flow/consume/kafkajs-mend.ts'
import type { KafkaParts } from './install-kafka.ts'
import type { Launch } from './server.ts'

/** Two cores are shared with everything else, so a few threads; single node, so every internal topic has one replica. */
const settings: Record<string, string> = {
  'process.roles': 'broker,controller',
  'node.id': '1',
  'controller.listener.names': 'CONTROLLER',
  'inter.broker.listener.name': 'PLAINTEXT',
  'auto.create.topics.enable': 'false',
  'offsets.topic.replication.factor': '1',
  'offsets.topic.num.partitions': '10',
  'transaction.state.log.replication.factor': '1',
  'transaction.state.log.min.isr': '1',
  'transaction.state.log.num.partitions': '10',
  'share.coordinator.state.topic.replication.factor': '1',
  'share.coordinator.state.topic.min.isr': '1',
  'share.coordinator.state.topic.num.partitions': '1',
  'unclean.leader.election.enable': 'false',
  // A group starts with its first member, and tests may use short sessions.
  // Each partition's first append makes its index files: at the usual 10 MiB each, a hundred of them stall the broker for seconds.
  'log.index.size.max.bytes': '262144',
  'group.initial.rebalance.delay.ms': '0',
  'group.min.session.timeout.ms': '1000',
  // After kill -9 a broker may come back only when the controller has given up its last life; the default is 9 s.
  'broker.session.timeout.ms': '4000',
  'broker.heartbeat.interval.ms': '1000',
  'num.network.threads': '2',
  'num.io.threads': '4',
  'num.recovery.threads.per.data.dir': '2',
  'background.threads': '4',
  'log.cleaner.dedupe.buffer.size': '33554432',
  // An idle controller writes a no-op record this often; the default is 500.
  'metadata.max.idle.interval.ms': '5000',
  // Deleted topics (tests make many) give their disk back soon.
  'log.segment.delete.delay.ms': '1000',
}

/** For tests, which kill brokers and wait for them. */
const quickSettings = { 'broker.session.timeout.ms': '2000', 'broker.heartbeat.interval.ms': '500' }

type KafkaPorts = { kafka: number; controller: number }

export function brokerProperties(data: string, ports: KafkaPorts, overrides: Record<string, string>): string {
  const all = {
    ...settings,
    // The addresses come from here and not from the data, so a stack may come back on other ports.
    'controller.quorum.voters': `1@127.0.0.1:${ports.controller}`,
    listeners: `PLAINTEXT://127.0.0.1:${ports.kafka},CONTROLLER://127.0.0.1:${ports.controller}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${ports.kafka}`,
    'log.dirs': data,
    ...overrides,
  }
  return Object.entries(all)
    .map(([key, value]) => `${key}=${value.replaceAll('\\', '\\\\')}\n`)
    .join('')
}

/** Serial GC: one thread and the cheapest barriers; a young collection of this little live data takes a few milliseconds. */
export function jvmFlags(parts: Omit<KafkaParts, 'format'>, { quick = false, lasting = false } = {}): string[] {
  return [
    ...(quick ? ['-Xms128m', '-Xmx512m'] : ['-Xms512m', '-Xmx1g']),
    '-XX:+UseSerialGC',
    // The first compiler only: for a minute after the start the second one takes a third of a core, which everything here has to share.
    ...(lasting ? [] : ['-XX:TieredStopAtLevel=1']),
    '-XX:-UsePerfData',
    '-XX:+ExitOnOutOfMemoryError',
    ...(parts.archive
      ? ['-Xshare:auto', '-Xlog:cds=off', '-Xlog:cds+dynamic=off', `-XX:SharedArchiveFile=${parts.archive}`]
      : []),
    `-Dlog4j2.configurationFile=${parts.logging}`,
    '-Djava.awt.headless=true',
    '-cp',
    parts.classPath,
  ]
}

/** The JVM's arguments are in a file: with 45 jars, the command line would fill the screen of whoever lists processes. */
export function kafkaMarker(folder: string): string[] {
  return [`@${join(folder, 'kafka.jvm')}`, 'kafka.Kafka']
}

/**
 * `quick` and `lasting` as the stack's options say: a small heap and a short broker session, or the second compiler.
 * A node of a larger cluster is made by overrides: its `node.id`, the quorum's voters, its listeners.
 */
export function launchKafka(
  parts: KafkaParts,
  folder: string,
  ports: KafkaPorts,
  overrides: Record<string, string>,
  kind: { quick?: boolean; lasting?: boolean },
): Launch {
  const data = join(folder, 'kafka')
  const properties = join(folder, 'kafka.properties')
  const id = Number(overrides['node.id'] ?? settings['node.id'])
  return {
    words: () => [parts.java, ...kafkaMarker(folder), properties],
    stopSignal: 'SIGTERM',
    // Its orderly shutdown takes a while and gains nothing when the owner is dead: the log is recovered either way.
    abandonSignal: 'KILL',
    marker: kafkaMarker(folder),
    async prepare() {
      mkdirSync(folder, { recursive: true })
      if (!existsSync(data)) {
        rmSync(`${data}.new`, { recursive: true, force: true })
        cpSync(parts.format, `${data}.new`, { recursive: true })
        if (id !== 1) nameNode(`${data}.new`, id)
        renameSync(`${data}.new`, data)
      }
      const flags = jvmFlags(parts, kind)
      const quoted = flags.map((flag) => `"${flag.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"\n`)
      writeFileSync(join(folder, 'kafka.jvm'), quoted.join(''))
      writeFileSync(properties, brokerProperties(data, ports, { ...(kind.quick ? quickSettings : {}), ...overrides }))
    },
    ready: (signal) => kafkaReady(ports.kafka, id, signal),
  }
}

/** The folder was formatted as node 1. Another node of that cluster differs in two lines, as kafka-storage would write them. */
function nameNode(data: string, id: number): void {
  const file = join(data, 'meta.properties')
  const text = readFileSync(file, 'utf8')
  const directory = createHash('sha256').update(`${id} of ${text}`).digest().subarray(0, 16).toString('base64url')
  writeFileSync(
    file,
    text.replace(/^node\.id=.*$/m, `node.id=${id}`).replace(/^directory\.id=.*$/m, `directory.id=${directory}`),
  )
}

async function kafkaReady(port: number, id: number, signal: AbortSignal): Promise<void> {
  mendKafkajs()
  const client = new Kafka({
    brokers: [`127.0.0.1:${port}`],
    logLevel: logLevel.NOTHING,
    connectionTimeout: 1000,
    requestTimeout: 2000,
    retry: { retries: 0 },
  })
  for (;;) {
    signal.throwIfAborted()
    const admin = client.admin()
    try {
      await admin.connect()
      const { brokers, controller } = await admin.describeCluster()
      // A broker that has not caught up with the controller is fenced and not in the list.
      if (brokers.some(({ nodeId }) => nodeId === id) && controller !== null) return
    } catch {
      // not yet
    } finally {
      await admin.disconnect().catch(() => {})
    }
    await sleep(50, undefined, { signal })
  }
}

/** Runs a broker until it is ready, then stops it in order, which is when the JVM writes its class archive. */
export async function warmUp(java: string, args: string[], port: number, signal?: AbortSignal): Promise<void> {
  const child = spawn(java, args, { stdio: 'ignore', cwd: '/' })
  const gone = once(child, 'exit').catch(() => {})
  const limit = AbortSignal.any([AbortSignal.timeout(60_000), ...(signal ? [signal] : [])])
  try {
    await Promise.race([kafkaReady(port, 1, limit), gone])
    child.kill('SIGTERM')
    await Promise.race([gone, sleep(30_000, undefined, { signal: limit })])
  } catch {
    // Without the archive everything works, only slower; an abort is noticed by the caller.
  } finally {
    child.kill('SIGKILL')
    await gone
  }
  signal?.throwIfAborted()
}
