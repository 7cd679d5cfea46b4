/**
 * When what is under way in a partition was made and taken in: the answer to "how old is the oldest record that has not passed this room yet", for
 * every room from one list. Memory is bounded however long a room stands still (Redis may be away for hours): beyond a few hundred arrivals
 * neighbours become one that is as old as the older of the two, so an age is never told too small.
 */

export interface Arrival {
  /** Everything below it had come when this arrival was over. */
  readonly nextOffset: number
  /** Kafka's timestamp of its first record. */
  readonly timestampMs: number
  /** When this process took it in. */
  readonly takenMs: number
}

export const arrivalsMax = 512

export class Arrivals {
  #list: Arrival[] = []
  /** Kafka's timestamp of the last record taken in; 0 before the first. */
  #newestMs = 0
  /** When Kafka was last known to hold nothing beyond what was taken in. */
  #caughtUpMs = 0

  get size(): number {
    return this.#list.length
  }

  push(arrival: Arrival, newestMs: number): void {
    this.#list.push(arrival)
    this.#newestMs = newestMs
    if (this.#list.length > arrivalsMax) this.#thin()
  }

  /** What lies below this mark is of no interest to any room any more. */
  forget(nextOffset: number): void {
    const kept = this.#indexBeyond(nextOffset)
    if (kept > 0) this.#list.splice(0, kept)
  }

  caughtUp(atMs: number): void {
    this.#caughtUpMs = atMs
  }

  /** The arrival that the record at `nextOffset` is in, or the first behind it; null: it is not taken in yet. */
  beyond(nextOffset: number): Arrival | null {
    return this.#list[this.#indexBeyond(nextOffset)] ?? null
  }

  /**
   * Since when the first record at or behind `nextOffset` waits. Of one that is still in Kafka only this is known: it came behind the last one taken
   * in, and after Kafka was last seen empty. null: nothing is known.
   */
  oldestMs(nextOffset: number): number | null {
    const found = this.beyond(nextOffset)
    if (found !== null) return found.timestampMs
    const knownMs = Math.max(this.#newestMs, this.#caughtUpMs)
    return knownMs === 0 ? null : knownMs
  }

  /** The first arrival that reaches beyond the mark. */
  #indexBeyond(nextOffset: number): number {
    let low = 0
    let high = this.#list.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#list[middle] as Arrival).nextOffset > nextOffset) high = middle
      else low = middle + 1
    }
    return low
  }

  #thin(): void {
    const thinned: Arrival[] = []
    for (let index = 0; index < this.#list.length; index += 2) {
      const first = this.#list[index] as Arrival
      const second = this.#list[index + 1] ?? first
      thinned.push({
        nextOffset: second.nextOffset,
        timestampMs: Math.min(first.timestampMs, second.timestampMs),
        takenMs: first.takenMs,
      })
    }
    this.#list = thinned
  }
}
