/**
 * Mends two faults of kafkajs 2.2.4, whose last release was in 2023 (it is pinned to that exact version). Both are in single methods, found by name
 * on the library's own prototypes; where the version is another, nothing is touched.
 *
 * The timer. Its request queue sets a timer for `-1 - Date.now()` ms after every response, and the timer sets the next one. Node makes that 1 ms, so
 * each broker connection wakes the process a thousand times a second for ever, and Node 24 prints a TimeoutNegativeWarning (tulios/kafkajs#1751). A
 * timer is needed only while requests wait: for a throttled broker, or as a fallback. Filtering the warning would keep the timer.
 *
 * The headers. They are gathered in a plain object, so that a header named `constructor` or `toString` comes back as an array with a function of
 * Object's in it: one such record throws in whoever reads its headers. Each header also copies all before it: a 1 MB record of tiny headers takes
 * minutes. Gathered in an object without a prototype, one by one, names are names.
 */
import { createRequire } from 'node:module'

interface RequestQueue {
  pending: unknown[]
  throttledUntil: number
  throttleCheckTimeoutId: NodeJS.Timeout | null
  checkPendingRequests(): void
  scheduleCheckPendingRequests(): void
}

type Value = Buffer | null
interface Decoder {
  readVarInt(): number
  /** Called for a record's headers only; all that is done with the answer is one `reduce`. */
  readVarIntArray(read: (decoder: Decoder) => { key: string; value: Value }): { reduce(): object }
}

/** kafkajs's own interval for looking at waiting requests again. */
const checkAgainMs = 10
const noHeaders = { reduce: () => Object.create(null) as object }

/** Call once, before the first client. Answers false when this kafkajs is not the one we know. */
export function mendKafkajs(): boolean {
  const require = createRequire(import.meta.url)
  const { version } = require('kafkajs/package.json') as { version: string }
  if (version !== '2.2.4') return false
  const queue = (require('kafkajs/src/network/requestQueue') as { prototype: RequestQueue }).prototype
  queue.scheduleCheckPendingRequests = scheduleCheckPendingRequests
  const decoder = (require('kafkajs/src/protocol/decoder') as { prototype: Decoder }).prototype
  decoder.readVarIntArray = readHeaders
  return true
}

function scheduleCheckPendingRequests(this: RequestQueue): void {
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

const readHeaders: Decoder['readVarIntArray'] = function (this: Decoder, read) {
  const length = this.readVarInt()
  if (length <= 0) return noHeaders
  const headers = Object.create(null) as Record<string, Value | Value[]>
  for (let i = 0; i < length; i++) {
    const { key, value } = read(this)
    const before = headers[key]
    if (before === undefined) headers[key] = value
    else if (Array.isArray(before)) before.push(value)
    else headers[key] = [before, value]
  }
  return { reduce: () => headers }
}
