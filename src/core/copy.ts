/**
 * PostgreSQL's binary COPY format, written straight into a buffer that grows. Every failure of the server to read it would abort a whole batch, so
 * the callers give only what the server takes: UTF-8 without NUL, JSON that jsonb accepts, finite times.
 */

const signature = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1')
/** Microseconds from 1970 to 2000, PostgreSQL's epoch. */
const epochMicros = 946_684_800_000_000

export class CopyWriter {
  #buffer: Buffer
  #at = 0
  rows = 0

  constructor(sizeHint: number) {
    this.#buffer = Buffer.from(new ArrayBuffer(Math.max(sizeHint, 1024)))
    this.#at = signature.copy(this.#buffer, 0)
    this.#at = this.#buffer.writeInt32BE(0, this.#at)
    this.#at = this.#buffer.writeInt32BE(0, this.#at)
  }

  /** Opens a row and makes room for it: `bytesMax` bounds all values of the row but those that say otherwise. */
  row(columns: number, bytesMax: number): void {
    this.#room(2 + columns * 4 + bytesMax)
    this.#at = this.#buffer.writeInt16BE(columns, this.#at)
    this.rows++
  }

  #room(bytes: number): void {
    const need = this.#at + bytes + 2
    if (need <= this.#buffer.length) return
    const larger = Buffer.from(new ArrayBuffer(Math.max(need, this.#buffer.length * 2)))
    this.#buffer.copy(larger, 0, 0, this.#at)
    this.#buffer = larger
  }

  null(): void {
    this.#at = this.#buffer.writeInt32BE(-1, this.#at)
  }

  int32(value: number): void {
    this.#at = this.#buffer.writeInt32BE(4, this.#at)
    this.#at = this.#buffer.writeInt32BE(value, this.#at)
  }

  int64(value: number): void {
    this.#at = this.#buffer.writeInt32BE(8, this.#at)
    this.#int64(value)
  }

  #int64(value: number): void {
    const high = Math.floor(value / 0x1_0000_0000)
    this.#at = this.#buffer.writeInt32BE(high, this.#at)
    this.#at = this.#buffer.writeUInt32BE(value - high * 0x1_0000_0000, this.#at)
  }

  timestamp(microsSince1970: number): void {
    this.#at = this.#buffer.writeInt32BE(8, this.#at)
    this.#int64(microsSince1970 - epochMicros)
  }

  /** Raw bytes: text, bytea, uuid. Short ones by a loop (a native call costs about 50 ns, a byte about 1). */
  bytes(from: Uint8Array, start: number, end: number): void {
    const length = end - start
    this.#at = this.#buffer.writeInt32BE(length, this.#at)
    this.#raw(from, start, end)
  }

  jsonb(from: Uint8Array, start: number, end: number): void {
    this.#at = this.#buffer.writeInt32BE(end - start + 1, this.#at)
    this.#buffer[this.#at++] = 1
    this.#raw(from, start, end)
  }

  #raw(from: Uint8Array, start: number, end: number): void {
    const into = this.#buffer
    let at = this.#at
    if (end - start <= 48) for (let i = start; i < end; i++) into[at++] = from[i] as number
    else {
      into.set(from.subarray(start, end), at)
      at += end - start
    }
    this.#at = at
  }

  /** A text or bytea of any size, for rows that are rare: makes its own room, and some for the small columns behind it. */
  blob(value: Uint8Array | null): void {
    this.#room((value?.length ?? 0) + 128)
    if (value === null) this.null()
    else this.bytes(value, 0, value.length)
  }

  text(value: Uint8Array): void {
    this.blob(value)
  }

  json(value: Uint8Array): void {
    this.#room(value.length + 128)
    this.jsonb(value, 0, value.length)
  }

  /** Closes the stream; the bytes are an exact view whose ArrayBuffer is not shared with anything else. */
  finish(): Uint8Array {
    this.#at = this.#buffer.writeInt16BE(-1, this.#at)
    return this.#buffer.subarray(0, this.#at)
  }
}
