/**
 * Rows of COPY ... TO STDOUT (FORMAT binary) as events of a replay. PostgreSQL writes the attributes and the data as they are; a row costs a pass over its
 * bytes, and no string is made of its data. Columns as `columnsSql` has them.
 */
import { copySignature, epochMicros } from '../core/copy.ts'
import { assert } from '../core/errors.ts'
import { DATA, EntryWriter, EXTENSIONS, type ReplayEvent, rowPlaces } from './entry.ts'

export const columnsSql =
  'event_time, kafka_partition, kafka_offset, source, event_id, type, subject, tenant_id, data, data_bytes, extensions'

const fieldCount = 11
/** Where the columns that an entry is made of begin. */
const keyFields = 3
const headerBytes = 19

export class CopyRows {
  readonly #writer: EntryWriter
  readonly #places = rowPlaces()
  readonly #keyStarts = new Int32Array(keyFields)

  constructor(replayId: string) {
    this.#writer = new EntryWriter(replayId)
  }

  /** A message of the server lies in [start, end): whole rows, the header before the first of them, or the trailer. It is not kept. */
  read(bytes: Buffer, start: number, end: number, into: ReplayEvent[]): void {
    const { starts, ends } = this.#places
    let at = start
    if (
      bytes[at] === copySignature[0] &&
      end - at >= headerBytes &&
      copySignature.equals(bytes.subarray(at, at + copySignature.length))
    )
      at += headerBytes + bytes.readInt32BE(at + 15)
    while (at < end) {
      const fields = bytes.readInt16BE(at)
      at += 2
      if (fields === -1) return
      assert(fields === fieldCount, () => `a row of COPY has ${fields} fields, not ${fieldCount}`)
      for (let field = 0; field < fieldCount; field++) {
        const length = int32(bytes, at)
        at += 4
        const isKey = field < keyFields
        if (isKey) this.#keyStarts[field] = at
        else starts[field - keyFields] = length < 0 ? -1 : at
        if (length > 0) at += length
        if (!isKey) ends[field - keyFields] = at
      }
      into.push(this.#event(bytes))
    }
  }

  #event(bytes: Buffer): ReplayEvent {
    const places = this.#places
    const [timeAt = 0, partitionAt = 0, offsetAt = 0] = this.#keyStarts
    places.micros = int64(bytes, timeAt) + epochMicros
    // A byte of version goes before the text of a jsonb.
    for (const field of [DATA, EXTENSIONS]) if ((places.starts[field] as number) >= 0) places.starts[field]!++
    return this.#writer.row(bytes, places, int32(bytes, partitionAt), int64(bytes, offsetAt))
  }
}

/** Byte by byte: Buffer's own readers check every place. */
const int32 = (bytes: Buffer, at: number): number =>
  ((bytes[at] as number) << 24) |
  ((bytes[at + 1] as number) << 16) |
  ((bytes[at + 2] as number) << 8) |
  (bytes[at + 3] as number)
const int64 = (bytes: Buffer, at: number): number => int32(bytes, at) * 0x1_0000_0000 + (int32(bytes, at + 4) >>> 0)
