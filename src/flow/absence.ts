/**
 * Redis is away, and storing goes on.
 *
 *   here     a call of publish/ fails: it is tried again, and everything behind it waits
 *   away     it has failed for longer than the grace: lanes leave their batches unpublished. A lane that has left one publishes nothing more, for a
 *            stream must have no hole; the published mark stays where it was, and so does the settled one
 *   here     a probe went through: every lane that left something starts over at its published marks, and each room skips what it has done
 *
 * How long that may last is Kafka's retention: what it no longer holds cannot be published later.
 */
import type { Sleep } from '../core/backoff.ts'
import { TransientError } from '../core/errors.ts'

export interface AbsenceOptions {
  readonly graceMs: number
  readonly probeMs: number
  /** Resolves when publish/ could write again. */
  readonly probe: () => Promise<void>
  readonly now: () => number
  readonly sleep: Sleep
  readonly signal: AbortSignal
  readonly on: {
    away(error: TransientError): void
    back(awayMs: number): void
    /** A probe met something that will not pass by itself. */
    failed(error: unknown): void
  }
}

export class Absence<Lane> {
  readonly #options: AbsenceOptions
  readonly #behind = new Set<Lane>()
  #failingSinceMs: number | null = null
  #away = false

  constructor(options: AbsenceOptions) {
    this.#options = options
  }

  get away(): boolean {
    return this.#away
  }

  /** The lanes that have to start over before they may publish again. */
  get behind(): ReadonlySet<Lane> {
    return this.#behind
  }

  /** A call has failed. True: do not wait for it any more. */
  failed(error: TransientError): boolean {
    const { now, graceMs, on } = this.#options
    this.#failingSinceMs ??= now()
    if (!this.#away && now() - this.#failingSinceMs >= graceMs) {
      this.#away = true
      on.away(error)
      void this.#probe()
    }
    return this.#away
  }

  succeeded(): void {
    if (!this.#away) this.#failingSinceMs = null
  }

  /** True: this batch stays unpublished, and so does every later one until the lane has started over. */
  passes(lane: Lane): boolean {
    if (this.#away) this.#behind.add(lane)
    return this.#behind.has(lane)
  }

  /** The lane starts over; where Redis is still away, its first batch will leave it behind again. */
  startsOver(lane: Lane): void {
    this.#behind.delete(lane)
  }

  async #probe(): Promise<void> {
    const { probe, probeMs, signal, now, sleep, on } = this.#options
    for (;;) {
      try {
        await sleep(probeMs, signal)
        await probe()
        break
      } catch (error) {
        if (signal.aborted) return
        if (!(error instanceof TransientError)) return on.failed(error)
      }
    }
    const awayMs = now() - (this.#failingSinceMs as number)
    this.#away = false
    this.#failingSinceMs = null
    on.back(awayMs)
  }
}
