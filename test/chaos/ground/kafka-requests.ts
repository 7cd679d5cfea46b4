/** What kafkajs cannot ask: one named broker about the cluster as it sees it, who leads the controllers, and elections of preferred leaders. */
import type { Kafka } from 'kafkajs'

export interface PartitionState {
  readonly topic: string
  readonly partition: number
  /** -1: none. */
  readonly leader: number
  /** The preferred leader first. */
  readonly replicas: readonly number[]
  readonly isr: readonly number[]
}

interface Metadata {
  readonly brokers: readonly { nodeId: number }[]
  readonly topicMetadata: readonly {
    topic: string
    partitionMetadata: readonly { partitionId: number; leader: number; replicas: number[]; isr: number[] }[]
  }[]
}
interface Broker {
  metadata(topics: readonly string[]): Promise<Metadata>
  readonly connectionPool: { send(call: object): Promise<unknown> }
}
interface Cluster {
  connect(): Promise<void>
  disconnect(): Promise<void>
  readonly brokerPool: { readonly seedBroker: Broker }
}

/** One question over a connection of its own to the first broker of this client that answers. */
export async function ask<T>(kafka: Kafka, question: (broker: Broker) => Promise<T>): Promise<T> {
  const symbol = Object.getOwnPropertySymbols(kafka).find(({ description }) => description?.endsWith('createCluster'))
  const create = (kafka as unknown as Record<symbol, (options: object) => Cluster>)[symbol as symbol] as (
    options: object,
  ) => Cluster
  const cluster = create({ allowAutoTopicCreation: false })
  try {
    await cluster.connect()
    return await question(cluster.brokerPool.seedBroker)
  } finally {
    await cluster.disconnect().catch(() => {})
  }
}

/** All topics, those of Kafka's own too. */
export async function describe(kafka: Kafka): Promise<{ ids: number[]; partitions: PartitionState[] }> {
  const { brokers, topicMetadata } = await ask(kafka, (broker) => broker.metadata([]))
  return {
    ids: brokers.map(({ nodeId }) => nodeId).sort(),
    partitions: topicMetadata.flatMap(({ topic, partitionMetadata }) =>
      partitionMetadata.map(({ partitionId, leader, replicas, isr }) => ({
        topic,
        partition: partitionId,
        leader,
        replicas,
        isr,
      })),
    ),
  }
}

const encoded = (buffer: Buffer) => ({ buf: buffer, buffer, size: () => buffer.length })

const send = (kafka: Kafka, apiKey: number, apiVersion: number, apiName: string, body: Buffer) =>
  ask(kafka, async (broker) => {
    const request = { apiKey, apiVersion, apiName, encode: async () => encoded(body) }
    const whole = async (payload: Buffer) => payload
    return (await broker.connectionPool.send({ request, response: { decode: whole, parse: whole } })) as Buffer
  })

/** The active controller. Metadata answers any broker in its place (KRaft); DescribeQuorum tells. */
export async function findController(kafka: Kafka): Promise<number> {
  const name = Buffer.from('__cluster_metadata')
  const question = Buffer.concat([
    // Header tags, one topic, its name, one partition: 0; tags thrice and those of the body.
    Buffer.from([0, 2, name.length + 1]),
    name,
    Buffer.from([2, 0, 0, 0, 0, 0, 0, 0]),
  ])
  const answer = await send(kafka, 55, 0, 'DescribeQuorum', question)
  // Header tags, error, topics, the name, partitions, index, error: all of known size.
  const at = 1 + 2 + 1 + 1 + name.length + 1 + 4
  const errors = [answer.readInt16BE(1), answer.readInt16BE(at)]
  if (errors.some((code) => code !== 0)) throw new Error(`DescribeQuorum answers ${errors.join(', ')}`)
  return answer.readInt32BE(at + 2)
}

/** Makes the first replica of each of these partitions its leader. */
export async function electPreferred(kafka: Kafka, topic: string, partitions: readonly number[]): Promise<void> {
  const name = Buffer.from(topic)
  const question = Buffer.alloc(1 + 4 + 2 + name.length + 4 + 4 * partitions.length + 4)
  let at = question.writeInt8(0, 0)
  at = question.writeInt32BE(1, at)
  at = question.writeInt16BE(name.length, at)
  at += name.copy(question, at)
  at = question.writeInt32BE(partitions.length, at)
  for (const partition of partitions) at = question.writeInt32BE(partition, at)
  question.writeInt32BE(10_000, at)
  const answer = await send(kafka, 43, 1, 'ElectLeaders', question)
  const error = answer.readInt16BE(4)
  if (error !== 0) throw new Error(`ElectLeaders answers ${error}`)
}
