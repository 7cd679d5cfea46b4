/** Consumer groups at work: reading, acknowledging, leaving some entries to their fate, and claiming those from consumers that have died with them. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { LatencyHistogram } from '../core/latency.ts'
import type { SimulateRedisOptions } from './redis.ts'
import { quantile } from './stats.ts'

export interface GroupStats {
  readonly group: string
  /** Deliveries, those by claims not among them. */
  readonly read: number
  readonly acknowledged: number
  readonly claimed: number
  /** Left by a consumer on purpose. */
  readonly abandoned: number
  /** Added by us, and not yet acknowledged. */
  readonly behind: number
  readonly readMsP50: number
  readonly readMsP99: number
}

/** Shorter than any command timeout: a blocked reader is no dead connection. */
const blockMs = 200

type Entry = [id: string, fields: string[] | null]

export class Group {
  readonly name: string
  readonly readMs = new LatencyHistogram()
  read = 0
  acknowledged = 0
  claimed = 0
  abandoned = 0
  constructor(name: string) {
    this.name = name
  }
  stats(added: number | null): GroupStats {
    const { name, read, acknowledged, claimed, abandoned, readMs } = this
    return {
      group: name,
      read,
      acknowledged,
      claimed,
      abandoned,
      behind: added === null ? Math.max(0, read - acknowledged) : Math.max(0, added - acknowledged),
      readMsP50: quantile(readMs, 0.5),
      readMsP99: quantile(readMs, 0.99),
    }
  }
}

export async function consume(
  client: Redis,
  keys: readonly string[],
  group: Group,
  consumer: string,
  { count, workMs, abandon, now }: SimulateRedisOptions,
  luck: { unit(): number },
  stop: AbortSignal,
): Promise<void> {
  const newest = keys.map(() => '>')
  while (!stop.aborted) {
    const reply = (await client.xreadgroup(
      'GROUP',
      group.name,
      consumer,
      'COUNT',
      count,
      'BLOCK',
      blockMs,
      'STREAMS',
      ...keys,
      ...newest,
    )) as [key: string, entries: Entry[]][] | null
    if (reply === null) continue
    const atMs = now()
    const acks = client.pipeline()
    for (const [key, entries] of reply) {
      group.read += entries.length
      const done: string[] = []
      for (const [id, fields] of entries) {
        const due = dueOf(fields)
        if (due !== null) group.readMs.record(atMs - due)
        if (abandon > 0 && luck.unit() < abandon) group.abandoned++
        else done.push(id)
      }
      if (done.length > 0) acks.xack(key, group.name, ...done)
    }
    if (workMs > 0) await waitFor(workMs, stop)
    for (const [error, taken] of (await acks.exec()) ?? []) {
      if (error !== null) throw error
      group.acknowledged += taken as number
    }
  }
}

/** What the entry says of itself; of the fleet's entries the event's own time. */
function dueOf(fields: readonly string[] | null): number | null {
  if (fields === null) return null
  const at = fields.indexOf('due')
  if (at >= 0) return Number(fields[at + 1])
  const time = /"time":"([^"]+)"/.exec(fields[1] ?? '')?.[1]
  const ms = time === undefined ? Number.NaN : Date.parse(time)
  return Number.isNaN(ms) ? null : ms
}

/** What has been idle for too long is taken over and acknowledged. */
export async function claim(
  client: Redis,
  keys: readonly string[],
  group: Group,
  { claimIdleMs, count }: SimulateRedisOptions,
  stop: AbortSignal,
): Promise<void> {
  while (!stop.aborted) {
    await waitFor(Math.max(50, claimIdleMs / 2), stop)
    for (const key of keys) {
      let cursor = '0-0'
      do {
        const [next, entries] = (await client.xautoclaim(
          key,
          group.name,
          'claimer',
          claimIdleMs,
          cursor,
          'COUNT',
          count,
        )) as [string, Entry[]]
        const ids = entries.map(([id]) => id)
        if (ids.length > 0) {
          group.claimed += ids.length
          // Not in one line with +=, which would take the sum from before the wait.
          const taken = await client.xack(key, group.name, ...ids)
          group.acknowledged += taken
        }
        cursor = next
      } while (cursor !== '0-0' && !stop.aborted)
    }
  }
}

export const waitFor = (ms: number, signal: AbortSignal): Promise<void> =>
  ms === Number.POSITIVE_INFINITY
    ? new Promise((resolve) => {
        if (signal.aborted) resolve()
        signal.addEventListener('abort', () => resolve(), { once: true })
      })
    : sleep(ms, undefined, { signal }).catch(() => {})
