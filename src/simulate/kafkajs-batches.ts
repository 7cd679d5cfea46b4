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

function encode({ acks, timeout, topicData }: Arguments): Buffer {
  const parts: Buffer[] = []
  const head = Buffer.alloc(12)
  // No transactional id.
  head.writeInt16BE(-1, 0)
  head.writeInt16BE(acks, 2)
  head.writeInt32BE(timeout, 4)
  head.writeInt32BE(topicData.length, 8)
  parts.push(head)
  for (const { topic, partitions } of topicData) {
    const name = Buffer.from(topic)
    const heading = Buffer.allocUnsafe(2 + name.length + 4)
    heading.writeInt16BE(name.length, 0)
    name.copy(heading, 2)
    heading.writeInt32BE(partitions.length, 2 + name.length)
    parts.push(heading)
    for (const { partition, messages } of partitions) {
      const batch = messages[0]?.value as Buffer
      assert(
        messages.length === 1,
        () => `${messages.length} encoded batches for partition ${partition} in one request`,
      )
      const numbers = Buffer.allocUnsafe(8)
      numbers.writeInt32BE(partition, 0)
      numbers.writeInt32BE(batch.length, 4)
      parts.push(numbers, batch)
    }
  }
  return Buffer.concat(parts)
}

let done = false

/** Call before sending a message of `messageOfBatch`. */
export function acceptBatches(): void {
  if (done) return
  const require = createRequire(import.meta.url)
  const { version } = require('kafkajs/package.json') as { version: string }
  assert(version === '2.2.4', () => `kafkajs is ${version}; the simulator knows the insides of 2.2.4 only`)
  const Encoder = require('kafkajs/src/protocol/encoder') as new (
    bytes: number,
  ) => { writeBuffer(bytes: Buffer): unknown }
  for (const number of [3, 4, 5, 6, 7]) {
    const path = require.resolve(`kafkajs/src/protocol/requests/produce/v${number}/request`)
    const original = require(path) as MakeRequest
    const cached = require.cache[path] as NodeJS.Module
    cached.exports = (args: Arguments): Request => {
      const value = args.topicData[0]?.partitions[0]?.messages[0]?.value
      if (!Buffer.isBuffer(value) || !ours.has(value)) return original(args)
      const body = encode(args)
      return { ...original(args), encode: async () => new Encoder(body.length).writeBuffer(body) }
    }
  }
  done = true
}
