/**
 * Looks at a world twice a second, from outside: how far Kafka goes, how far the group has settled, what every replica says of itself and what the
 * kernel says of its memory. Lag in seconds is ours, not the replicas': since when the log has been longer than what is settled. So it is true while
 * nobody answers, and it is never better than what the fleet itself would say.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Status } from '../../src/core/status.ts'
import { readUsage } from '../../src/start/usage.ts'
import type { OpenWorld } from './world.ts'

export interface ReplicaSample {
  readonly name: string
  readonly pid: number
  readonly residentBytes: number | null
  /** Null: it did not answer. */
  readonly status: Status | null
}

export interface Sampler {
  readonly lagSeconds: number
  /** The last ones, oldest first. */
  readonly lagHistory: readonly number[]
  readonly replicas: readonly ReplicaSample[]
  /** Records in Kafka, and settled ones. */
  readonly produced: number
  readonly settled: number
  /** Since this was last called. */
  worstLagSeconds(): number
  readonly residentBytesMax: number
  stop(): Promise<void>
}

const lookMs = 500
const historyMax = 240

export function startSampler(world: OpenWorld, onLook: () => void): Sampler {
  const stop = new AbortController()
  /** Ends as they were seen; the first one is the oldest that is not wholly settled. */
  let seen: { readonly atMs: number; readonly ends: ReadonlyMap<number, number> }[] = []
  let settledNow: ReadonlyMap<number, number> = new Map()
  const lagHistory: number[] = []
  let lagSeconds = 0
  let worst = 0
  let residentBytesMax = 0
  let replicas: readonly ReplicaSample[] = []
  const sum = (offsets: ReadonlyMap<number, number>) => [...offsets.values()].reduce((total, one) => total + one, 0)

  function oldestBehindMs(nowMs: number): number {
    seen = seen.filter(
      ({ ends }, index) =>
        index === seen.length - 1 || [...ends].some(([partition, end]) => (settledNow.get(partition) ?? 0) < end),
    )
    const first = seen[0]
    if (first === undefined) return nowMs
    const isBehind = [...first.ends].some(([partition, end]) => (settledNow.get(partition) ?? 0) < end)
    return isBehind ? first.atMs : nowMs
  }

  async function lookAtKafka(): Promise<void> {
    // What is settled is asked first: the log only grows, so this never makes the fleet look better than it is.
    const now = await world.settled().catch(() => null)
    if (now !== null) settledNow = now
    const askedMs = performance.now()
    const ends = await world.ends().catch(() => null)
    if (ends !== null) seen.push({ atMs: askedMs, ends })
  }

  async function lookAtReplicas(): Promise<void> {
    replicas = await Promise.all(
      world.replicas.map(async (replica) => {
        const usage = readUsage(replica.pid)
        const status = await replica.status().catch(() => null)
        const residentBytes = usage?.residentBytes ?? status?.residentBytes ?? null
        residentBytesMax = Math.max(residentBytesMax, usage?.residentBytesPeak ?? residentBytes ?? 0)
        return { name: replica.name, pid: replica.pid, residentBytes, status }
      }),
    )
  }

  let asking = false
  let askingReplicas = false
  async function look(): Promise<void> {
    // Neither waits for the other: who is silent for seconds must not hide what the others do.
    if (!asking) {
      asking = true
      void lookAtKafka().finally(() => {
        asking = false
      })
    }
    if (!askingReplicas) {
      askingReplicas = true
      void lookAtReplicas().finally(() => {
        askingReplicas = false
      })
    }
    const nowMs = performance.now()
    lagSeconds = (nowMs - oldestBehindMs(nowMs)) / 1000
    worst = Math.max(worst, lagSeconds)
    lagHistory.push(lagSeconds)
    if (lagHistory.length > historyMax) lagHistory.shift()
    onLook()
  }

  const running = (async () => {
    while (!stop.signal.aborted) {
      await look()
      await sleep(lookMs, undefined, { signal: stop.signal }).catch(() => {})
    }
  })()

  return {
    get lagSeconds() {
      return lagSeconds
    },
    lagHistory,
    get replicas() {
      return replicas
    },
    get produced() {
      return sum(seen.at(-1)?.ends ?? new Map())
    },
    get settled() {
      return sum(settledNow)
    },
    worstLagSeconds() {
      const was = worst
      worst = lagSeconds
      return was
    },
    get residentBytesMax() {
      return residentBytesMax
    },
    async stop() {
      stop.abort()
      await running
    },
  }
}
