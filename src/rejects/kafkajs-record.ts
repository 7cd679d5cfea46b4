/**
 * Lets a kafkajs producer send a record exactly as it was. kafkajs keeps headers in an object, which loses the order of repeated ones and moves names
 * that are numbers to the front, and it throws at a header without a value. A message made here brings its headers as pairs.
 *
 * This reaches into kafkajs 2.2.4, which is pinned and will see no other release: the function that encodes a record is replaced by one that looks for
 * the pairs, and otherwise is what it was. Call before the first client of the process sends anything.
 */
import type { Message } from 'kafkajs'
import { assert } from '../core/errors.ts'
import { needKafkajsInsides } from '../flow/consume/kafkajs-insides.ts'

export type ExactHeaders = readonly (readonly [name: string, value: Buffer | null])[]

interface Encoder {
  size(): number
  writeVarInt(value: number): Encoder
  writeInt8(value: number): Encoder
  writeVarLong(value: number): Encoder
  writeVarIntString(value: string): Encoder
  writeVarIntBytes(value: Buffer | null): Encoder
  writeVarIntArray(values: readonly Encoder[]): Encoder
  writeEncoder(value: Encoder): Encoder
}
interface EncodedRecord {
  readonly offsetDelta?: number
  readonly timestampDelta?: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly exactHeaders?: ExactHeaders
}

export function exactMessage(record: {
  readonly partition: number
  readonly timestampMs: string
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: ExactHeaders
}): Message {
  const { partition, timestampMs: timestamp, key, value, headers: exactHeaders } = record
  return { partition, timestamp, key, value, exactHeaders } as Message
}

let done = false

export function sendExactRecords(): void {
  if (done) return
  const require = needKafkajsInsides('redrive')
  const Encoder = require('kafkajs/src/protocol/encoder') as new () => Encoder
  const path = require.resolve('kafkajs/src/protocol/recordBatch/record/v0')
  const original = require(path) as (record: EncodedRecord) => Encoder
  const user = require.resolve('kafkajs/src/protocol/requests/produce/v3/request')
  // Whoever has loaded it holds on to what it was.
  assert(require.cache[user] === undefined, () => 'sendExactRecords() comes after the first record sent')
  const cached = require.cache[path] as NodeJS.Module
  cached.exports = (record: EncodedRecord): Encoder => {
    const { offsetDelta = 0, timestampDelta = 0, key, value, exactHeaders } = record
    if (exactHeaders === undefined) return original(record)
    const body = new Encoder()
      .writeInt8(0)
      .writeVarLong(timestampDelta)
      .writeVarInt(offsetDelta)
      .writeVarIntBytes(key)
      .writeVarIntBytes(value)
      .writeVarIntArray(exactHeaders.map(([name, own]) => new Encoder().writeVarIntString(name).writeVarIntBytes(own)))
    return new Encoder().writeVarInt(body.size()).writeEncoder(body)
  }
  done = true
}
