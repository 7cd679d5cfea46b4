/**
 * What a fleet's principal may lack in Kafka, found out without leaving a trace: a heartbeat of a member that no group has needs Read on the group and
 * is refused as unknown; a fetch far behind the end needs Read on the topic and is refused as out of range. Asked before the group is joined, because a
 * member that may not read would take partitions away from the others first.
 *
 * kafkajs has no public way to send either. Like records/kafka-reader.ts this reaches into 2.2.4, which is pinned and will see no other release.
 */
import { createRequire } from 'node:module'
import type { Settings } from '../core/settings.ts'
import { causes } from './cause.ts'
import { kafkaConfig } from './connect-kafka.ts'

interface Broker {
  heartbeat(request: object): Promise<unknown>
  fetch(request: object): Promise<unknown>
}
interface Cluster {
  connect(): Promise<void>
  disconnect(): Promise<void>
  addTargetTopic(topic: string): Promise<void>
  refreshMetadata(): Promise<void>
  findControllerBroker(): Promise<Broker>
  findLeaderForPartitions(topic: string, partitions: number[]): Record<string, number[]>
  findBroker(of: { nodeId: string }): Promise<Broker>
}

const generationNobodyHas = 2 ** 31 - 1
const offsetNobodyReaches = String(Number.MAX_SAFE_INTEGER)
const quiet = { namespace: () => quiet, setLogLevel() {}, error() {}, warn() {}, info() {}, debug() {} }

/** In words, like `Read on topic cloud-events`; empty when nothing is missing. */
export async function lackingKafka(settings: Settings, topic: string, group: string): Promise<string[]> {
  const require = createRequire(import.meta.url)
  const Cluster = require('kafkajs/src/cluster') as new (options: object) => Cluster
  const { socketFactory, ...config } = kafkaConfig(settings)
  const cluster = new Cluster({
    ...config,
    socketFactory,
    logger: quiet,
    metadataMaxAge: 300_000,
    allowAutoTopicCreation: false,
  })
  await cluster.connect()
  try {
    const lacking: string[] = []
    const need = async (what: string, ask: () => Promise<unknown>) => {
      if (await denied(ask)) lacking.push(what)
    }
    // Any broker looks at the right first, and only then whether the group is its own.
    await need(`Read on group ${group}`, async () => {
      await cluster.refreshMetadata()
      const broker = await cluster.findControllerBroker()
      await broker.heartbeat({ groupId: group, groupGenerationId: generationNobodyHas, memberId: 'millrace-asks' })
    })
    await need(`Read on topic ${topic}`, async () => {
      await cluster.addTargetTopic(topic)
      const leader = Object.keys(cluster.findLeaderForPartitions(topic, [0]))[0]
      const broker = await cluster.findBroker({ nodeId: leader ?? '' })
      const partitions = [{ partition: 0, fetchOffset: offsetNobodyReaches, maxBytes: 1 }]
      await broker.fetch({
        replicaId: -1,
        isolationLevel: 1,
        maxWaitTime: 0,
        topics: [{ topic, partitions }],
        rackId: '',
      })
    })
    return lacking
  } finally {
    await cluster.disconnect()
  }
}

/** Whether the answer is a refusal for want of a right. Any other error will come again where it matters, and is told there. */
async function denied(ask: () => Promise<unknown>): Promise<boolean> {
  try {
    await ask()
    return false
  } catch (error) {
    return causes(error).some(({ type }: Error & { type?: string }) =>
      /^(TOPIC|GROUP)_AUTHORIZATION_FAILED$/.test(type ?? ''),
    )
  }
}
