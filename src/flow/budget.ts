/** Back-pressure: one bound on the bytes in flight of a whole process. Whoever takes records in waits here; what has left gives room back. */

export class Budget {
  readonly #bytesMax: number
  #bytes = 0
  #waiting: (() => void)[] = []

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Waits for room, then takes it. A single load larger than the bound passes when nothing else is in flight. */
  async take(bytes: number): Promise<void> {
    while (this.#bytes > 0 && this.#bytes + bytes > this.#bytesMax) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
    this.#bytes += bytes
  }

  give(bytes: number): void {
    this.#bytes -= bytes
    const waiting = this.#waiting
    this.#waiting = []
    for (const wake of waiting) wake()
  }
}
