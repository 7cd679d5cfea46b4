/**
 * A replay at work: takes events from a source, hands each to a target when it is due, and obeys whoever steers it. All that changes its course (speed,
 * pause, step, jump, end) takes effect between two events, within a few milliseconds. Knows neither Kafka nor PostgreSQL nor a target.
 */
import { FatalError, TransientError } from '../core/errors.ts'
import { Rate } from '../core/rate.ts'
import { checkSpeed, type ReplayDescription } from './description.ts'
import { bytesOf, type ReplayEvent } from './entry.ts'
import { compareKeys, type KafkaPosition, type Key, keyBefore, type Position, start } from './key.ts'
import { Pace, RateLimit } from './pace.ts'
import type { Progress, Replay, ReplayClock, ReplayState } from './port.ts'
import { prefetched } from './prefetch.ts'
import type { ReplaySource, SourceBatch } from './source.ts'
import { agreed, type ReplayTarget, type Saved } from './target.ts'
import { Yielding } from './yielding.ts'

export interface ReplayOptions {
  readonly description: ReplayDescription
  readonly source: ReplaySource
  readonly target: ReplayTarget
  /** Null: it begins. */
  readonly saved: Saved | null
  /** Keeps what a crash must not lose. */
  readonly save: (saved: Saved) => Promise<void>
  readonly clock: ReplayClock
}

const writeEventsMax = 1000
const saveEveryMs = 1000
/** A target that is busy for longer ends the replay, which can be gone on with. */
const patienceMs = 60_000
const pauseMsMax = 5000

export function startReplay(options: ReplayOptions): Replay {
  const { description, source, target, saved, save, clock } = options
  const pace = new Pace(description.speed)
  const rateMax = description.ratePerSecond ?? Number.POSITIVE_INFINITY
  const limit = new RateLimit(rateMax)
  /** Without a limit, and at the events' own spacing, somebody wants it so. */
  const yielding = description.ratePerSecond === null ? null : new Yielding(description.ratePerSecond)
  const rate = new Rate(5)
  const ending = new AbortController()
  const startedMs = clock.steadyMs()
  let state: ReplayState = 'running'
  let end: 'stopped' | 'cancelled' | null = null
  let paused = false
  let steps = 0
  let jumpTo: number | null = null
  let wake = Promise.withResolvers<void>()

  let position: Position = saved?.position ?? start
  let events = saved?.events ?? 0
  let bytes = saved?.bytes ?? 0
  const served = { kafka: 0, postgres: 0 }
  let share = 0
  /** Where the course was set last: what is left is reckoned from what was gone since. */
  let course: { readonly share: number; readonly ms: number } | null = null
  let lateMs = 0
  let savedMs = startedMs
  let savedEvents = -1
  /** The last event written; a jump moves `position` and not this. */
  let last: Key | null = saved?.last ?? null

  /** Somebody steers. */
  const poke = () => {
    if (course !== null) course = { share, ms: clock.steadyMs() }
    wake.resolve()
    wake = Promise.withResolvers()
  }

  async function sleepUntilPoked(ms: number | null): Promise<void> {
    const over = new AbortController()
    const poked = wake.promise
    try {
      await Promise.race(ms === null ? [poked] : [poked, clock.sleep(ms, over.signal).catch(() => {})])
    } finally {
      over.abort()
    }
  }

  /** How many of the events from `at` on may go now; 0: the course has changed, look anew. */
  async function permitted(batch: readonly ReplayEvent[], at: number): Promise<number> {
    for (;;) {
      if (end !== null || jumpTo !== null) return 0
      const { micros } = batch[at] as ReplayEvent
      const nowMs = clock.steadyMs()
      if (steps > 0) {
        steps--
        pace.restart()
        return 1
      }
      if (paused || pace.speed === 'step') {
        // What stands still is noted first; whoever steered it meanwhile is heard behind that.
        if (savedEvents < events) await keep()
        else await sleepUntilPoked(null)
        continue
      }
      if (yielding !== null)
        limit.perSecond = pace.speed === 'max' ? yielding.perSecond(nowMs, clock.coreTimes) : rateMax
      const may = limit.available(nowMs)
      const waitMs = Math.max(pace.dueMs(micros, nowMs) - nowMs, limit.waitMs())
      lateMs = pace.lateMs(micros, nowMs)
      if (waitMs > 0) {
        if (waitMs > saveEveryMs && savedEvents < events) await keep()
        else await sleepUntilPoked(waitMs)
        continue
      }
      let count = 1
      const most = Math.min(batch.length - at, target.eventsMax ?? writeEventsMax, may)
      while (count < most && pace.dueMs((batch[at + count] as ReplayEvent).micros, nowMs) <= nowMs) count++
      return count
    }
  }

  async function write(part: readonly ReplayEvent[], kafka: KafkaPosition | null): Promise<void> {
    const { micros, partition, offset } = part[part.length - 1] as ReplayEvent
    const after: Key = { micros, partition, offset }
    const behind = {
      position: { after, kafka },
      last: after,
      events: events + part.length,
      bytes: bytes + bytesOf(part),
    }
    const beganMs = clock.steadyMs()
    for (let attempt = 1; ; attempt++) {
      try {
        await target.write(part, behind, ending.signal)
        break
      } catch (error) {
        if (!(error instanceof TransientError) || end !== null) throw error
        if (clock.steadyMs() - beganMs > patienceMs) {
          const what = `The target has been busy for ${Math.round(patienceMs / 1000)} seconds: ${error.message}.`
          throw new FatalError(error.code, what, 'Look after it, then go on with the replay.', error)
        }
        await sleepUntilPoked(Math.min(pauseMsMax, 50 * 2 ** attempt))
      }
    }
    position = behind.position
    last = after
    events = behind.events
    bytes = behind.bytes
    rate.add(clock.steadyMs(), part.length)
  }

  async function keep(): Promise<void> {
    const state = await target.settle()
    await save({ position, last, target: state, events, bytes })
    savedMs = clock.steadyMs()
    savedEvents = events
  }

  /** Hands on what is due of a batch. False: it was left early, for its source is to be read from elsewhere or not at all. */
  async function handOn(batch: SourceBatch, kafka: KafkaPosition | null): Promise<boolean> {
    let at = 0
    const { after } = position
    if (after !== null) while (at < batch.events.length && compareKeys(batch.events[at] as Key, after) <= 0) at++
    const own = batch.events.length === 0 ? 0 : batch.fromKafka / batch.events.length
    const shareBefore = share
    course ??= { share: position.after === null ? 0 : batch.share, ms: clock.steadyMs() }
    while (at < batch.events.length) {
      const count = await permitted(batch.events, at)
      if (count === 0) return false
      limit.take(count)
      await write(at === 0 && count === batch.events.length ? batch.events : batch.events.slice(at, at + count), kafka)
      at += count
      served.kafka += own * count
      served.postgres += (1 - own) * count
      share = shareBefore + ((batch.share - shareBefore) * at) / batch.events.length
      if (clock.steadyMs() - savedMs >= saveEveryMs) await keep()
    }
    position = { after: position.after, kafka: batch.kafka }
    share = batch.share
    return end === null && jumpTo === null
  }

  /** One reading of the source, from where the replay stands. True: to its end. */
  async function readOn(): Promise<boolean> {
    const reading = prefetched(source.read(position, ending.signal))
    // Behind an event that was written, its batch is not done: Kafka is read again from where the batch before had ended.
    let { kafka } = position
    try {
      for (let batch = await reading.next(); batch !== null; batch = await reading.next()) {
        if (!(await handOn(batch, kafka))) return false
        kafka = batch.kafka
      }
      return end === null && jumpTo === null
    } finally {
      await reading.close()
    }
  }

  function takeJump(toMs: number): void {
    jumpTo = null
    const to = keyBefore(toMs * 1000)
    const back = position.after !== null && compareKeys(to, position.after) < 0
    position = { after: to, kafka: back ? null : position.kafka }
    course = null
    pace.restart()
  }

  async function run(): Promise<Progress> {
    try {
      const own = await target.after()
      if (own !== undefined) position = agreed(position, last, own)
      await keep()
      for (;;) {
        const through = await readOn()
        if (jumpTo !== null && end === null) takeJump(jumpTo)
        else if (through || end !== null) break
      }
      if (end === null) {
        await keep()
        await target.finish()
        share = 1
      } else if (end === 'cancelled') await target.discard()
      else await keep()
      state = end ?? 'done'
      return snapshot()
    } catch (error) {
      if (end !== null && (error === ending.signal.reason || error instanceof TransientError)) {
        if (end === 'cancelled') await target.discard()
        else await keep()
        state = end
        return snapshot()
      }
      state = 'failed'
      // What the target holds by now is still good to go on from.
      await keep().catch(() => {})
      throw error
    } finally {
      await target.close().catch(() => {})
      await source.close().catch(() => {})
    }
  }

  function snapshot(): Progress {
    const nowMs = clock.steadyMs()
    const elapsedMs = nowMs - startedMs
    const gone = share - (course?.share ?? 0)
    const running = state === 'running' && !paused && pace.speed !== 'step'
    return {
      id: description.id,
      state: state === 'running' && !running ? 'paused' : state,
      speed: pace.speed,
      events,
      bytes,
      fromPostgres: Math.round(served.postgres),
      fromKafka: Math.round(served.kafka),
      atMs: position.after === null ? null : Math.floor(position.after.micros / 1000),
      share,
      perSecond: rate.perSecond(nowMs),
      elapsedMs,
      etaMs: running && course !== null && gone > 0 ? ((nowMs - course.ms) * (1 - share)) / gone : null,
      lateMs,
      givesWay: running && pace.speed === 'max' && yielding?.givesWay === true,
    }
  }

  function finish(how: 'stopped' | 'cancelled'): void {
    if (end !== null) return
    end = how
    ending.abort(new Error(how))
    poke()
  }

  const done = run()
  done.catch(() => {})
  return {
    description,
    snapshot,
    pause() {
      paused = true
      poke()
    },
    resume() {
      paused = false
      if (pace.speed === 'step') pace.speed = 1
      pace.restart()
      poke()
    },
    setSpeed(speed) {
      checkSpeed(speed)
      pace.speed = speed
      poke()
    },
    step(count = 1) {
      if (pace.speed !== 'step') paused = true
      steps += count
      poke()
    },
    jump(toMs) {
      const { after } = position
      if (!target.rewinds && after !== null && toMs * 1000 <= after.micros) {
        throw new FatalError(
          'USAGE',
          'This target takes every event once, in order: there is no jump backwards.',
          'Begin another replay from there, into another target.',
        )
      }
      jumpTo = toMs
      poke()
    },
    stop: () => finish('stopped'),
    cancel: () => finish('cancelled'),
    done,
  }
}
