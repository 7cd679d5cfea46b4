/**
 * Kafka's id of a topic: one made anew under the same name has another, and nothing else tells the two apart once the new log has grown past where
 * the old one was read to. kafkajs speaks Metadata up to version 6; ids came with version 10, so that one request is written here. It goes out over a
 * cluster of kafkajs's own making, with its TLS, login and timeouts. Brokers before Kafka 2.8 do not know ids: the answer is null.
 */
import type { Kafka } from 'kafkajs'
import { encoded } from './kafkajs-request.ts'

interface Broker {
  readonly versions: Readonly<Record<number, { maxVersion: number }>> | null
  readonly connectionPool: { send(call: object): Promise<unknown> }
}
interface Cluster {
  connect(): Promise<void>
  disconnect(): Promise<void>
  readonly brokerPool: { readonly seedBroker: Broker }
}

export interface TopicIds {
  /** As Kafka writes it, in base64; null: not known to the broker, or not told. */
  ask(topic: string): Promise<string | null>
  close(): Promise<void>
}

const metadataKey = 3
const version = 10

export function openTopicIds(kafka: Kafka): TopicIds {
  const symbol = Object.getOwnPropertySymbols(kafka).find(({ description }) => description?.endsWith('createCluster'))
  // Another kafkajs than the one we know: better no id than a guess.
  if (symbol === undefined) return { ask: async () => null, close: async () => {} }
  const create = (kafka as unknown as Record<symbol, (options: object) => Cluster>)[symbol] as (o: object) => Cluster
  let cluster: Cluster | null = null

  return {
    async ask(topic) {
      cluster ??= create({ allowAutoTopicCreation: false })
      await cluster.connect()
      const broker = cluster.brokerPool.seedBroker
      if ((broker.versions?.[metadataKey]?.maxVersion ?? 0) < version) return null
      try {
        return (await broker.connectionPool.send({
          request: {
            apiKey: metadataKey,
            apiVersion: version,
            apiName: 'Metadata',
            encode: async () => encoded(question(topic)),
          },
          response: { decode: async (payload: Buffer) => payload, parse: async (payload: Buffer) => topicId(payload) },
        })) as string | null
      } catch (error) {
        await this.close()
        throw error
      }
    },
    async close() {
      const closing = cluster
      cluster = null
      await closing?.disconnect().catch(() => {})
    },
  }
}

/** Header tags, one topic (no id, its name), no auto-creation, no authorized operations, tags. */
export function question(topic: string): Buffer {
  const name = Buffer.from(topic)
  return Buffer.concat([
    Buffer.from([0, 2]),
    Buffer.alloc(16),
    varint(name.length + 1),
    name,
    Buffer.from([0, 0, 0, 0, 0]),
  ])
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  for (let left = value; ; left >>>= 7) {
    if (left < 0x80) return Buffer.from([...bytes, left])
    bytes.push((left & 0x7f) | 0x80)
  }
}

/** Reads up to the first topic's id; an error of the topic, or the id of zeros, is null. */
export function topicId(payload: Buffer): string | null {
  let at = 0
  const unsigned = () => {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = payload.readUInt8(at++)
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
  }
  const text = () => {
    const size = unsigned() - 1
    at += Math.max(size, 0)
  }
  const tags = () => {
    for (let left = unsigned(); left > 0; left--) {
      unsigned()
      const size = unsigned()
      at += size
    }
  }
  tags()
  at += 4
  for (let brokers = unsigned() - 1; brokers > 0; brokers--) {
    at += 4
    text()
    at += 4
    text()
    tags()
  }
  text()
  at += 4
  if (unsigned() !== 2) return null
  const error = payload.readInt16BE(at)
  at += 2
  text()
  const id = payload.subarray(at, at + 16)
  return error !== 0 || id.length < 16 || id.every((byte) => byte === 0) ? null : id.toString('base64url')
}
