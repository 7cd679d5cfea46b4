/** What Kafka says of a topic as a whole: where partitions begin and end, what a group has settled, whether old records are compacted away. */
import kafkajs, { type Kafka } from 'kafkajs'
import type { Watermarks } from '../core/ledger.ts'

export type TopicEnds = ReadonlyMap<number, Watermarks>

export async function topicEnds(kafka: Kafka, topic: string): Promise<TopicEnds> {
  const admin = kafka.admin()
  try {
    await admin.connect()
    const offsets = await admin.fetchTopicOffsets(topic)
    return new Map(offsets.map(({ partition, low, high }) => [partition, { low: Number(low), high: Number(high) }]))
  } finally {
    await admin.disconnect()
  }
}

export async function committedOffsets(kafka: Kafka, group: string, topic: string): Promise<Map<number, number>> {
  const admin = kafka.admin()
  try {
    await admin.connect()
    const [found] = await admin.fetchOffsets({ groupId: group, topics: [topic] })
    const offsets = (found?.partitions ?? []).map(({ partition, offset }) => [partition, Number(offset)] as const)
    // -1: nothing was committed.
    return new Map(offsets.filter(([, offset]) => offset >= 0))
  } finally {
    await admin.disconnect()
  }
}

/** Whoever may not ask is told no: then a row without its record is a finding, which is the safer mistake. */
export async function isCompacted(kafka: Kafka, topic: string): Promise<boolean> {
  const admin = kafka.admin()
  try {
    await admin.connect()
    const { resources } = await admin.describeConfigs({
      includeSynonyms: false,
      resources: [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: topic, configNames: ['cleanup.policy'] }],
    })
    return resources[0]?.configEntries.some(({ configValue }) => configValue.includes('compact')) ?? false
  } catch {
    return false
  } finally {
    await admin.disconnect()
  }
}
