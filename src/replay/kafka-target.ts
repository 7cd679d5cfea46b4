/**
 * A topic of Kafka, in structured mode, keyed by subject so that what happened to one thing stays in order. Acknowledged by all replicas before the position
 * moves on: killed, the last write may come again, under the same event ids.
 */
import kafkajs, { type KafkaConfig } from 'kafkajs'
import { FatalError } from '../core/errors.ts'
import type { ReplayEvent } from './entry.ts'
import type { ReplayTarget } from './target.ts'

export interface KafkaTargetOptions {
  readonly kafka: KafkaConfig
  readonly topic: string
}

const headers = { 'content-type': 'application/cloudevents+json; charset=UTF-8' }
/** A topic takes 1 MiB a batch by default. */
const sendBytesMax = 512 * 1024

export async function openKafkaTarget({ kafka: config, topic }: KafkaTargetOptions): Promise<ReplayTarget> {
  const kafka = new kafkajs.Kafka(config)
  const producer = kafka.producer({
    idempotent: true,
    maxInFlightRequests: 1,
    allowAutoTopicCreation: false,
    createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
  })
  const admin = kafka.admin()
  try {
    await admin.connect()
    if (!(await admin.listTopics()).includes(topic)) {
      throw new FatalError(
        'TOPIC_MISSING',
        `The topic '${topic}' does not exist, or this user may not see it.`,
        'Create it, with as many partitions as its readers want.',
      )
    }
    await producer.connect()
  } catch (error) {
    await producer.disconnect().catch(() => {})
    throw error
  } finally {
    await admin.disconnect().catch(() => {})
  }
  return {
    rewinds: true,
    after: async () => undefined,
    async write(events) {
      for (const piece of pieces(events)) {
        try {
          await producer.send({
            topic,
            acks: -1,
            messages: piece.map(({ entry }) => ({ key: keyOf(entry), value: entry, headers })),
          })
        } catch (error) {
          const { type } = error as { type?: string }
          if (type !== 'MESSAGE_TOO_LARGE' && type !== 'RECORD_LIST_TOO_LARGE') throw error
          throw new FatalError(
            'REPLAY_REFUSED',
            `The topic ${topic} does not take records of this size.`,
            'Raise its max.message.bytes, then go on with the replay.',
            error,
          )
        }
      }
    },
    settle: async () => null,
    finish: async () => {},
    discard: async () => {},
    close: () => producer.disconnect(),
  }
}

function keyOf(entry: Buffer): string {
  const { subject, source, id } = JSON.parse(entry.toString('utf8')) as Record<string, string | undefined>
  return subject ?? `${source} ${id}`
}

function* pieces(events: readonly ReplayEvent[]): Generator<readonly ReplayEvent[]> {
  let from = 0
  let bytes = 0
  for (const [index, { entry }] of events.entries()) {
    if (index > from && bytes + entry.length > sendBytesMax) {
      yield events.slice(from, index)
      from = index
      bytes = 0
    }
    bytes += entry.length
  }
  yield events.slice(from)
}
