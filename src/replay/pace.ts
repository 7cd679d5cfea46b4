/**
 * When an event of a replay is due. Pure: time comes in as an argument, in milliseconds of any clock that goes steadily.
 *
 * At a factor, two events as far apart as `d` are due `d / factor` apart, reckoned from an anchor and not from the event before, so that errors do not
 * add up. A change of speed, a pause, a jump, and a target that was late for longer than `slipMs` set a new anchor: what was missed is not
 * made up for by a burst.
 */

/** A factor of the events' own time; `max`: no spacing at all; `step`: one event each time somebody asks. */
export type Speed = number | 'max' | 'step'

const slipMs = 1000
/** Of an event: what sums of fractions are off by. Waiting for that would be waiting for no time at all. */
const hair = 1e-6

export class Pace {
  #speed: Speed
  /** An event's time, and when it is due. */
  #anchor: { readonly micros: number; readonly ms: number } | null = null
  /** What was not made up for since the speed was set. */
  #slippedMs = 0

  constructor(speed: Speed) {
    this.#speed = speed
  }

  get speed(): Speed {
    return this.#speed
  }

  set speed(speed: Speed) {
    this.#speed = speed
    this.#anchor = null
    this.#slippedMs = 0
  }

  /** The next event that is asked for is due at once. */
  restart(): void {
    this.#anchor = null
  }

  /** When the event of this time is due. Times never go back, save behind a restart. */
  dueMs(micros: number, nowMs: number): number {
    if (typeof this.#speed !== 'number') return nowMs
    this.#anchor ??= { micros, ms: nowMs }
    const due = this.#anchor.ms + (micros - this.#anchor.micros) / 1000 / this.#speed
    if (nowMs - due <= slipMs) return due
    this.#anchor = { micros, ms: nowMs }
    this.#slippedMs += nowMs - due
    return nowMs
  }

  /** How far the event is behind the time that this speed had promised when it was set. */
  lateMs(micros: number, nowMs: number): number {
    if (typeof this.#speed !== 'number' || this.#anchor === null) return 0
    const late = nowMs - this.#anchor.ms - (micros - this.#anchor.micros) / 1000 / this.#speed
    return this.#slippedMs + Math.max(0, late)
  }
}

/**
 * At most so many a second, in any stretch of time: `burstMs` worth of them may come at once, since a batch is cheaper than its events one by one.
 */
export class RateLimit {
  readonly #burstMs: number
  #perMs = 0
  #burst = 0
  #allowed: number
  #atMs: number | null = null

  constructor(perSecond: number, burstMs = 50) {
    this.#burstMs = burstMs
    this.perSecond = perSecond
    this.#allowed = this.#burst
  }

  set perSecond(value: number) {
    this.#perMs = value / 1000
    this.#burst = Math.max(1, this.#perMs * this.#burstMs)
  }

  /** How many may go now. */
  available(nowMs: number): number {
    if (this.#perMs === Number.POSITIVE_INFINITY) return Number.POSITIVE_INFINITY
    const passed = this.#atMs === null ? 0 : Math.max(0, nowMs - this.#atMs)
    this.#atMs = nowMs
    this.#allowed = Math.min(this.#burst, this.#allowed + passed * this.#perMs)
    return Math.floor(this.#allowed + hair)
  }

  take(count: number): void {
    this.#allowed -= count
  }

  /** How long until one more may go. */
  waitMs(): number {
    return this.#perMs === Number.POSITIVE_INFINITY || this.#allowed + hair >= 1 ? 0 : (1 - this.#allowed) / this.#perMs
  }
}
