import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { RoomClock, stage } from '../../src/core/stage.ts'

const noAbort = () => {}
const unexpected = (reason: unknown) => assert.fail(String(reason))

/** Counts what has been handed on, where the stage itself says so. */
class CountingClock extends RoomClock {
  handed = 0
  constructor() {
    super(() => 0)
  }
  override handedOn(): void {
    super.handedOn()
    this.handed++
  }
}

/** An input that is fed by hand; ends by end(), fails by fail(), and notices a signal as a lane does. */
function feed<T>(signal?: AbortSignal) {
  const waiting: PromiseWithResolvers<IteratorResult<T>>[] = []
  const state = { asked: 0, returned: false }
  signal?.addEventListener('abort', () => {
    for (const one of waiting.splice(0)) one.reject(signal.reason)
  })
  const input: AsyncIterableIterator<T> = {
    [Symbol.asyncIterator]() {
      return this
    },
    next() {
      state.asked++
      const next = Promise.withResolvers<IteratorResult<T>>()
      if (signal?.aborted) next.reject(signal.reason)
      else waiting.push(next)
      return next.promise
    },
    async return() {
      state.returned = true
      return { done: true, value: undefined }
    },
  }
  const take = () => waiting.shift() as PromiseWithResolvers<IteratorResult<T>>
  return {
    input,
    state,
    give: (value: T) => take().resolve({ done: false, value }),
    end: () => take().resolve({ done: true, value: undefined }),
    fail: (error: Error) => take().reject(error),
  }
}

test('whatever the order in which things happen: results in input order, never more under way than `width`, never more taken in than `ahead`', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      fc.integer({ min: 0, max: 12 }),
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 4 }),
      fc.boolean(),
      async (scheduler, count, ahead, width, slowConsumer) => {
        const clock = new CountingClock()
        let asked = 0
        let running = 0
        async function* input() {
          for (let item = 0; item < count; item++) {
            asked++
            assert.ok(asked - clock.handed <= ahead, `${asked} taken in, ${clock.handed} handed on, ahead is ${ahead}`)
            await scheduler.schedule(Promise.resolve(), `input ${item}`)
            yield item
          }
        }
        const work = async (item: number) => {
          running++
          assert.ok(running <= width, `${running} under way, width is ${width}`)
          await scheduler.schedule(Promise.resolve(), `work ${item}`)
          running--
          return item
        }
        const out: number[] = []
        const consume = async () => {
          for await (const item of stage(input(), { ahead, width, abort: unexpected, clock }, work)) {
            out.push(item)
            if (slowConsumer) await scheduler.schedule(Promise.resolve(), `consumer ${item}`)
          }
        }
        const consumed = consume()
        await Promise.race([scheduler.waitFor(consumed), consumed])
        assert.deepEqual(
          out,
          Array.from({ length: count }, (_, item) => item),
        )
        assert.equal(running, 0)
      },
    ),
    { numRuns: 300 },
  )
})

test('a finished head is handed on although no new input comes', async () => {
  const { input, give, state } = feed<number>()
  const out = stage(input, { ahead: 3, width: 2, abort: noAbort }, async (item) => item * 10)
  const first = out.next()
  await turn()
  give(1)
  assert.deepEqual(await first, { done: false, value: 10 })
  assert.equal(state.asked, 2, 'the next one is waited for at the same time')
})

test('width 1 never starts the next before the last has ended, also when it is there already', async () => {
  const events: string[] = []
  async function* input() {
    yield* ['a', 'b', 'c']
  }
  const out = stage(input(), { ahead: 3, width: 1, abort: noAbort }, async (item) => {
    events.push(`${item} begins`)
    await turn()
    events.push(`${item} ends`)
    return item
  })
  const results: string[] = []
  for await (const result of out) results.push(result)
  assert.deepEqual(results, ['a', 'b', 'c'])
  assert.deepEqual(events, ['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends'])
})

test('an error: what came before is handed on, the rooms are told, all that is under way is awaited, nothing new begins', async () => {
  const stop = new AbortController()
  const { input, give } = feed<number>(stop.signal)
  const first = Promise.withResolvers<number>()
  const third = Promise.withResolvers<number>()
  const begun: number[] = []
  const abort = (reason: unknown) => stop.abort(reason)
  const out = stage(input, { ahead: 4, width: 3, abort }, (item) => {
    begun.push(item)
    if (item === 1) return first.promise
    if (item === 2) return Promise.reject(new Error('two'))
    return third.promise
  })
  const head = out.next()
  for (const item of [1, 2, 3]) {
    await turn()
    give(item)
  }
  await turn()
  first.resolve(1)
  assert.deepEqual(await head, { done: false, value: 1 })

  let thrown = false
  const failing = out.next().catch((error: Error) => {
    thrown = true
    return error
  })
  await turn()
  assert.equal((stop.signal.reason as Error).message, 'two')
  assert.equal(thrown, false, 'the third is still under way')
  third.resolve(3)
  assert.equal(((await failing) as Error).message, 'two')
  assert.deepEqual(begun, [1, 2, 3])
})

test("the input's error surfaces behind the results that came before it", async () => {
  const { input, give, fail } = feed<number>()
  const work = Promise.withResolvers<number>()
  const out = stage(input, { ahead: 2, width: 1, abort: noAbort }, () => work.promise)
  const first = out.next()
  await turn()
  give(1)
  await turn()
  fail(new Error('the source is gone'))
  await turn()
  work.resolve(1)
  assert.deepEqual(await first, { done: false, value: 1 })
  await assert.rejects(out.next(), { message: 'the source is gone' })
  assert.deepEqual(await out.next(), { done: true, value: undefined })
})

test('an error in a later room waits for what an earlier room has under way', async () => {
  const stop = new AbortController()
  const abort = (reason: unknown) => stop.abort(reason)
  const { input, give } = feed<number>(stop.signal)
  const slow = Promise.withResolvers<number>()
  const earlier = stage(input, { ahead: 2, width: 2, abort }, async (item) => (item === 1 ? item : slow.promise))
  const later = stage(earlier, { ahead: 1, width: 1, abort }, async (item) => {
    await turn()
    throw new Error(`no ${item}`)
  })
  let thrown = false
  const failing = later.next().catch((error: Error) => {
    thrown = true
    return error
  })
  await turn()
  give(1)
  await turn()
  give(2)
  for (let n = 0; n < 10; n++) await turn()
  assert.equal(stop.signal.aborted, true)
  assert.equal(thrown, false, 'the earlier room is still at work on the second')
  slow.resolve(2)
  assert.equal(((await failing) as Error).message, 'no 1')
})

test('return: the rooms are told, what is under way is awaited, the input is closed', async () => {
  const stop = new AbortController()
  const { input, give, state } = feed<number>(stop.signal)
  const second = Promise.withResolvers<number>()
  const out = stage(input, { ahead: 3, width: 2, abort: (reason) => stop.abort(reason) }, async (item) =>
    item === 1 ? 1 : second.promise,
  )
  const first = out.next()
  await turn()
  give(1)
  await first
  await turn()
  give(2)
  await turn()
  let ended = false
  const returned = out.return().then(() => {
    ended = true
  })
  for (let n = 0; n < 10; n++) await turn()
  assert.equal(stop.signal.aborted, true)
  assert.equal(ended, false)
  second.resolve(2)
  await returned
  assert.equal(state.returned, true)
})

test('a room clock partitions its time: working, else holding results, else waiting', () => {
  let now = 0
  const clock = new RoomClock(() => now)
  now = 1000
  clock.begin()
  now = 3000
  clock.begin()
  clock.end()
  now = 4000
  clock.end()
  now = 4500
  clock.handedOn()
  now = 4600
  clock.handedOn()
  now = 5000
  clock.flush()
  assert.deepEqual(clock.seconds, { working: 3, output: 0.6, input: 1.4 })
  clock.begin()
  clock.reset()
  now = 6000
  clock.flush()
  assert.equal(clock.seconds.input, 2.4)
})
