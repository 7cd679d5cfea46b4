/** Fills the topic: events in binary mode, and the row's key as the record's key, for a sink on Kafka Connect can compute neither. */
import kafkajs from 'kafkajs'
import { eventId } from '../src/core/identity.ts'
import type { SimulatedRecord } from '../src/simulate/events.ts'
import { type SimulatePlan, type SimulateStats, simulate } from '../src/simulate/kafka.ts'
import { topic, unexplained, type World } from './world.ts'

function keyed(record: SimulatedRecord): SimulatedRecord {
  const { timestampMs, source, id, headers } = record
  // A few events have no time of their own; the sink on Kafka Connect has nothing to put in its place.
  const time = headers.ce_time ?? Buffer.from(new Date(timestampMs).toISOString())
  return { ...record, key: eventId(timestampMs, source, id), headers: { ...headers, ce_time: time } }
}

export function produce({ stack, signal }: World, plan: Omit<SimulatePlan, 'topic'>): Promise<SimulateStats> {
  return simulate({
    binary: 1,
    ...plan,
    topic,
    // A topic made a moment ago has no leaders yet; the client asks again.
    kafka: { brokers: [stack.kafka], logLevel: kafkajs.logLevel.NOTHING },
    shape: keyed,
    signal,
    now: Date.now,
    explain: unexplained,
  })
}

/** As fast as the broker takes them. */
export async function fill(
  world: World,
  events: number,
  plan: { seed?: number; size?: readonly [number, number] } = {},
): Promise<void> {
  world.say(`producing ${events} events`)
  const { bytes, elapsedMs } = await produce(world, {
    seed: 1,
    ...plan,
    rate: Number.POSITIVE_INFINITY,
    events,
    acks: 1,
  })
  world.say(`  ${Math.round((events / elapsedMs) * 1000)} events/s, ${Math.round(bytes / events)} bytes each`)
}
