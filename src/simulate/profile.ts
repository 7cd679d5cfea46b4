/**
 * How fast records are due: pure functions of the time since the beginning. A profile says how many are due by a moment and when each one is, and the
 * two agree: record n is due at the first moment by which n have passed. Nothing that happens on the way changes a schedule.
 */

export const profileNames = ['constant', 'ramp', 'spike', 'sine', 'soak'] as const
export type ProfileName = (typeof profileNames)[number]

export interface ProfilePlan {
  readonly name: ProfileName
  /** Records per second: all the time, at the start, between spikes, in the trough, or once it has risen. */
  readonly rate: number
  /** The highest rate of ramp, spike and sine. */
  readonly peak: number
  /** How long a ramp rises (then it holds), from one spike or wave to the next, how long a soak takes to rise. */
  readonly periodMs: number
}

/** The same rate all the time. */
export const constantAt = (rate: number): ProfilePlan => ({ name: 'constant', rate, peak: rate, periodMs: 1000 })

export interface Profile {
  rateAt(ms: number): number
  /** How many are due in [0, ms]. */
  dueCount(ms: number): number
  /** When record `index`, counted from 0, is due, in ms from the beginning. */
  dueMs(index: number): number
}

/** A stretch of time over which the rate goes evenly from one to the other, per second. */
interface Stretch {
  readonly lengthMs: number
  readonly from: number
  readonly to: number
}

/** A spike is a quarter of its period, in the middle, as high as `peak` from one moment to the next: that is what makes it one. */
const spikeShare = 0.25
const steps = 50

export function createProfile(plan: ProfilePlan): Profile {
  const { name, rate, peak, periodMs } = plan
  const flat = (lengthMs: number, level: number): Stretch => ({ lengthMs, from: level, to: level })
  switch (name) {
    case 'constant':
      return {
        rateAt: () => rate,
        dueCount: (ms) => (ms < 0 ? 0 : Math.floor((ms * rate) / 1000) + 1),
        dueMs: (index) => (index * 1000) / rate,
      }
    case 'ramp':
      return stretches([{ lengthMs: periodMs, from: rate, to: peak }], [flat(periodMs, peak)])
    case 'soak':
      return stretches([{ lengthMs: periodMs, from: rate / 10, to: rate }], [flat(periodMs, rate)])
    case 'spike': {
      const spikeMs = periodMs * spikeShare
      const calmMs = (periodMs - spikeMs) / 2
      return stretches([], [flat(calmMs, rate), flat(spikeMs, peak), flat(calmMs, rate)])
    }
    case 'sine':
      return sine(rate, peak, periodMs)
  }
}

/** What passes in the first `ms` of a stretch. */
const passed = ({ lengthMs, from, to }: Stretch, ms: number) =>
  (ms * (from + ((to - from) * ms) / (2 * lengthMs))) / 1000

/** The first ones once, the others again and again. */
function stretches(first: readonly Stretch[], again: readonly Stretch[]): Profile {
  const sum = (all: readonly Stretch[], of: (stretch: Stretch) => number) =>
    all.reduce((total, one) => total + of(one), 0)
  const whole = (stretch: Stretch) => passed(stretch, stretch.lengthMs)
  const firstMs = sum(first, ({ lengthMs }) => lengthMs)
  const againMs = sum(again, ({ lengthMs }) => lengthMs)
  const firstCount = sum(first, whole)
  const againCount = sum(again, whole)

  function find(ms: number): { stretch: Stretch; ms: number; before: number } {
    const inFirst = ms < firstMs
    const rounds = inFirst ? 0 : Math.floor((ms - firstMs) / againMs)
    let rest = inFirst ? ms : ms - firstMs - rounds * againMs
    let before = inFirst ? 0 : firstCount + rounds * againCount
    const all = inFirst ? first : again
    for (const stretch of all) {
      if (rest < stretch.lengthMs) return { stretch, ms: rest, before }
      rest -= stretch.lengthMs
      before += whole(stretch)
    }
    // Rounding has carried it past the end by a hair.
    const last = all.at(-1) as Stretch
    return { stretch: last, ms: last.lengthMs, before: before - whole(last) }
  }

  function dueMs(index: number): number {
    const inFirst = index < firstCount
    const rounds = inFirst ? 0 : Math.floor((index - firstCount) / againCount)
    let rest = inFirst ? index : index - firstCount - rounds * againCount
    let beforeMs = inFirst ? 0 : firstMs + rounds * againMs
    for (const stretch of inFirst ? first : again) {
      const count = whole(stretch)
      if (rest < count) return beforeMs + within(stretch, rest)
      rest -= count
      beforeMs += stretch.lengthMs
    }
    return beforeMs
  }
  return {
    dueMs,
    rateAt(ms) {
      const { stretch, ms: at } = find(Math.max(0, ms))
      return stretch.from + ((stretch.to - stretch.from) * at) / stretch.lengthMs
    },
    dueCount(ms) {
      if (ms < 0) return 0
      const { stretch, ms: at, before } = find(ms)
      return settled(Math.floor(before + passed(stretch, at)) + 1, ms, dueMs)
    },
  }
}

/** When so many have passed, in ms of the stretch: the root of a parabola, in the form that has no difference of near numbers. */
function within({ lengthMs, from, to }: Stretch, count: number): number {
  const slope = (to - from) / lengthMs
  return (2000 * count) / (from + Math.sqrt(from * from + 2000 * slope * count))
}

/** Beginning in the trough. */
function sine(trough: number, crest: number, periodMs: number): Profile {
  const mean = (trough + crest) / 2
  const swing = (crest - trough) / 2
  const turn = (2 * Math.PI) / periodMs
  const count = (ms: number) => (mean * ms - (swing * Math.sin(turn * ms)) / turn) / 1000
  const perPeriod = (mean * periodMs) / 1000
  function dueMs(index: number): number {
    const rounds = Math.floor(index / perPeriod)
    const rest = index - rounds * perPeriod
    let low = 0
    let high = periodMs
    for (let step = 0; step < steps; step++) {
      const middle = (low + high) / 2
      if (count(middle) < rest) low = middle
      else high = middle
    }
    return rounds * periodMs + high
  }
  return {
    dueMs,
    rateAt: (ms) => mean - swing * Math.cos(turn * ms),
    dueCount: (ms) => (ms < 0 ? 0 : settled(Math.floor(count(ms)) + 1, ms, dueMs)),
  }
}

/** Counts come from sums and times from roots: where rounding parts them by one, the times are right. */
function settled(about: number, ms: number, dueMs: (index: number) => number): number {
  let count = about
  while (count > 0 && dueMs(count - 1) > ms) count--
  while (dueMs(count) <= ms) count++
  return count
}
