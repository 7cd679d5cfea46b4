/** Fills the topic as fast as the broker takes it: events in binary mode, and the row's key as the record's key. */
import { eventId } from '../src/core/identity.ts'
import { mendKafkajs } from '../src/flow/consume/kafkajs-mend.ts'
import { createEvents, type SimulatedRecord } from '../src/simulate/events.ts'
import { acceptBatches, messageOfBatch } from '../src/simulate/kafkajs-batches.ts'
import { createBatchBuilder } from '../src/simulate/record-batch.ts'
import { topic, type World } from './world.ts'

const recordsPerRequest = 20_000

export function keyed(record: SimulatedRecord): SimulatedRecord {
  const { timestampMs, source, id, headers } = record
  // A few events have no time of their own; the sink on Kafka Connect has nothing to put in its place.
  const time = headers.ce_time ?? Buffer.from(new Date(timestampMs).toISOString())
  return { ...record, key: eventId(timestampMs, source, id), headers: { ...headers, ce_time: time } }
}

export async function fill(world: World, partitions: number, events: number, seed: number): Promise<void> {
  const { kafka, signal, say } = world
  say(`producing ${events} events`)
  mendKafkajs()
  acceptBatches()
  const source = createEvents({ seed, partitions, binary: 1, duplicates: 0, poison: 0 })
  const builders = Array.from({ length: partitions }, createBatchBuilder)
  const producer = kafka.producer({
    allowAutoTopicCreation: false,
    createPartitioner:
      () =>
      ({ message }) =>
        message.partition ?? 0,
  })
  await producer.connect()
  const from = performance.now()
  let bytes = 0
  for (let made = 0; made < events; ) {
    signal.throwIfAborted()
    const count = Math.min(recordsPerRequest, events - made)
    const nowMs = Date.now()
    for (let n = 0; n < count; n++) {
      const record = keyed(source.next(nowMs))
      bytes += builders[record.partition]?.add(record) ?? 0
    }
    made += count
    const messages = builders.flatMap((builder, partition) =>
      builder.count === 0 ? [] : [messageOfBatch(partition, builder.finish('snappy'))],
    )
    await producer.send({ topic, messages, acks: 1 })
  }
  await producer.disconnect()
  const seconds = (performance.now() - from) / 1000
  say(`  ${Math.round(events / seconds)} events/s, ${Math.round(bytes / events)} bytes each`)
}
