import assert from 'node:assert/strict'
import { test } from 'node:test'
import zlib from 'node:zlib'
import fc from 'fast-check'
import kafkajs from 'kafkajs'
import lz4 from 'lz4-napi'
import snappy from 'snappy'
import { type CodecName, codecs, registerCodecs, unpack } from '../../../src/flow/consume/codecs.ts'

const names = Object.keys(codecs) as CodecName[]
const limit = 1024 * 1024

test('property: every codec gives back what it was given', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.string({ minLength: 1, maxLength: 2000 }).map((text) => Buffer.from(text.repeat(80))),
    // Around the edges of Java's 32 KiB blocks and LZ4's 64 KiB ones.
    fc
      .constantFrom(32_767, 32_768, 32_769, 65_535, 65_536, 65_537, 200_000)
      .map((size) => Buffer.alloc(size, 'event ')),
  )
  for (const name of names) {
    fc.assert(
      fc.property(bytes, (raw) =>
        unpack(name, codecs[name].compress(Buffer.from(raw)), limit).equals(Buffer.from(raw)),
      ),
      { numRuns: 60 },
    )
  }
})

/** The records of a batch as the Java client 4.3.1 packed them. */
const javaWrote: Record<CodecName, string> = {
  gzip: '1f8b08000000000000ffab60606060c936c8a856ca4c51b2522a2fca2c2949cd5348aa5448afca2c50d2514a492c49044a242625a321a55a0600b774cee93d000000',
  snappy:
    '82534e41505059000000000100000001000000423ff03e7c000000046b306c7b226964223a227772697474656e20627920736e61707079222c2264617461223a22616263616263616263616263616263616263227d00',
  lz4: '04224d1860408234000000f91b76000000046b30667b226964223a227772697474656e206279206c7a34222c2264617461223a226162630300506263227d0000000000',
  zstd: '28b52ffd0058ac0100e40278000000046b30687b226964223a227772697474656e206279207a737464222c2264617461223a22616263227d000100b37365010000',
}

test("what Java's producer packed", () => {
  for (const name of names) {
    const value = `{"id":"written by ${name}","data":"${'abc'.repeat(6)}"}`
    assert.ok(unpack(name, Buffer.from(javaWrote[name], 'hex'), limit).includes(value), name)
  }
})

test('snappy: raw blocks are read too, as clients other than Java write them', () => {
  const raw = Buffer.from('{"specversion":"1.0"}'.repeat(20))
  assert.deepEqual(unpack('snappy', snappy.compressSync(raw), limit), raw)
})

test("snappy: written with Java's stream header and blocks of at most 32 KiB", () => {
  const packed = codecs.snappy.compress(Buffer.alloc(100_000, 'abc'))
  assert.equal(packed.subarray(0, 16).toString('hex'), '82534e41505059000000000100000001')
  let blocks = 0
  for (let at = 16; at < packed.length; at += 4 + packed.readUInt32BE(at)) blocks++
  assert.equal(blocks, 4)
})

test('a bomb is refused by name and limit, before or while it unpacks', () => {
  const raw = Buffer.alloc(4 * limit)
  const bombs: Record<CodecName, Buffer> = {
    gzip: zlib.gzipSync(raw),
    snappy: snappy.compressSync(raw),
    lz4: lz4.compressFrameSync(raw),
    zstd: zlib.zstdCompressSync(raw),
  }
  for (const name of names) {
    assert.throws(
      () => unpack(name, bombs[name], limit),
      (error: unknown) =>
        error instanceof kafkajs.KafkaJSNonRetriableError &&
        error.message.includes(name) &&
        error.message.includes(`${limit}`),
      name,
    )
    assert.equal(unpack(name, bombs[name], raw.length).length, raw.length, `${name}: exactly the limit is fine`)
  }
  // A length that is only announced: nothing may be allocated for it.
  const announced = Buffer.from('ffffffff0f00', 'hex')
  assert.throws(() => unpack('snappy', announced, limit), /4294967295 bytes/)
})

test('property: bytes that are no batch are an error that is not retried, never a crash or a hang', () => {
  const xerial = Buffer.from('82534e41505059000000000100000001', 'hex')
  const starts = [
    Buffer.alloc(0),
    xerial,
    Buffer.from('04224d186040', 'hex'),
    Buffer.from('28b52ffd', 'hex'),
    Buffer.from('1f8b08', 'hex'),
  ]
  fc.assert(
    fc.property(
      fc.constantFrom(...names),
      fc.constantFrom(...starts),
      fc.uint8Array({ maxLength: 60 }),
      (name, start, rest) => {
        try {
          unpack(name, Buffer.concat([start, rest]), limit)
          return true
        } catch (error) {
          return error instanceof kafkajs.KafkaJSNonRetriableError && error.message.includes(name)
        }
      },
    ),
    { numRuns: 1000 },
  )
})

test('a batch cut short anywhere is an error, not fewer bytes', () => {
  const raw = Buffer.from(JSON.stringify({ specversion: '1.0', id: 'a', data: 'x'.repeat(300) }))
  for (const name of names) {
    const packed = codecs[name].compress(raw)
    // Java's snappy stream has no end mark: its header alone is a whole stream of nothing (kafkajs then misses the records).
    for (let length = 0; length < packed.length; length++) {
      if (name === 'snappy' && length === 16) continue
      let unpacked: Buffer | undefined
      try {
        unpacked = unpack(name, packed.subarray(0, length), limit)
      } catch (error) {
        assert.ok(error instanceof kafkajs.KafkaJSNonRetriableError)
      }
      if (unpacked !== undefined) assert.deepEqual(unpacked, raw, `${name} cut at ${length} of ${packed.length}`)
    }
  }
})

interface Adapter {
  compress(encoder: { buffer: Buffer }): Promise<Buffer>
  decompress(packed: Buffer): Promise<Buffer>
}

test('registering puts all five in kafkajs', async () => {
  registerCodecs()
  const { GZIP, Snappy, LZ4, ZSTD } = kafkajs.CompressionTypes
  for (const type of [GZIP, Snappy, LZ4, ZSTD]) {
    const codec = (kafkajs.CompressionCodecs as Record<number, () => Adapter>)[type]!()
    const raw = Buffer.from('{"id":"1"}')
    assert.deepEqual(await codec.decompress(await codec.compress({ buffer: raw })), raw)
  }
})
