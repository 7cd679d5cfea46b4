/** Whether a run kept its goals: what was seen in, sentences with figures out. Pure. */
import { count } from '../core/count.ts'
import { bytes, milliseconds } from '../live/style.ts'
import type { Sample } from './samples.ts'
import { type Suite, spikeEnds } from './suites.ts'

export interface Seen {
  /** From the first event due to the last one published. */
  readonly elapsedMs: number
  readonly catchUpMs: number
  /** Of the events' way from due to published, or to stored where nothing is published. */
  readonly p99Ms: number
  readonly sent: number
  readonly failed: number
  readonly restarts: number
  readonly samples: readonly Sample[]
}

export interface Judged {
  /** What is asked for, with the limit in it. */
  readonly goal: string
  readonly measured: string
  readonly kept: boolean
}

export function judge(suite: Suite, seen: Seen, publishes: boolean): Judged[] {
  const { withinMs, p99Ms, catchUpMs, recoverMs, memoryGrowth } = suite.goals
  const all: Judged[] = []
  const end = publishes ? 'published' : 'stored'
  if (withinMs !== undefined) {
    all.push({
      goal: `${count(suite.events)} events ${end} within ${milliseconds(withinMs)}`,
      measured: `${count(seen.sent)} in ${(seen.elapsedMs / 1000).toFixed(2)} s`,
      kept: seen.sent >= suite.events && seen.elapsedMs <= withinMs,
    })
  }
  if (p99Ms !== undefined) {
    all.push({
      goal: `p99 from due to ${end} below ${milliseconds(p99Ms)}`,
      measured: milliseconds(seen.p99Ms),
      kept: seen.p99Ms < p99Ms,
    })
  }
  if (recoverMs !== undefined) {
    const worst = Math.max(0, ...spikeEnds(suite).map((ms) => recoveryMs(seen.samples, ms)))
    all.push({
      goal: `after a spike, nothing older than a second within ${milliseconds(recoverMs)}`,
      measured: Number.isFinite(worst) ? `${(worst / 1000).toFixed(1)} s` : 'not before the next one',
      kept: worst <= recoverMs,
    })
  }
  if (catchUpMs !== undefined) {
    all.push({
      goal: `caught up within ${milliseconds(catchUpMs)} after the load`,
      measured: milliseconds(seen.catchUpMs),
      kept: seen.catchUpMs <= catchUpMs,
    })
  }
  if (memoryGrowth !== undefined) {
    const { from, to } = growthOf(seen.samples)
    const share = from === 0 ? 0 : to / from - 1
    all.push({
      goal: `memory of the replicas grows by less than ${Math.round(memoryGrowth * 100)} %`,
      measured: `${share < 0 ? '' : '+'}${(share * 100).toFixed(1)} %, ${bytes(from)} to ${bytes(to)}`,
      kept: share < memoryGrowth,
    })
  }
  if (seen.failed > 0) all.push({ goal: 'every event sent', measured: `${count(seen.failed)} not sent`, kept: false })
  if (seen.restarts > 0) {
    all.push({ goal: 'no replica ends by itself', measured: `${seen.restarts} restarts`, kept: false })
  }
  return all
}

/** Something is older than a second: in Kafka, or still with the sender, where always some are due that are just being sent. */
const isBehind = ({ lagSeconds, waiting, due }: Sample) => lagSeconds >= 1 || waiting > due

/** From this moment to the first look at which nothing is older than a second; Infinity: there is none. */
export function recoveryMs(samples: readonly Sample[], fromMs: number): number {
  const well = samples.find((sample) => sample.at * 1000 >= fromMs && !isBehind(sample))
  return well === undefined ? Number.POSITIVE_INFINITY : well.at * 1000 - fromMs
}

const isReplica = (name: string) => name.startsWith('replica')

/** The replicas' memory, in the second fifth of the run and in the last: the first is the warming up. */
export function growthOf(samples: readonly Sample[]): { from: number; to: number } {
  const fifth = Math.floor(samples.length / 5)
  const mean = (part: readonly Sample[]) => {
    if (part.length === 0) return 0
    const sums = part.map(({ memory }) =>
      Object.entries(memory).reduce((sum, [name, value]) => sum + (isReplica(name) ? value : 0), 0),
    )
    return sums.reduce((sum, one) => sum + one, 0) / part.length
  }
  return { from: mean(samples.slice(fifth, fifth * 2)), to: mean(samples.slice(-Math.max(1, fifth))) }
}

/** The highest rate that was kept up with: before the first three seconds in a row in which something was older than a second. */
export function kneeOf(samples: readonly Sample[]): { readonly rate: number; readonly reached: boolean } {
  const behind = (sample: Sample | undefined) => sample !== undefined && isBehind(sample)
  const first = samples.findIndex((_, index) => [0, 1, 2].every((more) => behind(samples[index + more])))
  const kept = (first === -1 ? samples : samples.slice(0, first)).map(({ due }) => due)
  return { rate: Math.max(0, ...kept), reached: first !== -1 }
}
