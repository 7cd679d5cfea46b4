/**
 * What Kafka says of a topic as a whole: what a group has settled, where the partitions begin and end, whether old records are compacted away.
 * Settled is asked for first: each of these only grows, so what was settled then must have been stored whenever anybody looks later.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import kafkajs, { type Admin, type Kafka } from 'kafkajs'
import type { Watermarks } from '../core/ledger.ts'

const attemptsMax = 10

export type TopicEnds = ReadonlyMap<number, Watermarks>

export interface KafkaMarks {
  readonly committed: ReadonlyMap<number, number>
  readonly ends: TopicEnds
  readonly compacted: boolean
}

export async function kafkaMarks(kafka: Kafka, group: string, topic: string): Promise<KafkaMarks> {
  return withAdmin(kafka, async (admin) => {
    const [found] = await patiently(() => admin.fetchOffsets({ groupId: group, topics: [topic] }))
    const offsets = (found?.partitions ?? []).map(({ partition, offset }) => [partition, Number(offset)] as const)
    return {
      // -1: nothing was committed.
      committed: new Map(offsets.filter(([, offset]) => offset >= 0)),
      ends: await endsOf(admin, topic),
      compacted: await isCompacted(admin, topic),
    }
  })
}

export function topicEnds(kafka: Kafka, topic: string): Promise<TopicEnds> {
  return withAdmin(kafka, (admin) => endsOf(admin, topic))
}

async function withAdmin<T>(kafka: Kafka, ask: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = kafka.admin()
  try {
    await admin.connect()
    return await ask(admin)
  } finally {
    await admin.disconnect()
  }
}

async function endsOf(admin: Admin, topic: string): Promise<TopicEnds> {
  const offsets = await patiently(() => admin.fetchTopicOffsets(topic))
  return new Map(offsets.map(({ partition, low, high }) => [partition, { low: Number(low), high: Number(high) }]))
}

/**
 * A topic made a moment ago has leaders that do not know of it yet, and a broker started a moment ago is still loading its groups. The client's admin
 * hands both on as errors.
 */
async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await ask()
    } catch (error) {
      if ((error as { retriable?: boolean }).retriable !== true || attempt === attemptsMax) throw error
      await sleep(100 * attempt)
    }
  }
}

/** Whoever may not ask is told no: then a row without its record is a finding, which is the safer mistake. */
async function isCompacted(admin: Admin, topic: string): Promise<boolean> {
  try {
    const { resources } = await admin.describeConfigs({
      includeSynonyms: false,
      resources: [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: topic, configNames: ['cleanup.policy'] }],
    })
    return resources[0]?.configEntries.some(({ configValue }) => configValue.includes('compact')) ?? false
  } catch {
    return false
  }
}
