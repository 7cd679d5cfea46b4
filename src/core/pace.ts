/**
 * What a row costs a server, compared with its best of the last hour: told only over windows of full batches, since a small batch pays for its round
 * trip and not for its rows. The best is forgotten after an hour, so that larger events are not taken for a slower server for ever.
 */

const slots = 6
const slotMs = 600_000
const rowsMin = 1000
const batchRowsMin = 256
/** So many windows before anything is told: the first one is its own best. */
const windowsMin = 6

export class Pace {
  readonly #best = new Float64Array(slots)
  /** Which ten minutes each slot is about. */
  readonly #slots = new Float64Array(slots).fill(Number.NEGATIVE_INFINITY)
  #latest = 0
  #windows = 0
  #now: number | null = null

  /** A window is over: so many seconds of work for so many rows in so many batches. */
  note(nowMs: number, seconds: number, rows: number, batches: number): void {
    const slot = Math.floor(nowMs / slotMs)
    const at = slot % slots
    this.#latest = slot
    this.#now = null
    if (rows < rowsMin || rows < batches * batchRowsMin || !(seconds > 0)) return
    const pace = seconds / rows
    this.#best[at] = this.#slots[at] === slot ? Math.min(this.#best[at] as number, pace) : pace
    this.#slots[at] = slot
    this.#now = pace
    this.#windows++
  }

  /** 1: as fast as ever. null: too little is known, or no full batches came in the last window. */
  get stretch(): number | null {
    if (this.#now === null || this.#windows < windowsMin) return null
    const best = this.#best.filter((_, at) => this.#latest - (this.#slots[at] as number) < slots)
    return this.#now / Math.min(...best)
  }
}
