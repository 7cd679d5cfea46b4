/** How many a second, over the last whole seconds: what is added is forgotten by itself, and nothing needs a timer. */
export class Rate {
  readonly #counts: Float64Array
  /** The second that each slot is about. */
  readonly #seconds: Float64Array

  constructor(seconds: number) {
    // One more for the second that is not over.
    this.#counts = new Float64Array(seconds + 1)
    this.#seconds = new Float64Array(seconds + 1).fill(Number.NaN)
  }

  add(nowMs: number, count: number): void {
    const second = Math.floor(nowMs / 1000)
    const slot = second % this.#counts.length
    if (this.#seconds[slot] !== second) this.#counts[slot] = 0
    this.#seconds[slot] = second
    this.#counts[slot] = (this.#counts[slot] as number) + count
  }

  perSecond(nowMs: number): number {
    const now = Math.floor(nowMs / 1000)
    const window = this.#counts.length - 1
    let sum = 0
    for (let slot = 0; slot <= window; slot++) {
      const age = now - (this.#seconds[slot] as number)
      if (age >= 1 && age <= window) sum += this.#counts[slot] as number
    }
    return sum / window
  }
}
