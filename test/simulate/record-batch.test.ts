import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import fc from 'fast-check'
import { registerCodecs } from '../../src/flow/consume/codecs.ts'
import { mendKafkajs } from '../../src/flow/consume/kafkajs-mend.ts'
import { crc32c, createBatchBuilder } from '../../src/simulate/record-batch.ts'

registerCodecs()
// Without it, kafkajs misreads a header named `constructor`.
mendKafkajs()
const require = createRequire(import.meta.url)
const Decoder = require('kafkajs/src/protocol/decoder')
const decodeBatch = require('kafkajs/src/protocol/recordBatch/v0/decoder')
const kafkajsCrc32c = require('kafkajs/src/protocol/recordBatch/crc32C')

test('CRC-32C: the known answer, and what kafkajs computes', () => {
  assert.equal(crc32c(Buffer.from('123456789')), 0xe3069283)
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      (bytes) => crc32c(bytes) === kafkajsCrc32c(Buffer.from(bytes)) >>> 0,
    ),
  )
})

const text = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 40 }), fc.string({ minLength: 5000, maxLength: 9000 }))
const record = fc.record({
  key: fc.string({ unit: 'grapheme', maxLength: 20 }),
  value: fc.oneof(
    text,
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  ),
  timestampMs: fc.integer({ min: 1_790_000_000_000, max: 1_790_900_000_000 }),
  headers: fc.dictionary(
    fc.string({ minLength: 1, maxLength: 12 }),
    fc.oneof(fc.string({ unit: 'grapheme' }), fc.constant(Buffer.of(0, 255))),
    {
      maxKeys: 4,
      noNullPrototype: true,
    },
  ),
})

test('property: kafkajs reads back what the builder wrote, with every codec, batch after batch', async () => {
  const builder = createBatchBuilder()
  const codec = fc.constantFrom('none', 'gzip', 'snappy', 'lz4', 'zstd')
  await fc.assert(
    fc.asyncProperty(fc.array(record, { minLength: 1, maxLength: 70 }), codec, async (records, name) => {
      const contentBytes = records.map((one) => builder.add(one))
      assert.equal(builder.count, records.length)
      const batch = builder.finish(name)
      assert.equal(builder.count, 0)
      assert.equal(batch.readUInt32BE(17), crc32c(batch, 21))
      const decoded = await decodeBatch(new Decoder(batch))
      assert.equal(decoded.lastOffsetDelta, records.length - 1)
      assert.equal(Number(decoded.maxTimestamp), Math.max(...records.map(({ timestampMs }) => timestampMs)))
      for (const [i, wanted] of records.entries()) {
        const got = decoded.records[i]
        assert.equal(Number(got.offset), i)
        assert.equal(Number(got.timestamp), wanted.timestampMs)
        assert.deepEqual(got.key, Buffer.from(wanted.key))
        assert.deepEqual(got.value, Buffer.from(wanted.value as string))
        assert.equal(contentBytes[i], got.key.length + got.value.length)
        const headers = Object.fromEntries(
          Object.entries(wanted.headers).map(([n, v]) => [n, Buffer.from(v as string)]),
        )
        assert.deepEqual({ ...got.headers }, headers)
      }
    }),
    { numRuns: 60 },
  )
})
