/** What is seen of a run once a second: rates, latencies, lag, and what every process takes of the machine. */

import type { Recorder, Window } from '../live/recorder.ts'
import { worstLag } from '../live/together.ts'
import type { Watch } from '../live/watch.ts'
import type { SimulateStats } from '../simulate/stats.ts'
import type { TreeUsage } from '../start/usage.ts'

export interface Percentiles {
  readonly p50: number | null
  readonly p95: number | null
  readonly p99: number | null
}

export interface Sample {
  /** Seconds since the first event was due. */
  readonly at: number
  /** Per second, by the schedule. */
  readonly due: number
  readonly produced: number | null
  readonly stored: number
  readonly published: number
  /** Of what was stored, or published, in this second. */
  readonly storedMs: Percentiles
  readonly publishedMs: Percentiles
  readonly lagRecords: number
  readonly lagSeconds: number
  /** Due and not handed to the client. */
  readonly waiting: number
  /** Of one core, since the sample before. */
  readonly cpu: Readonly<Record<string, number>>
  readonly memory: Readonly<Record<string, number>>
}

export interface SamplerOptions {
  readonly watch: Pick<Watch, 'serving'> & { readonly recorder: Pick<Recorder, 'window'> }
  /** Every process by name, as it is now. */
  readonly usage: () => Readonly<Record<string, TreeUsage | null>>
  readonly stats: () => SimulateStats | null
  readonly rateAt: (ms: number) => number
  readonly startedMs: number
  readonly scheduleMs: number
  readonly now: () => number
}

export interface Sampler {
  readonly samples: readonly Sample[]
  /** Takes one when a second has passed since the last. */
  look(): void
}

/** Looks come every 400 ms; a little early is better than a second and a half. */
const everyMs = 900

export function createSampler(options: SamplerOptions): Sampler {
  const { watch, startedMs, scheduleMs, now } = options
  const samples: Sample[] = []
  let lastMs = now()
  let before = options.usage()
  let told: SimulateStats | null = null
  return {
    samples,
    look() {
      const nowMs = now()
      const passedMs = nowMs - lastMs
      if (passedMs < everyMs || nowMs < startedMs) return
      lastMs = nowMs
      const window = watch.recorder.window(1000)
      const usage = options.usage()
      const stats = options.stats()
      const serving = watch.serving()
      const sinceStartMs = nowMs - startedMs
      samples.push({
        at: Math.round(sinceStartMs / 100) / 10,
        due: sinceStartMs <= scheduleMs ? Math.round(options.rateAt(sinceStartMs)) : 0,
        produced: producedPerSecond(told, stats, sinceStartMs > scheduleMs),
        stored: Math.round(window.stored),
        published: Math.round(window.published),
        storedMs: percentiles(window.storedMs),
        publishedMs: percentiles(window.publishedMs),
        lagRecords: serving.reduce((sum, { lagRecords }) => sum + (lagRecords ?? 0), 0),
        lagSeconds: round(worstLag(serving)),
        waiting: stats?.waiting ?? 0,
        cpu: shares(before, usage, passedMs),
        memory: Object.fromEntries(
          Object.entries(usage).flatMap(([name, one]) => (one === null ? [] : [[name, one.residentBytes]])),
        ),
      })
      before = usage
      if (stats !== null) told = stats
    },
  }
}

const round = (value: number) => Math.round(value * 100) / 100

/** Null while the sender has told nothing new, and it should have. */
function producedPerSecond(from: SimulateStats | null, to: SimulateStats | null, isOver: boolean): number | null {
  if (to === null) return null
  const ms = to.elapsedMs - (from?.elapsedMs ?? 0)
  if (ms <= 0) return isOver ? 0 : null
  return Math.round(((to.produced - (from?.produced ?? 0)) * 1000) / ms)
}

function percentiles(histogram: Window['storedMs']): Percentiles {
  const of = (share: number) => (histogram.count === 0 ? null : round(histogram.percentile(share)))
  return { p50: of(0.5), p95: of(0.95), p99: of(0.99) }
}

function shares(
  from: Readonly<Record<string, TreeUsage | null>>,
  to: Readonly<Record<string, TreeUsage | null>>,
  ms: number,
): Record<string, number> {
  const all: Record<string, number> = {}
  for (const [name, usage] of Object.entries(to)) {
    const earlier = from[name]
    // A replica that was started again has begun again at nothing.
    if (usage === null || earlier === null || earlier === undefined || usage.cpuSeconds < earlier.cpuSeconds) continue
    all[name] = round(((usage.cpuSeconds - earlier.cpuSeconds) * 1000) / ms)
  }
  return all
}
