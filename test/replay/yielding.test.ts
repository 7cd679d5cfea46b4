/** A replay on cores that others need. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { begin, createClock, describe, memorySource, memoryTarget, steady } from './world.ts'

test('with a limit it leaves full cores to others, and takes what is free; without one, and at a spacing, it does not ask', async () => {
  for (const [given, seconds] of [
    [{ ratePerSecond: 10_000 }, [12, 16]],
    [{ ratePerSecond: null }, [0, 0]],
    [{ ratePerSecond: 10_000, speed: 100 }, [19, 21]],
  ] as const) {
    const clock = createClock()
    const target = memoryTarget(clock)
    // Full for ten seconds: whoever wants to run waits three times as long.
    const coreTimes = () => {
      const nowMs = clock.steadyMs()
      return { ranMs: nowMs / 4, waitedMs: Math.min(nowMs, 10_000) * 0.75 }
    }
    const source = memorySource(steady(20_000), 1000)
    const { replay } = begin({ ...clock, coreTimes }, source, target, describe(given))
    await clock.go(5000)
    const { events, givesWay } = replay.snapshot()
    const gives = given.ratePerSecond !== null && !('speed' in given)
    assert.equal(givesWay, gives)
    if (gives) assert(events > 5000 && events < 9000, `${events} events in five seconds of full cores`)
    await clock.go()
    await replay.done
    const took = (target.got.at(-1)?.ms ?? 0) / 1000
    assert(took >= seconds[0] && took <= seconds[1], `${took} s: ${JSON.stringify(given)}`)
  }
})
