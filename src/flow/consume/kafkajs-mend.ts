/**
 * Mends four faults of kafkajs 2.2.4, whose last release was in 2023 (it is pinned to that exact version). All are in single methods, found by name
 * on the library's own prototypes; where the version is another, nothing is touched.
 *
 * The timer. Its request queue sets a timer for `-1 - Date.now()` ms after every response, and the timer sets the next one. Node makes that 1 ms, so
 * each broker connection wakes the process a thousand times a second for ever, and Node 24 prints a TimeoutNegativeWarning (tulios/kafkajs#1751). A
 * timer is needed only while requests wait: for a throttled broker, or as a fallback. Filtering the warning would keep the timer.
 *
 * The headers. They are gathered in a plain object, so that a header named `constructor` or `toString` comes back as an array with a function of
 * Object's in it: one such record throws in whoever reads its headers. Each header also copies all before it: a 1 MB record of tiny headers takes
 * minutes. Gathered in an object without a prototype, one by one, names are names.
 *
 * The clock. It reckons with the wall clock: set back by an hour, a member sends no heartbeat for that hour, is thrown out of its group and does not
 * notice; set forward, every request under way has timed out. Heartbeats go out in any case when the clock went back; timeouts are measured by the
 * steady clock.
 *
 * The coordinator. Commits go to the broker that coordinated the group when it last met, as kafkajs knows that broker's number, and it mistakes numbers
 * where brokers are restarted one after the other: members live on with the right one, and every commit goes to another, which refuses it, for ever
 * (seen in a rolling restart of three brokers). When a commit was refused, or the connection is gone, the coordinator is asked for again.
 */
import { kafkajsInsides } from './kafkajs-insides.ts'

interface Group {
  lastRequest: number
  heartbeat(options: { interval: number }): Promise<void>
}

interface Coordinator {
  isConnected(): boolean
}
interface OffsetManager {
  readonly groupId: string
  readonly cluster: { findGroupCoordinator(of: { groupId: string }): Promise<Coordinator> }
  coordinator: Coordinator
  getCoordinator(): Promise<Coordinator>
  commitOffsets(offsets: object): Promise<void>
}

interface RequestQueue {
  readonly enforceRequestTimeout: boolean
  readonly requestTimeout: number
  readonly inflight: ReadonlyMap<number, { readonly requestTimeout: number; timeoutRequest(): void }>
  requestTimeoutIntervalId: NodeJS.Timeout
  readonly isConnected: () => boolean
  destroy(): void
  scheduleRequestTimeoutCheck(): void
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
  const require = kafkajsInsides()
  if (require === null) return false
  const queue = (require('kafkajs/src/network/requestQueue') as { prototype: RequestQueue }).prototype
  queue.scheduleCheckPendingRequests = scheduleCheckPendingRequests
  queue.scheduleRequestTimeoutCheck = scheduleRequestTimeoutCheck
  const decoder = (require('kafkajs/src/protocol/decoder') as { prototype: Decoder }).prototype
  decoder.readVarIntArray = readHeaders
  const group = (require('kafkajs/src/consumer/consumerGroup') as { prototype: Group }).prototype
  const offsets = (require('kafkajs/src/consumer/offsetManager') as { prototype: OffsetManager }).prototype
  offsets.getCoordinator = getCoordinator
  if (!mended.has(group)) {
    group.heartbeat = heartbeatOf(group.heartbeat)
    offsets.commitOffsets = commitOf(offsets.commitOffsets)
  }
  mended.add(group)
  return true
}

const mended = new WeakSet<Group>()
const refused = new WeakSet<Coordinator>()

async function getCoordinator(this: OffsetManager): Promise<Coordinator> {
  if (refused.has(this.coordinator) || !this.coordinator.isConnected()) {
    this.coordinator = await this.cluster.findGroupCoordinator({ groupId: this.groupId })
    refused.delete(this.coordinator)
  }
  return this.coordinator
}

function commitOf(original: OffsetManager['commitOffsets']): OffsetManager['commitOffsets'] {
  return async function (this: OffsetManager, offsets) {
    try {
      await original.call(this, offsets)
    } catch (error) {
      if ((error as { type?: string }).type === 'NOT_COORDINATOR_FOR_GROUP') refused.add(this.coordinator)
      throw error
    }
  }
}

function heartbeatOf(original: Group['heartbeat']): Group['heartbeat'] {
  return function (this: Group, options) {
    if (this.lastRequest > Date.now()) this.lastRequest = 0
    return original.call(this, options)
  }
}

/** kafkajs's own interval for looking at the requests under way. */
const timeoutCheckMs = 100

function scheduleRequestTimeoutCheck(this: RequestQueue): void {
  if (!this.enforceRequestTimeout) return
  this.destroy()
  // Since the first look at it: later than it was sent by one interval at most.
  const seenAt = new WeakMap<object, number>()
  this.requestTimeoutIntervalId = setInterval(
    () => {
      const now = performance.now()
      for (const request of this.inflight.values()) {
        const since = seenAt.get(request)
        if (since === undefined) seenAt.set(request, now)
        else if (now - since > request.requestTimeout) request.timeoutRequest()
      }
      if (!this.isConnected()) this.destroy()
    },
    Math.min(this.requestTimeout, timeoutCheckMs),
  )
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
