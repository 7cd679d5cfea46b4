/**
 * Lets a kafkajs producer send record batches that are already encoded: one message per partition, whose value is the batch. kafkajs chooses leaders,
 * connects, authenticates and retries as ever; only the body of the Produce request is put together here (versions 3 to 7, the ones kafkajs speaks
 * and a broker with batches understands, share one layout).
 *
 * An idempotent producer numbers the records of a partition. kafkajs counts messages, of which a batch of ours is one; the number of records is worked
 * out here, from the batch before. One request at a time, as the producer must be used then: kafkajs takes a number back when a request fails.
 *
 * This reaches into kafkajs 2.2.4, which is pinned and will see no other release: the request's module is replaced by one that looks whether the
 * values are ours, and otherwise does what it did.
 */
import type { Message } from 'kafkajs'
import { assert } from '../core/errors.ts'
import { needKafkajsInsides } from '../flow/consume/kafkajs-insides.ts'
import { numberBatch, recordsOf } from './record-batch.ts'

interface Arguments {
  acks: number
  timeout: number
  transactionalId?: string
  /** A Long or its digits; -1 or absent: not idempotent. */
  producerId?: { toString(): string }
  producerEpoch?: number
  topicData: { topic: string; partitions: { partition: number; messages: Message[]; firstSequence?: number }[] }[]
}
interface Request {
  encode: () => Promise<unknown>
}
type MakeRequest = (args: Arguments) => Request

/** A message for `producer.send`; of each partition there may be one per request. Its `compression` option has no effect. */
export class BatchMessage implements Message {
  readonly partition: number
  readonly value: Buffer

  constructor(partition: number, batch: Buffer) {
    this.partition = partition
    this.value = batch
  }
}

/** Where the last batch of a producer's partition stands: which one it was, and its first record's number. */
interface Place {
  readonly batch: number
  readonly sequence: number
  readonly records: number
}
const places = new Map<string, Place>()

/** Writes who sends it and its first record's number into a batch; the same batch again gets the same number. */
function claim(args: Arguments, topic: string, partition: number, batch: number, bytes: Buffer): void {
  const producerId = BigInt(String(args.producerId))
  const epoch = args.producerEpoch ?? 0
  const key = `${producerId}/${epoch}/${topic}/${partition}`
  const last = places.get(key)
  const sequence = last === undefined ? 0 : last.batch === batch ? last.sequence : last.sequence + last.records
  places.set(key, { batch, sequence, records: recordsOf(bytes) })
  numberBatch(bytes, producerId, epoch, sequence, args.transactionalId !== undefined)
}

/** The body of a Produce request, in one buffer of the exact size. */
function encode(args: Arguments): Buffer {
  const { acks, timeout, topicData, transactionalId } = args
  const isNumbered = args.producerId !== undefined && String(args.producerId) !== '-1'
  let bytes = 12 + (transactionalId === undefined ? 0 : Buffer.byteLength(transactionalId))
  for (const { topic, partitions } of topicData) {
    bytes += 2 + Buffer.byteLength(topic) + 4
    for (const { partition, messages } of partitions) {
      assert(
        messages.length === 1,
        () => `${messages.length} encoded batches for partition ${partition} in one request`,
      )
      bytes += 8 + (messages[0] as { value: Buffer }).value.length
    }
  }
  const body = Buffer.allocUnsafeSlow(bytes)
  let at = 2
  if (transactionalId === undefined) body.writeInt16BE(-1, 0)
  else {
    at += body.write(transactionalId, 2)
    body.writeInt16BE(at - 2, 0)
  }
  at = body.writeInt16BE(acks, at)
  at = body.writeInt32BE(timeout, at)
  at = body.writeInt32BE(topicData.length, at)
  for (const { topic, partitions } of topicData) {
    const nameBytes = body.write(topic, at + 2)
    at = body.writeInt16BE(nameBytes, at) + nameBytes
    at = body.writeInt32BE(partitions.length, at)
    for (const { partition, messages, firstSequence = 0 } of partitions) {
      const batch = messages[0]?.value as Buffer
      if (isNumbered) claim(args, topic, partition, firstSequence, batch)
      at = body.writeInt32BE(partition, at)
      at = body.writeInt32BE(batch.length, at)
      at += batch.copy(body, at)
    }
  }
  return body
}

let done = false

/** Call before sending a `BatchMessage`. */
export function acceptBatches(): void {
  if (done) return
  const require = needKafkajsInsides('the simulator')
  const Encoder = require('kafkajs/src/protocol/encoder') as new (bytes: number) => { buf: Buffer; offset: number }
  for (const number of [3, 4, 5, 6, 7]) {
    const path = require.resolve(`kafkajs/src/protocol/requests/produce/v${number}/request`)
    const original = require(path) as MakeRequest
    const cached = require.cache[path] as NodeJS.Module
    cached.exports = (args: Arguments): Request => {
      if (!(args.topicData[0]?.partitions[0]?.messages[0] instanceof BatchMessage)) return original(args)
      const body = encode(args)
      // The encoder takes the body over as it is: writing it would copy it twice, into a buffer cleared first.
      return {
        ...original(args),
        encode: async () => Object.assign(new Encoder(1), { buf: body, offset: body.length }),
      }
    }
  }
  done = true
}
