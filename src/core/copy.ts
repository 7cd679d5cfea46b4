/**
 * PostgreSQL's binary COPY format, written straight into a buffer that grows. Every failure of the server to read it would abort a whole batch, so
 * the callers give only what the server takes: UTF-8 without NUL, JSON that jsonb accepts, finite times.
 */

import { copyBytes } from './bytes.ts'
import { assert } from './errors.ts'

export const copySignature = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1')
/** Microseconds from 1970 to 2000, PostgreSQL's epoch. */
export const epochMicros = 946_684_800_000_000

export class CopyWriter {
  #buffer: Buffer
  #at = 0
  rows = 0

  constructor(sizeHint: number) {
    this.#buffer = Buffer.from(new ArrayBuffer(Math.max(sizeHint, 1024)))
    this.#at = copySignature.copy(this.#buffer, 0)
    this.#at = this.#buffer.writeInt32BE(0, this.#at)
    this.#at = this.#buffer.writeInt32BE(0, this.#at)
  }

  /** Opens a row and makes room for it: `bytesMax` bounds all values of the row but those that say otherwise. */
  row(columns: number, bytesMax: number): void {
    this.#room(2 + columns * 4 + bytesMax)
    this.#buffer[this.#at++] = columns >>> 8
    this.#buffer[this.#at++] = columns
    this.rows++
  }

  #room(bytes: number): void {
    // Bytes stored beyond the end of an array are gone without a word.
    assert(this.#at <= this.#buffer.length, () => `a row of the COPY took more than the room made for it`)
    const need = this.#at + bytes + 2
    if (need <= this.#buffer.length) return
    const larger = Buffer.from(new ArrayBuffer(Math.max(need, this.#buffer.length * 2)))
    this.#buffer.copy(larger, 0, 0, this.#at)
    this.#buffer = larger
  }

  null(): void {
    this.#int32(-1)
  }

  int32(value: number): void {
    this.#int32(4)
    this.#int32(value)
  }

  int64(value: number): void {
    const high = Math.floor(value / 0x1_0000_0000)
    this.#int32(8)
    this.#int32(high)
    this.#int32(value - high * 0x1_0000_0000)
  }

  timestamp(microsSince1970: number): void {
    this.int64(microsSince1970 - epochMicros)
  }

  /** The lowest 32 bits, byte by byte: Buffer's own writers check every value and place, four times the cost. */
  #int32(value: number): void {
    const into = this.#buffer
    const at = this.#at
    into[at] = value >>> 24
    into[at + 1] = value >>> 16
    into[at + 2] = value >>> 8
    into[at + 3] = value
    this.#at = at + 4
  }

  /** Raw bytes: text, bytea, uuid. */
  bytes(from: Uint8Array, start: number, end: number): void {
    this.#int32(end - start)
    this.#raw(from, start, end)
  }

  jsonb(from: Uint8Array, start: number, end: number): void {
    this.#int32(end - start + 1)
    this.#buffer[this.#at++] = 1
    this.#raw(from, start, end)
  }

  #raw(from: Uint8Array, start: number, end: number): void {
    copyBytes(from, start, end, this.#buffer, this.#at)
    this.#at += end - start
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
