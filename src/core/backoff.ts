/** The same work again while the world is busy: capped exponential backoff with jitter, ended by success, another error, or the signal. */
import { TransientError } from './errors.ts'

/** Resolves after so many milliseconds; rejects when the signal is aborted. Whoever waits is given one: a simulation has its own time. */
export type Sleep = (ms: number, signal: AbortSignal) => Promise<void>

export interface Backoff {
  readonly minMs: number
  readonly maxMs: number
  readonly random: () => number
  readonly sleep: Sleep
}

export async function retry<T>(
  work: (attempt: number) => Promise<T>,
  backoff: Backoff,
  signal: AbortSignal,
  onRetry: (error: TransientError, attempt: number, delayMs: number) => void,
): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    signal.throwIfAborted()
    try {
      return await work(attempt)
    } catch (error) {
      if (!(error instanceof TransientError)) throw error
      const cap = Math.min(backoff.maxMs, backoff.minMs * 2 ** Math.min(attempt, 20))
      const delayMs = cap * (0.5 + backoff.random() / 2)
      onRetry(error, attempt, delayMs)
      // Aborted: what comes out is the signal's reason (fenced, say), not the timer's own word for it.
      await backoff.sleep(delayMs, signal).catch(() => signal.throwIfAborted())
    }
  }
}
