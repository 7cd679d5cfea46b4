/**
 * Work on a schedule that waits for nobody: what is due is started as long as there is room for it, the rest waits, and each piece of work is told when
 * it should have begun. At full speed everything is due when there is room.
 */
import { constantAt, createProfile, type Profile, type ProfilePlan } from './profile.ts'

/** When work is due, from when to when, and how much of it. */
export interface Schedule {
  /** null: as fast as there is room. */
  readonly profile: Profile | null
  readonly startedMs: number
  readonly events: number
  readonly endMs: number
}

export function scheduleOf(
  plan: {
    /** Infinity: as fast as there is room. */
    readonly rate: number
    readonly profile?: ProfilePlan
    readonly events?: number
    readonly forMs?: number
  },
  startedMs: number,
): Schedule {
  const { rate, profile, events = Number.POSITIVE_INFINITY, forMs = Number.POSITIVE_INFINITY } = plan
  return {
    profile: rate === Number.POSITIVE_INFINITY ? null : createProfile(profile ?? constantAt(rate)),
    startedMs,
    events,
    endMs: startedMs + forMs,
  }
}

export interface OpenLoopOptions extends Schedule {
  readonly now: () => number
  readonly signal: AbortSignal
  /** How many pieces at once, and of how many events at most. */
  readonly inFlightMax: number
  readonly chunkMax: number
  /** `dueMs`: of each event, the first one's place being `first`. */
  readonly work: (first: number, dueMs: readonly number[]) => Promise<void>
}

export interface OpenLoop {
  /** Resolves when nothing is due any more and everything begun is done; rejects with the first failure, everything begun being done. */
  readonly done: Promise<void>
  /** Due, and not begun. */
  waiting(): number
}

const tickMs = 5

export function openLoop(options: OpenLoopOptions): OpenLoop {
  const { profile, startedMs, now, signal, inFlightMax, chunkMax } = options
  const done = Promise.withResolvers<void>()
  let begun = 0
  let inFlight = 0
  let failure: { readonly error: unknown } | null = null
  const isOver = () => failure !== null || signal.aborted || begun >= options.events
  const dueCount = (atMs: number) => {
    if (profile === null) return atMs < options.endMs ? options.events : begun
    return Math.min(options.events, profile.dueCount(Math.min(atMs, options.endMs - 0.001) - startedMs))
  }

  function tick(): void {
    const atMs = now()
    const until = isOver() ? begun : dueCount(atMs)
    while (begun < until && inFlight < inFlightMax && failure === null) {
      const first = begun
      const count = Math.min(until - first, chunkMax)
      const due = Array.from({ length: count }, (_, i) =>
        profile === null ? atMs : startedMs + profile.dueMs(first + i),
      )
      begun += count
      inFlight++
      options.work(first, due).then(answered, (error: unknown) => {
        failure ??= { error }
        answered()
      })
    }
    if (inFlight > 0 || (!isOver() && atMs < options.endMs)) return
    clearInterval(ticker)
    signal.removeEventListener('abort', tick)
    if (failure === null) done.resolve()
    else done.reject(failure.error)
  }
  function answered(): void {
    inFlight--
    if (isOver() || (profile === null ? true : dueCount(now()) > begun)) tick()
  }
  const ticker = setInterval(tick, tickMs)
  signal.addEventListener('abort', tick)
  tick()
  return {
    done: done.promise,
    waiting: () => (profile === null || isOver() ? 0 : Math.max(0, dueCount(now()) - begun)),
  }
}
