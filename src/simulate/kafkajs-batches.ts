/**
 * Lets a kafkajs producer send record batches that are already encoded: one message per partition, whose value is the batch. kafkajs chooses leaders,
 * connects, authenticates and retries as ever; only the body of the Produce request is put together here (versions 3 to 7, the ones kafkajs speaks
 * and a broker with batches understands, share one layout).
 *
 * This reaches into kafkajs 2.2.4, which is pinned and will see no other release: the request's module is replaced by one that looks whether the
 * values are ours, and otherwise does what it did.
 */
import { createRequire } from 'node:module'
import type { Message } from 'kafkajs'
import { assert } from '../core/errors.ts'

interface Arguments {
  acks: number
  timeout: number
  topicData: { topic: string; partitions: { partition: number; messages: Message[] }[] }[]
}
interface Request {
  encode: () => Promise<unknown>
}
type MakeRequest = (args: Arguments) => Request

const ours = new WeakSet<Buffer>()

/** A message for `producer.send`; of each partition there may be one per request. Its `compression` option has no effect. */
export function messageOfBatch(partition: number, batch: Buffer): Message {
  ours.add(batch)
  return { partition, value: batch }
}

/** The body of a Produce request, in one buffer of the exact size. */
function encode({ acks, timeout, topicData }: Arguments): Buffer {
  let bytes = 12
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
  // No transactional id.
  let at = body.writeInt16BE(-1, 0)
  at = body.writeInt16BE(acks, at)
  at = body.writeInt32BE(timeout, at)
  at = body.writeInt32BE(topicData.length, at)
  for (const { topic, partitions } of topicData) {
    const nameBytes = body.write(topic, at + 2)
    at = body.writeInt16BE(nameBytes, at) + nameBytes
    at = body.writeInt32BE(partitions.length, at)
    for (const { partition, messages } of partitions) {
      const batch = messages[0]?.value as Buffer
      at = body.writeInt32BE(partition, at)
      at = body.writeInt32BE(batch.length, at)
      at += batch.copy(body, at)
    }
  }
  return body
}

let done = false

/** Call before sending a message of `messageOfBatch`. */
export function acceptBatches(): void {
  if (done) return
  const require = createRequire(import.meta.url)
  const { version } = require('kafkajs/package.json') as { version: string }
  assert(version === '2.2.4', () => `kafkajs is ${version}; the simulator knows the insides of 2.2.4 only`)
  const Encoder = require('kafkajs/src/protocol/encoder') as new (bytes: number) => { buf: Buffer; offset: number }
  for (const number of [3, 4, 5, 6, 7]) {
    const path = require.resolve(`kafkajs/src/protocol/requests/produce/v${number}/request`)
    const original = require(path) as MakeRequest
    const cached = require.cache[path] as NodeJS.Module
    cached.exports = (args: Arguments): Request => {
      const value = args.topicData[0]?.partitions[0]?.messages[0]?.value
      if (!Buffer.isBuffer(value) || !ours.has(value)) return original(args)
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
