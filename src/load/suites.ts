/** The usual loads, and what each must keep. Pure: options in, plans and goals out. */
import { count } from '../core/count.ts'
import { createProfile, type ProfilePlan } from '../simulate/profile.ts'
import type { LoadOptions } from './flags.ts'

export const suiteNames = ['smoke', 'goal', 'stress', 'spike', 'soak'] as const
export type SuiteName = (typeof suiteNames)[number]

export interface Goals {
  /** From the first event due to the last one published. */
  readonly withinMs?: number
  /** 99 of 100 events, from due to published; to stored where nothing is published. */
  readonly p99Ms?: number
  /** From the end of the load until everything is published. */
  readonly catchUpMs?: number
  /** From the end of each spike until nothing is older than a second. */
  readonly recoverMs?: number
  /** How much the replicas' memory may grow from the first part to the last, as a share. */
  readonly memoryGrowth?: number
}

export interface Suite {
  readonly name: SuiteName
  /** One line. */
  readonly what: string
  readonly profile: ProfilePlan
  /** Records in all. */
  readonly events: number
  /** How long the schedule takes. */
  readonly scheduleMs: number
  readonly warmMs: number
  readonly goals: Goals
}

/** The last event is due before the time is up: it has to get there, too. */
const arrivalMs = 1000
const seconds = (ms: number) => `${Math.round(ms / 100) / 10} s`

export function suiteOf(name: SuiteName, options: LoadOptions): Suite {
  const { short, p99Ms } = options
  const warmMs = options.warmMs
  const timed = (standardMs: number, shortMs: number) => options.forMs ?? (short ? shortMs : standardMs)
  const planned = (profile: ProfilePlan, scheduleMs: number) => ({
    name,
    profile,
    scheduleMs,
    warmMs,
    events: Math.max(1, createProfile(profile).dueCount(scheduleMs - 0.001)),
  })
  switch (name) {
    case 'goal': {
      const { events, withinMs } = options
      const scheduleMs = withinMs - arrivalMs
      return {
        name,
        what: `${count(events)} events end to end in ${seconds(withinMs)}`,
        profile: { name: 'constant', rate: (events * 1000) / scheduleMs, peak: 0, periodMs: 1000 },
        events,
        scheduleMs,
        warmMs,
        goals: { withinMs, p99Ms },
      }
    }
    case 'smoke': {
      const rate = options.rate ?? 500
      const forMs = timed(15_000, 10_000)
      return {
        ...planned({ name: 'constant', rate, peak: rate, periodMs: 1000 }, forMs),
        what: `${count(rate)} events/s for ${seconds(forMs)}: is everything in its place?`,
        goals: { p99Ms, catchUpMs: 5000 },
      }
    }
    case 'stress': {
      const rate = options.rate ?? 2000
      const peak = options.peak ?? 40_000
      const forMs = timed(60_000, 30_000)
      return {
        ...planned({ name: 'ramp', rate, peak, periodMs: forMs }, forMs),
        what: `from ${count(rate)} to ${count(peak)} events/s in ${seconds(forMs)}: where is the end?`,
        goals: { catchUpMs: forMs },
      }
    }
    case 'spike': {
      const rate = options.rate ?? 2000
      const peak = options.peak ?? 15_000
      const forMs = timed(120_000, 40_000)
      return {
        ...planned({ name: 'spike', rate, peak, periodMs: 20_000 }, forMs),
        what: `${count(rate)} events/s, every 20 s five seconds of ${count(peak)}`,
        goals: { recoverMs: 7500, catchUpMs: 5000 },
      }
    }
    case 'soak': {
      const rate = options.rate ?? 5000
      const forMs = timed(1_800_000, 60_000)
      return {
        ...planned({ name: 'soak', rate, peak: rate, periodMs: Math.min(forMs / 10, 60_000) }, forMs),
        what: `${count(rate)} events/s for ${seconds(forMs)}: does anything grow?`,
        goals: { p99Ms, catchUpMs: 5000, memoryGrowth: 0.1 },
      }
    }
  }
}

/** When the spikes of a schedule end, in ms from its beginning. */
export function spikeEnds({ profile, scheduleMs }: Suite): number[] {
  if (profile.name !== 'spike') return []
  const ends: number[] = []
  for (let ms = profile.periodMs * 0.625; ms <= scheduleMs; ms += profile.periodMs) ends.push(ms)
  return ends
}
