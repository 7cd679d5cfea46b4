/**
 * Rows of COPY ... TO STDOUT (FORMAT binary) as events of a replay. PostgreSQL writes the attributes and the data as they are; a row costs a pass over its
 * bytes, and no string is made of its data. Columns as `columnsSql` has them.
 */
import { assert } from '../core/errors.ts'
import { EntryWriter, type ReplayEvent } from './entry.ts'

export const columnsSql =
  'event_time, kafka_partition, kafka_offset, source, event_id, type, subject, tenant_id, data, data_bytes, extensions'

const fieldCount = 11
const signature = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1')
/** 2000-01-01. */
const epochMicros = 946_684_800_000_000

export class CopyRows {
  readonly #writer: EntryWriter
  readonly #starts = new Int32Array(fieldCount)
  readonly #ends = new Int32Array(fieldCount)

  constructor(replayId: string) {
    this.#writer = new EntryWriter(replayId)
  }

  /** A message of the server: whole rows, the header before the first of them, or the trailer. It is not kept. */
  read(message: Buffer, into: ReplayEvent[]): void {
    let at = 0
    if (message.length >= 19 && message.subarray(0, 11).equals(signature)) at = 19 + message.readInt32BE(15)
    while (at < message.length) {
      const fields = message.readInt16BE(at)
      at += 2
      if (fields === -1) return
      assert(fields === fieldCount, () => `a row of COPY has ${fields} fields, not ${fieldCount}`)
      for (let field = 0; field < fieldCount; field++) {
        const length = message.readInt32BE(at)
        at += 4
        this.#starts[field] = length < 0 ? -1 : at
        if (length > 0) at += length
        this.#ends[field] = at
      }
      into.push(this.#event(message))
    }
  }

  #event(message: Buffer): ReplayEvent {
    const micros = int64(message, this.#starts[0] as number) + epochMicros
    const partition = message.readInt32BE(this.#starts[1])
    const offset = int64(message, this.#starts[2] as number)
    const value = (field: number, skip = 0): Buffer | null => {
      const start = this.#starts[field] as number
      return start < 0 ? null : message.subarray(start + skip, this.#ends[field])
    }
    const entry = this.#writer.row({
      micros,
      source: value(3) as Buffer,
      id: value(4) as Buffer,
      type: value(5) as Buffer,
      subject: value(6),
      tenant: value(7),
      // A byte of version goes before the text of a jsonb.
      data: value(8, 1),
      dataBytes: value(9),
      extensions: value(10, 1),
    })
    return { micros, partition, offset, entry }
  }
}

const int64 = (bytes: Buffer, at: number): number => bytes.readInt32BE(at) * 0x1_0000_0000 + bytes.readUInt32BE(at + 4)
