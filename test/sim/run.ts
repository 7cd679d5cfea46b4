/** One seed from its first event to the checkers' last look; and many of them. */
import { planFaults } from './faults.ts'
import type { Line } from './history.ts'
import { World } from './world.ts'

export interface Outcome {
  readonly seed: number
  /** What does not hold; null: everything does. */
  readonly finding: string | null
  /** The same for the same seed and the same code, and for nothing else. */
  readonly hash: string
  readonly events: number
  readonly simulatedMs: number
  readonly records: number
  /** How often each fault and each reaction was met. */
  readonly counts: ReadonlyMap<string, number>
  readonly history: readonly Line[]
}

/** In a calm world everything is stored and published within so much time. */
const drainMsMax = 240_000

export async function runSeed(seed: number): Promise<Outcome> {
  const world = new World(seed)
  const { random, clock, check, load, kafka } = world
  const isOver = () => world.finding !== null
  const forMs = 5000 + random.unit() * 40_000
  let left = 10 + random.below(40)
  world.every(
    () => random.unit() * (forMs / 25),
    () => {
      load.produce(random.below(kafka.partitions), {})
      return --left > 0 && clock.nowMs < forMs
    },
  )
  for (let count = world.wanted; count > 0; count--) clock.after(random.unit() * 1000, () => world.start())
  world.every(
    () => 5000 + random.unit() * 15_000,
    () => {
      world.operate()
      return true
    },
  )
  planFaults(world, forMs)
  let isCalm = false
  clock.after(forMs + 15_000, () => {
    isCalm = true
  })
  await clock.run(() => isOver() || isCalm)

  /** Until nothing is missing, and then so long that whoever looks at streams and partitions every few seconds has looked. */
  const drain = async (what: string) => {
    const untilMs = clock.nowMs + drainMsMax
    let nextMs = 0
    let missing: string | null = ''
    await clock.run(() => {
      if (isOver() || clock.nowMs > untilMs) return true
      if (clock.nowMs < nextMs) return false
      nextMs = clock.nowMs + 1000
      if (world.alive.length < world.wanted || world.alive.some(({ isAsleep }) => isAsleep)) return false
      missing = check.missing()
      return missing === null
    })
    if (isOver()) return
    if (missing !== null)
      return world.find(new Error(`${what}, and after ${drainMsMax / 1000} s: ${missing || 'no process'}`))
    let isIdle = false
    clock.after(10_000, () => {
      isIdle = true
    })
    await clock.run(() => isOver() || isIdle)
    if (isOver()) return
    // Somebody may be reading something again just now.
    const heldUntilMs = clock.nowMs + drainMsMax
    await clock.run(() => isOver() || check.held() === null || clock.nowMs > heldUntilMs)
    if (isOver()) return
    const held = check.held()
    if (held !== null) return world.find(new Error(`${what}, and after ${drainMsMax / 1000} s: ${held}`))
    try {
      check.lookAtTheEnd()
    } catch (error) {
      world.find(error as Error)
    }
  }
  if (!isOver()) {
    world.becalm()
    await drain('the world is calm')
  }
  if (!isOver()) {
    // What was forgotten without anybody noticing shows when streams go on.
    for (let partition = 0; partition < kafka.partitions; partition++)
      for (let n = 0; n < 4; n++) load.produce(partition, {})
    await drain('more has come')
  }
  return {
    seed,
    finding: world.finding?.message ?? null,
    hash: world.history.hash,
    events: clock.events,
    simulatedMs: clock.nowMs,
    records: load.produced.size,
    counts: world.counts,
    history: world.history.lines,
  }
}

export interface SeedsOptions {
  readonly from: number
  readonly count: number
  /** Take every n-th seed: so that two processes can share them. */
  readonly step?: number
  readonly signal?: AbortSignal
  /** After every seed. */
  readonly onProgress?: (outcome: Outcome) => void
}

/** Seeds one after the other until one finds something; the first that does, or null. */
export async function runSeeds({ from, count, step = 1, signal, onProgress }: SeedsOptions): Promise<Outcome | null> {
  for (let seed = from; seed < from + count; seed += step) {
    if (signal?.aborted) return null
    const outcome = await runSeed(seed)
    onProgress?.(outcome)
    if (outcome.finding !== null) return outcome
  }
  return null
}
