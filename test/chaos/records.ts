/** Records of the topic as Kafka holds them now: for scenarios that are about to take them away. */
import { registerCodecs } from '../../src/flow/consume/codecs.ts'
import { openKafkaReader, type Range } from '../../src/records/kafka-reader.ts'
import type { World } from './scenario.ts'

/** What tells a record from all others in the load's account. */
export interface Told {
  readonly partition: number
  readonly timeMs: number
  /** Of its event, where it holds one. */
  readonly source: string | null
  readonly id: string | null
}

export async function readRecords(world: World, ranges: readonly Range[]): Promise<Told[]> {
  registerCodecs()
  const reader = await openKafkaReader({ brokers: world.ground.kafka.brokers.split(',') }, world.topic, world.signal)
  const found: Told[] = []
  try {
    const feed = reader.read(ranges, () => {})
    for (;;) {
      if (feed.empty) await feed.ready()
      const record = feed.head()
      if (record === undefined) return found
      const { partition, timestampMs: timeMs, value, headers } = record
      found.push({ partition, timeMs, ...nameOf(value, headers) })
      feed.take()
    }
  } finally {
    await reader.close()
  }
}

function nameOf(value: Buffer | null, headers: Record<string, unknown> | undefined) {
  const [source, id] = [headers?.ce_source, headers?.ce_id]
  if (source !== undefined && id !== undefined) return { source: String(source), id: String(id) }
  try {
    const event = JSON.parse(String(value)) as { source?: unknown; id?: unknown }
    if (typeof event.source === 'string' && typeof event.id === 'string') return { source: event.source, id: event.id }
  } catch {
    // a bad one
  }
  return { source: null, id: null }
}
