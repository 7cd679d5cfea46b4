/** What must be there before the fleet is: the schema of this version, and the topic. */
import kafkajs from 'kafkajs'
import { FatalError } from '../core/errors.ts'
import type { Settings } from '../core/settings.ts'
import { mendKafkajs } from '../flow/consume/kafkajs-mend.ts'
import { kafkaConfig, kafkaFailure } from '../process/connect-kafka.ts'
import { connectPostgres } from '../process/connect-postgres.ts'
import { migrate } from '../schema/migrate.ts'
import { ensureTopic } from '../simulate/topic.ts'
import { type TopicEnds, topicEnds } from '../verify/kafka-marks.ts'

export async function migrateAll(settings: Settings, signal: AbortSignal): Promise<void> {
  const session = await connectPostgres(settings, 'millrace start')
  try {
    await migrate({ session, signal })
  } finally {
    await session.end()
  }
}

/** The topic as it is, made where it was missing. -1: as many copies as the brokers make by default. */
export async function prepareTopic(
  settings: Settings,
  topic: string,
  wanted: number,
): Promise<{ partitions: number; ends: TopicEnds }> {
  mendKafkajs()
  try {
    const kafka = new kafkajs.Kafka(kafkaConfig(settings))
    const partitions = await ensureTopic(kafka, topic, { partitions: wanted, replicationFactor: -1 })
    return { partitions, ends: await topicEnds(kafka, topic) }
  } catch (error) {
    throw error instanceof FatalError ? error : kafkaFailure(error, settings)
  }
}
