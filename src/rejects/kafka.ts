/** A redrive's side of Kafka: a producer that sends a batch and commits an offset for a group of its own in one transaction. */
import { setTimeout as sleep } from 'node:timers/promises'
import kafkajs, { type Kafka, type KafkaConfig, type Message } from 'kafkajs'
import { exactMessage, sendExactRecords } from './kafkajs-record.ts'
import { type RedriveLog, type RedriveRecord, TooLargeError } from './redrive.ts'

export interface RedriveLogOptions {
  readonly kafka: KafkaConfig
  /** The consumer's topic; its partition 0 is where the group's offset is noted. */
  readonly topic: string
  /** Group and transactional id. */
  readonly name: string
}

/** Longer than a batch takes, shorter than anybody would hold the readers of committed records up. */
const transactionTimeoutMs = 30_000
/** Kafka needs a moment to end what a dead redrive has left open. */
const retries = 10
const attemptsHeader = 'millrace-attempts'
const redriveOfHeader = 'millrace-redrive-of'

/**
 * kafkajs does not try all of its requests again. A coordinator that is being elected or still reads its log, as the first group of a new cluster finds
 * it, is there a moment later; and all that is asked here may be asked twice.
 */
async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await ask()
    } catch (error) {
      const { retriable, type = '' } = error as { retriable?: boolean; type?: string }
      if (attempt >= retries || !(retriable === true || /COORDINATOR/.test(type))) throw error
      await sleep(100 * attempt)
    }
  }
}

/**
 * kafkajs tries a send again that has failed in part, with the brokers that have not answered as it sees them then. Where the leader of a partition dies, that
 * leaves its records out (its new leader has answered already, for others) or sends others twice, and the send succeeds. So a second try ends the
 * transaction, and the batch has another one.
 */
function onlyOnce(): (args: { message: Message }) => number {
  const sent = new WeakSet<Message>()
  return ({ message }) => {
    if (sent.has(message)) throw new Error('A broker did not take what was sent to it.')
    sent.add(message)
    return message.partition as number
  }
}

/** How many partitions each of these topics has; those that do not exist are left out. */
export async function partitionsOf(kafka: Kafka, topics: readonly string[]): Promise<Map<string, number>> {
  const admin = kafka.admin()
  await admin.connect()
  try {
    const existing = new Set(await admin.listTopics())
    const { topics: found } = await admin.fetchTopicMetadata({
      topics: [...new Set(topics)].filter((topic) => existing.has(topic)),
    })
    return new Map(found.map(({ name, partitions }) => [name, partitions.length]))
  } finally {
    await admin.disconnect()
  }
}

export async function openRedriveLog({ kafka: config, topic, name }: RedriveLogOptions): Promise<RedriveLog> {
  sendExactRecords()
  const kafka = new kafkajs.Kafka({ ...config, retry: { ...config.retry, retries } })
  const admin = kafka.admin()
  const producer = kafka.producer({
    transactionalId: name,
    idempotent: true,
    maxInFlightRequests: 1,
    transactionTimeout: transactionTimeoutMs,
    allowAutoTopicCreation: false,
    createPartitioner: onlyOnce,
  })
  const close = async () => void (await Promise.allSettled([producer.disconnect(), admin.disconnect()]))
  try {
    await admin.connect()
    await producer.connect()
    // kafkajs takes the transactional id over with its first transaction, not before.
    await patiently(async () => (await producer.transaction()).abort())
  } catch (error) {
    await close()
    throw error
  }
  return {
    close,
    async committed() {
      const [found] = await patiently(() => admin.fetchOffsets({ groupId: name, topics: [topic] }))
      const offset = Number(found?.partitions.find(({ partition }) => partition === 0)?.offset ?? -1)
      return offset < 0 ? null : offset
    },
    async send(records, next, onStep) {
      const transaction = await producer.transaction()
      try {
        const byTopic = Map.groupBy(records, (record) => record.topic)
        for (const [name, all] of byTopic) {
          await transaction.send({
            topic: name,
            messages: all.map(messageOf),
            compression: kafkajs.CompressionTypes.GZIP,
          })
        }
        onStep('produced')
        const offsets = [{ topic, partitions: [{ partition: 0, offset: String(next) }] }]
        await patiently(() => transaction.sendOffsets({ consumerGroupId: name, topics: offsets }))
        onStep('noted')
      } catch (error) {
        await transaction.abort().catch(() => {})
        const { type } = error as { type?: string }
        if (type === 'MESSAGE_TOO_LARGE' || type === 'RECORD_LIST_TOO_LARGE')
          throw new TooLargeError('', { cause: error })
        throw error
      }
      await transaction.commit()
      onStep('committed')
    },
  }
}

/** The record as it was, to the partition it came from, with two headers that say which reject it is and which attempt. */
function messageOf({ id, partition, timestampMs, key, value, headers, attempts }: RedriveRecord): Message {
  const before = headers.filter(([name]) => name !== redriveOfHeader && name !== attemptsHeader)
  return exactMessage({
    partition,
    timestampMs,
    key,
    value,
    headers: [
      ...before.map(([name, base64]) => [name, base64 === null ? null : Buffer.from(base64, 'base64')] as const),
      [redriveOfHeader, Buffer.from(id)],
      [attemptsHeader, Buffer.from(String(attempts + 1))],
    ],
  })
}
