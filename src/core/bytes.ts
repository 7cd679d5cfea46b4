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
    this.#buffer.set(from.subarray(start, end), this.length)
    this.length = need
  }

  finish(): Uint8Array {
    return this.#buffer.subarray(0, this.length)
  }
}
