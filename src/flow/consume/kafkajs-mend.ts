/**
 * Mends one fault of kafkajs 2.2.4, whose last release was in 2023: its request queue sets a timer for `-1 - Date.now()` ms after every response, and
 * the timer sets the next one. Node makes that 1 ms, so each broker connection wakes the process a thousand times a second for ever, and Node 24
 * prints a TimeoutNegativeWarning (tulios/kafkajs#1751). A timer is needed only while requests wait: for a throttled broker, or as a fallback.
 *
 * Filtering the warning would keep the timer; so the one method is replaced. kafkajs is pinned to the exact version, and where the method is not
 * what we know, nothing is touched.
 */
import { createRequire } from 'node:module'

interface RequestQueue {
  pending: unknown[]
  throttledUntil: number
  throttleCheckTimeoutId: NodeJS.Timeout | null
  checkPendingRequests(): void
  scheduleCheckPendingRequests(): void
}

/** kafkajs's own interval for looking at waiting requests again. */
const checkAgainMs = 10

/** Call once, before the first client. Answers false when this kafkajs is not the one we know. */
export function mendKafkajs(): boolean {
  const require = createRequire(import.meta.url)
  const { version } = require('kafkajs/package.json') as { version: string }
  if (version !== '2.2.4') return false
  const { prototype } = require('kafkajs/src/network/requestQueue') as { prototype: RequestQueue }
  prototype.scheduleCheckPendingRequests = function (this: RequestQueue) {
    if (this.pending.length === 0 || this.throttleCheckTimeoutId) return
    const throttledMs = this.throttledUntil - Date.now()
    this.throttleCheckTimeoutId = setTimeout(
      () => {
        this.throttleCheckTimeoutId = null
        this.checkPendingRequests()
      },
      throttledMs > 0 ? throttledMs : checkAgainMs,
    )
  }
  return true
}
