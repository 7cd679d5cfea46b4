/** Finds the topic, or makes it when asked to. */
import type { Kafka } from 'kafkajs'
import { FatalError } from '../core/errors.ts'

export interface TopicPlan {
  readonly partitions: number
  readonly replicationFactor: number
}

/** The number of partitions. Without a plan, a missing topic is an error that says what to do; the client's own errors pass as they are. */
export async function ensureTopic(kafka: Kafka, topic: string, plan?: TopicPlan): Promise<number> {
  const admin = kafka.admin()
  try {
    await admin.connect()
    const exists = (await admin.listTopics()).includes(topic)
    if (!exists) {
      if (plan === undefined) {
        throw new FatalError(
          'TOPIC_MISSING',
          `The topic '${topic}' does not exist.`,
          'Create it, or repeat the command with --create.',
        )
      }
      const { partitions, replicationFactor } = plan
      // waitForLeaders: a produce request right after would find no leader.
      await admin.createTopics({
        topics: [{ topic, numPartitions: partitions, replicationFactor }],
        waitForLeaders: true,
      })
    }
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
    return topics[0]?.partitions.length ?? 0
  } finally {
    await admin.disconnect().catch(() => {})
  }
}
