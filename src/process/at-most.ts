/** Ends are polite, but not for ever: a server that swallows a goodbye must not keep the process. */
import type { Sleep } from '../core/backoff.ts'

const endMs = 3000

/** Resolves when `work` has ended in whatever way, or has had its time. */
export async function atMost(work: Promise<unknown>, sleep: Sleep): Promise<void> {
  const ended = new AbortController()
  await Promise.race([work.catch(() => {}), sleep(endMs, ended.signal).catch(() => {})])
  ended.abort()
}
