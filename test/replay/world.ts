/** A replay in a world of its own: time that goes only when everybody waits, a source and a target in memory. */
import { setImmediate as turn } from 'node:timers/promises'
import { TransientError } from '../../src/core/errors.ts'
import type { ReplayDescription } from '../../src/replay/description.ts'
import type { ReplayEvent } from '../../src/replay/entry.ts'
import { compareKeys, type Key, type Position } from '../../src/replay/key.ts'
import type { Replay, ReplayClock } from '../../src/replay/port.ts'
import { startReplay } from '../../src/replay/replay.ts'
import type { ReplaySource, SourceBatch } from '../../src/replay/source.ts'
import type { ReplayTarget, Saved } from '../../src/replay/target.ts'

export interface Clock extends ReplayClock {
  /** Lets time go by until `when`, or until nobody waits for anything. */
  go(until?: number): Promise<void>
}

export function createClock(): Clock {
  let now = 0
  const sleepers = new Set<{ at: number; wake: () => void }>()
  return {
    steadyMs: () => now,
    coreTimes: () => null,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        const sleeper = { at: now + Math.max(0, ms), wake: () => resolve(undefined) }
        sleepers.add(sleeper)
        signal.addEventListener('abort', () => {
          sleepers.delete(sleeper)
          reject(signal.reason)
        })
      }),
    async go(until = Number.POSITIVE_INFINITY) {
      for (;;) {
        for (let i = 0; i < 5; i++) await turn()
        const next = [...sleepers].sort((a, b) => a.at - b.at)[0]
        if (next === undefined || next.at > until) break
        sleepers.delete(next)
        now = Math.max(now, next.at)
        next.wake()
      }
      if (Number.isFinite(until)) now = Math.max(now, until)
    },
  }
}

export const eventAt = (ms: number, offset: number): ReplayEvent => ({
  micros: ms * 1000,
  partition: 0,
  offset,
  entry: Buffer.from(`{"n":${offset}}`),
})

/** One event every 100 ms. */
export const steady = (count: number) => Array.from({ length: count }, (_, index) => eventAt(1000 + index * 100, index))

export function memorySource(events: readonly ReplayEvent[], batchEvents = 10): ReplaySource {
  return {
    async *read({ after, kafka }: Position): AsyncGenerator<SourceBatch, void, undefined> {
      // As Kafka does: from a place that may lie well before.
      const from = kafka?.['0']?.[0] ?? 0
      const left = events.slice(from).filter((event) => after === null || compareKeys(event, after) > 0)
      for (let at = 0; at < left.length; at += batchEvents) {
        const batch = left.slice(at, at + batchEvents)
        const next = (batch.at(-1) as ReplayEvent).offset + 1
        yield { events: batch, fromKafka: 0, kafka: { '0': [next, 0] }, share: next / events.length }
      }
    },
    estimate: () => Promise.reject(new Error('not asked for')),
    close: async () => {},
  }
}

export interface MemoryTarget extends ReplayTarget {
  readonly got: { readonly event: ReplayEvent; readonly ms: number }[]
  /** The next so many writes fail. */
  busy: number
  finished: boolean
  discarded: boolean
}

export function memoryTarget(clock: ReplayClock, { rewinds = false, knows = true, takesMs = 0 } = {}): MemoryTarget {
  const got: { event: ReplayEvent; ms: number }[] = []
  const target: MemoryTarget = {
    got,
    rewinds,
    busy: 0,
    finished: false,
    discarded: false,
    async after() {
      if (!knows) return undefined
      const last = got.at(-1)?.event
      return last === undefined ? null : ({ micros: last.micros, partition: 0, offset: last.offset } satisfies Key)
    },
    async write(events) {
      if (takesMs > 0) await clock.sleep(takesMs, new AbortController().signal)
      if (target.busy > 0) {
        target.busy--
        throw new TransientError('REDIS_BUSY', 'busy')
      }
      for (const event of events) got.push({ event, ms: clock.steadyMs() })
    },
    settle: async () => null,
    async finish() {
      target.finished = true
    },
    async discard() {
      target.discarded = true
    },
    close: async () => {},
  }
  return target
}

export const describe = (changes: Partial<ReplayDescription> = {}): ReplayDescription => ({
  id: 'r-1',
  consumer: 'cloud-events',
  source: 'postgres',
  fromMs: null,
  toMs: null,
  offsets: [],
  select: { types: [], tenants: [], subjects: [], sources: [], keys: [], jsonpath: null },
  target: { kind: 'stdout' },
  speed: 'max',
  ratePerSecond: null,
  ...changes,
})

export interface Begun {
  readonly replay: Replay
  readonly saves: Saved[]
}

export function begin(
  clock: Clock,
  source: ReplaySource,
  target: ReplayTarget,
  description: ReplayDescription,
  saved: Saved | null = null,
): Begun {
  const saves: Saved[] = []
  const save = async (one: Saved) => void saves.push(structuredClone(one))
  return { replay: startReplay({ description, source, target, saved, save, clock }), saves }
}
