/** Bytes from one place to another. Short ones by a loop: a native call costs about 35 ns, a byte about 1. */
export function copyBytes(from: Uint8Array, start: number, end: number, into: Uint8Array, at: number): void {
  if (end - start > 36) copy.call(from, into, at, start, end)
  else for (let i = start; i < end; ) into[at++] = from[i++] as number
}

/** Needs no view of the part, as set() does. */
const { copy } = Buffer.prototype

/** Bytes written one after the other into a buffer that grows and belongs to nobody else, so that it can be transferred. */
export class ByteWriter {
  #buffer: Uint8Array
  length = 0

  constructor(sizeHint: number) {
    this.#buffer = new Uint8Array(sizeHint)
  }

  write(from: Uint8Array, start: number, end: number): void {
    const need = this.length + end - start
    if (need > this.#buffer.length) {
      const larger = new Uint8Array(Math.max(need, this.#buffer.length * 2, 1024))
      larger.set(this.#buffer.subarray(0, this.length))
      this.#buffer = larger
    }
    copyBytes(from, start, end, this.#buffer, this.length)
    this.length = need
  }

  finish(): Uint8Array {
    return this.#buffer.subarray(0, this.length)
  }
}
