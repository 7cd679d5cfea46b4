/** PostgreSQL's binary COPY format read back: rows of fields, each the bytes of one value or null. For memory.ts, and for whoever has to look into one. */

const signatureBytes = 11

export function readCopy(bytes: Uint8Array): (Buffer | null)[][] {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const rows: (Buffer | null)[][] = []
  // Signature, flags, and an extension of the length that follows them.
  let at = signatureBytes + 8 + view.readInt32BE(signatureBytes + 4)
  for (;;) {
    const columns = view.readInt16BE(at)
    at += 2
    if (columns === -1) break
    const row: (Buffer | null)[] = []
    for (let column = 0; column < columns; column++) {
      const length = view.readInt32BE(at)
      at += 4
      if (length === -1) row.push(null)
      else {
        if (at + length > view.length) throw new RangeError(`a value at ${at} reaches beyond the end of the stream`)
        row.push(view.subarray(at, at + length))
        at += length
      }
    }
    rows.push(row)
  }
  if (at !== view.length) throw new RangeError(`${view.length - at} bytes follow the end of the stream`)
  return rows
}

/** int8, and timestamptz as microseconds since 2000. */
export function readInt64(bytes: Buffer): number {
  return bytes.readInt32BE(0) * 0x1_0000_0000 + bytes.readUInt32BE(4)
}

/** Microseconds since 1970. */
export function readTimestamp(bytes: Buffer): number {
  return readInt64(bytes) + 946_684_800_000_000
}

/** The JSON text behind jsonb's version byte. */
export function readJsonb(bytes: Buffer): string {
  return bytes.toString('utf8', 1)
}
