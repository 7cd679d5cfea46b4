/** Bytes from one place to another. Short ones by a loop: a native call costs about 35 ns, a byte about 1. */
export function copyBytes(from: Uint8Array, start: number, end: number, into: Uint8Array, at: number): void {
  if (end - start > 36) copy.call(from, into, at, start, end)
  else for (let i = start; i < end; ) into[at++] = from[i++] as number
}

/** Needs no view of the part, as set() does. */
const { copy } = Buffer.prototype

/** Printable ASCII without quotation mark and backslash. */
const plainInJson = new Uint8Array(256).fill(1, 0x20, 0x7f)
plainInJson[0x22] = 0
plainInJson[0x5c] = 0

/** Bytes written one after the other into a buffer that grows and belongs to nobody else, so that it can be transferred. */
export class ByteWriter {
  #buffer: Uint8Array<ArrayBuffer>
  length = 0

  constructor(sizeHint: number) {
    this.#buffer = new Uint8Array(sizeHint)
  }

  #room(bytes: number): void {
    const need = this.length + bytes
    if (need <= this.#buffer.length) return
    const larger = new Uint8Array(Math.max(need, this.#buffer.length * 2, 1024))
    larger.set(this.#buffer.subarray(0, this.length))
    this.#buffer = larger
  }

  write(from: Uint8Array, start: number, end: number): void {
    this.#room(end - start)
    copyBytes(from, start, end, this.#buffer, this.length)
    this.length += end - start
  }

  byte(value: number): void {
    this.#room(1)
    this.#buffer[this.length++] = value
  }

  /** What another one has from `start` on. */
  append(other: ByteWriter, start = 0): void {
    this.write(other.#buffer, start, other.length)
  }

  /** Text that stands in JSON as it is; false, and nothing is written, where some of it does not. */
  plain(from: Uint8Array, start: number, end: number): boolean {
    this.#room(end - start)
    const into = this.#buffer
    let at = this.length
    for (let i = start; i < end; i++) {
      const byte = from[i] as number
      if (plainInJson[byte] === 0) return false
      into[at++] = byte
    }
    this.length = at
    return true
  }

  /** Takes back what was written from `start` on. */
  take(start: number): Buffer {
    const taken = Buffer.allocUnsafe(this.length - start)
    copyBytes(this.#buffer, start, this.length, taken, 0)
    this.length = start
    return taken
  }

  finish(): Uint8Array {
    return this.#buffer.subarray(0, this.length)
  }
}
