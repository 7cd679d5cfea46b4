/** Where the topic begins and ends, and which offsets its times are at: asked through an admin client, no group is touched. */
import type { Kafka, KafkaConfig } from 'kafkajs'
import { openKafkaReader } from '../records/kafka-reader.ts'
import type { TopicTimes } from './plan.ts'

export async function withTopicTimes<T>(
  kafka: Kafka,
  config: KafkaConfig,
  topic: string,
  signal: AbortSignal,
  use: (times: TopicTimes) => Promise<T>,
): Promise<T> {
  const admin = kafka.admin()
  try {
    await admin.connect()
    const ends = async () =>
      new Map(
        (await admin.fetchTopicOffsets(topic)).map(({ partition, low, high }) => [
          partition,
          { low: Number(low), high: Number(high) },
        ]),
      )
    return await use({
      ends,
      // Its end where there is no such record: kafkajs itself says so.
      at: async (ms) =>
        new Map(
          (await admin.fetchTopicOffsetsByTimestamp(topic, ms)).map(({ partition, offset }) => [
            partition,
            Number(offset),
          ]),
        ),
      async timeOf(partition, offset) {
        const to = (await ends()).get(partition)?.high ?? offset
        if (offset >= to) return null
        const reader = await openKafkaReader(config, topic, signal)
        try {
          const feed = reader.read([{ partition, from: offset, to }], () => {})
          if (feed.empty) await feed.ready()
          return feed.head()?.timestampMs ?? null
        } finally {
          await reader.close()
        }
      },
    })
  } finally {
    await admin.disconnect().catch(() => {})
  }
}
