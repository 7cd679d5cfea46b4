import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { FatalError } from '../../src/core/errors.ts'
import { pressKey } from '../../src/replay/keyboard.ts'
import type { Saved } from '../../src/replay/target.ts'
import { begin, createClock, describe, eventAt, memorySource, memoryTarget, steady } from './world.ts'

const offsets = (target: ReturnType<typeof memoryTarget>) => target.got.map(({ event }) => event.offset)

test('at full speed everything goes, in order, at once', async () => {
  const clock = createClock()
  const target = memoryTarget(clock)
  const { replay, saves } = begin(clock, memorySource(steady(95)), target, describe())
  await clock.go()
  const end = await replay.done
  assert.deepEqual([end.state, end.events, end.share, end.atMs], ['done', 95, 1, 1000 + 94 * 100])
  assert.deepEqual(
    offsets(target),
    steady(95).map(({ offset }) => offset),
  )
  assert(target.finished)
  assert.deepEqual(saves.at(-1)?.position.after, { micros: 10_400_000, partition: 0, offset: 94 })
})

test('at a factor each event goes when it is due', async () => {
  for (const speed of [0.5, 1, 10]) {
    const clock = createClock()
    const target = memoryTarget(clock)
    const { replay } = begin(clock, memorySource(steady(50)), target, describe({ speed }))
    await clock.go()
    await replay.done
    const first = target.got[0]?.ms ?? 0
    for (const { event, ms } of target.got) assert(Math.abs(ms - first - (event.offset * 100) / speed) < 1e-6)
  }
})

test('the rate holds a replay at full speed back', async () => {
  const clock = createClock()
  const target = memoryTarget(clock)
  const { replay } = begin(clock, memorySource(steady(1000), 500), target, describe({ ratePerSecond: 100 }))
  await clock.go()
  await replay.done
  const seconds = (target.got.at(-1)?.ms ?? 0) / 1000
  assert(seconds > 9.8 && seconds < 10.1, `${seconds} s for 1000 events at 100/s`)
})

test('step by step: each step is one event, and speed takes over from there', async () => {
  const clock = createClock()
  const target = memoryTarget(clock)
  const { replay } = begin(clock, memorySource(steady(30)), target, describe({ speed: 'step' }))
  await clock.go(1000)
  assert.equal(target.got.length, 0)
  assert.equal(replay.snapshot().state, 'paused')
  replay.step()
  await clock.go(2000)
  replay.step(3)
  await clock.go(3000)
  assert.deepEqual(offsets(target), [0, 1, 2, 3])
  replay.setSpeed('max')
  await clock.go()
  assert.equal((await replay.done).events, 30)
})

test('pause, another speed, and on', async () => {
  const clock = createClock()
  const target = memoryTarget(clock)
  const { replay } = begin(clock, memorySource(steady(100)), target, describe({ speed: 1 }))
  await clock.go(1000)
  replay.pause()
  const before = target.got.length
  assert(before >= 10 && before <= 11)
  await clock.go(60_000)
  assert.equal(target.got.length, before)
  assert.deepEqual([replay.snapshot().state, replay.snapshot().etaMs], ['paused', null])
  replay.step()
  await clock.go(61_000)
  assert.equal(target.got.length, before + 1)
  replay.setSpeed(10)
  replay.resume()
  await clock.go(61_100)
  // Spaced by 10 ms, and the pause is not owed.
  assert.equal(target.got.length, before + 1 + 11)
  await clock.go()
  assert.deepEqual(
    offsets(target),
    steady(100).map(({ offset }) => offset),
  )
})

test('how long it still takes is reckoned from what it does since its course was set, and not from a pause', async () => {
  const clock = createClock()
  const { replay } = begin(clock, memorySource(steady(1000)), memoryTarget(clock), describe({ speed: 1 }))
  const left = () => Math.round((replay.snapshot().etaMs ?? 0) / 1000)
  await clock.go(20_000)
  assert(Math.abs(left() - 80) <= 1, `${left()} s`)
  replay.pause()
  await clock.go(3_600_000)
  replay.resume()
  await clock.go(3_610_000)
  assert(Math.abs(left() - 70) <= 1, `${left()} s`)
  replay.setSpeed(10)
  await clock.go(3_611_000)
  assert(Math.abs(left() - 6) <= 1, `${left()} s`)
  replay.stop()
  await clock.go()
})

test('what stands still is noted, in a pause and before a long wait', async () => {
  const clock = createClock()
  const target = memoryTarget(clock)
  const events = [eventAt(0, 0), eventAt(300, 1), eventAt(600, 2), eventAt(90_000, 3)]
  const { replay, saves } = begin(clock, memorySource(events), target, describe({ speed: 1 }))
  await clock.go(400)
  replay.pause()
  await clock.go(450)
  assert.equal(saves.at(-1)?.events, 2)
  replay.resume()
  await clock.go(1200)
  assert.equal(saves.at(-1)?.events, 3)
  await clock.go()
  assert.equal((await replay.done).events, 4)
})

test('a jump leaves out what lies between; back goes only where an event may come twice', async () => {
  const clock = createClock()
  const target = memoryTarget(clock)
  const { replay } = begin(clock, memorySource(steady(100)), target, describe({ speed: 1 }))
  await clock.go(450)
  replay.jump(1000 + 60 * 100)
  await clock.go(850)
  assert.deepEqual(offsets(target), [0, 1, 2, 3, 4, 60, 61, 62, 63, 64])
  assert.throws(
    () => replay.jump(1000),
    (error: FatalError) => error.code === 'USAGE' && /backwards/.test(error.message),
  )
  replay.setSpeed('max')
  await clock.go()
  assert.equal((await replay.done).events, 45)

  const twice = memoryTarget(clock, { rewinds: true, knows: false })
  const again = begin(clock, memorySource(steady(20)), twice, describe({ speed: 'step' })).replay
  again.step(15)
  await clock.go(clock.steadyMs() + 1)
  again.jump(1000 + 3 * 100)
  again.step(2)
  await clock.go(clock.steadyMs() + 1)
  assert.deepEqual(offsets(twice).slice(13), [13, 14, 3, 4])
  again.cancel()
  await clock.go()
  assert.equal((await again.done).state, 'cancelled')
  assert(twice.discarded)
})

test('a target that is busy is asked again; one that stays busy ends the replay, which can be gone on with', async () => {
  const clock = createClock()
  const target = memoryTarget(clock)
  target.busy = 4
  const { replay } = begin(clock, memorySource(steady(25)), target, describe())
  await clock.go()
  assert.equal((await replay.done).events, 25)
  assert.deepEqual(
    offsets(target),
    steady(25).map(({ offset }) => offset),
  )

  const never = memoryTarget(clock)
  never.busy = Number.POSITIVE_INFINITY
  const failing = begin(clock, memorySource(steady(25)), never, describe()).replay
  await clock.go()
  await assert.rejects(
    failing.done,
    (error: FatalError) => error instanceof FatalError && /busy for 60 seconds/.test(error.message),
  )
  assert.equal(failing.snapshot().state, 'failed')
})

test('a slow target makes it late, and it says so', async () => {
  const clock = createClock()
  const target = memoryTarget(clock, { takesMs: 300 })
  // Three times as fast as the target: each write takes what has become due meanwhile.
  const { replay } = begin(clock, memorySource(steady(100), 1), target, describe({ speed: 1 }))
  await clock.go(20_000)
  assert(replay.snapshot().lateMs > 10_000, `${replay.snapshot().lateMs} ms late after 20 s`)
  await clock.go()
  assert.equal((await replay.done).events, 100)
})

test('keys steer it', async () => {
  const clock = createClock()
  const target = memoryTarget(clock)
  const { replay } = begin(clock, memorySource(steady(1000)), target, describe({ speed: 1 }))
  const at = () => replay.snapshot()
  assert.match(pressKey(replay, '>') ?? '', /nowhere to jump/)
  await clock.go(500)
  for (const [key, speed] of [
    ['+', 2],
    ['+', 4],
    ['-', 2],
    ['1', 1],
    ['m', 'max'],
    ['-', 1000],
    ['1', 1],
  ] as const) {
    assert.equal(pressKey(replay, key), null)
    assert.equal(at().speed, speed)
  }
  assert.equal(pressKey(replay, ' '), null)
  assert.equal(at().state, 'paused')
  pressKey(replay, 's')
  await clock.go(600)
  const { atMs } = at()
  pressKey(replay, '>')
  pressKey(replay, ' ')
  await clock.go(700)
  assert.equal(at().state, 'running')
  assert((at().atMs as number) >= (atMs as number) + 60_000)
  assert.throws(() => pressKey(replay, '<'), /no jump backwards/)
  for (const key of ['\x1b[A', '\x1b[1;5C', 'x']) assert.equal(pressKey(replay, key), null)
  assert.equal(at().speed, 1)
  pressKey(replay, 'q')
  await clock.go()
  assert.equal((await replay.done).state, 'stopped')
})

test('a minute back, where an event may come twice; not before the first', async () => {
  const clock = createClock()
  const target = memoryTarget(clock, { rewinds: true, knows: false })
  const { replay } = begin(clock, memorySource(steady(1000)), target, describe({ speed: 'step' }))
  replay.step(3)
  await clock.go(10)
  pressKey(replay, '<')
  pressKey(replay, 's')
  await clock.go(20)
  assert.deepEqual(offsets(target), [0, 1, 2, 0])
  replay.stop()
  await clock.go()
})

/** Ended at any moment and in any way, and gone on with: whatever was noted last, each event is there once. */
test('stopped or killed anywhere, and gone on with, each event comes once', async () => {
  const plan = fc.record({
    count: fc.integer({ min: 1, max: 60 }),
    batch: fc.integer({ min: 1, max: 20 }),
    ends: fc.array(fc.record({ afterMs: fc.integer({ min: 0, max: 4000 }), killed: fc.boolean() }), { maxLength: 4 }),
  })
  await fc.assert(
    fc.asyncProperty(plan, async ({ count, batch, ends }) => {
      const clock = createClock()
      const target = memoryTarget(clock)
      let saved: Saved | null = null
      for (const { afterMs, killed } of ends) {
        const { replay, saves } = begin(
          clock,
          memorySource(steady(count), batch),
          target,
          describe({ speed: 1 }),
          saved,
        )
        await clock.go(clock.steadyMs() + afterMs)
        // Killed: only what was noted before counts, and the target knows better.
        const noted: Saved | undefined = saves.at(-1)
        if (!killed) replay.stop()
        else replay.pause()
        await clock.go(clock.steadyMs())
        if (!killed) assert((await replay.done).state === 'stopped' || target.finished)
        saved = (killed ? noted : saves.at(-1)) ?? saved
        if (killed) replay.stop()
        await clock.go(clock.steadyMs())
      }
      const { replay } = begin(clock, memorySource(steady(count), batch), target, describe(), saved)
      await clock.go()
      assert.equal((await replay.done).state, 'done')
      assert.deepEqual(
        offsets(target),
        steady(count).map(({ offset }) => offset),
      )
    }),
    { numRuns: 60 },
  )
})

test('a target that holds less than was noted is not trusted', async () => {
  const clock = createClock()
  const key = { micros: 5_000_000, partition: 0, offset: 40 }
  const saved: Saved = { position: { after: key, kafka: null }, last: key, target: null, events: 41, bytes: 0 }
  const { replay } = begin(clock, memorySource(steady(50)), memoryTarget(clock), describe(), saved)
  await clock.go()
  await assert.rejects(
    replay.done,
    (error: FatalError) => error.code === 'REPLAY_TARGET' && /holds less/.test(error.message),
  )
})
