/** Gives kafkajs all five of Kafka's compression types, within a bound: for its producers, and for consumers that read single messages. */
import kafkajs from 'kafkajs'
import { CodecError, type CodecName, codecs, unpack as unpackAny, unpackedBytesMaxDefault } from '../../core/codecs.ts'

export { type CodecName, codecs } from '../../core/codecs.ts'

/** Unpacks one batch, or throws an error that kafkajs does not retry. */
export function unpack(name: CodecName, packed: Buffer, bytesMax: number): Buffer {
  try {
    return unpackAny(name, packed, bytesMax)
  } catch (error) {
    throw error instanceof CodecError ? new kafkajs.KafkaJSNonRetriableError(error.message) : error
  }
}

/** kafkajs keeps its codecs in one table for the whole process, so this is called once, before the first client. Calling it again changes the limit. */
export function registerCodecs(unpackedBytesMax: number = unpackedBytesMaxDefault): void {
  const { GZIP, Snappy, LZ4, ZSTD } = kafkajs.CompressionTypes
  const types: [kafkajs.CompressionTypes, CodecName][] = [
    [GZIP, 'gzip'],
    [Snappy, 'snappy'],
    [LZ4, 'lz4'],
    [ZSTD, 'zstd'],
  ]
  const table = kafkajs.CompressionCodecs as Record<number, () => unknown>
  for (const [type, name] of types) {
    const adapter = {
      compress: async (encoder: { buffer: Buffer }) => codecs[name].compress(encoder.buffer),
      decompress: async (packed: Buffer) => unpack(name, packed, unpackedBytesMax),
    }
    table[type] = () => adapter
  }
}
