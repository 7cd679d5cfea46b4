/**
 * The hallway's one operator. At most `ahead` batches are taken in and not yet handed on, `width` are worked on at once, results come in input
 * order. Pull-based: back-pressure is simply not pulling.
 *
 * Two numbers, because one cannot mean both: width 2 at persist/ would let a batch commit before the one it follows, and width 1 alone would give
 * no overlap between rooms. Input is pulled as soon as there is room and the head is awaited, so that a finished batch never waits for the
 * next one to arrive.
 *
 * On an error, or when whoever takes the results returns early: `abort` is called first, then everything under way is awaited, here and in the rooms
 * before. Whoever holds the stage may start over at once. `abort` may be called more than once, its first reason counts.
 */

export interface StageOptions {
  readonly ahead: number
  readonly width: number
  /** Ends what is under way and what is being waited for, in this room and all others. */
  readonly abort: (reason: unknown) => void
  readonly clock?: RoomClock | undefined
}

export async function* stage<In, Out>(
  input: AsyncIterable<In>,
  { ahead, width, abort, clock }: StageOptions,
  work: (item: In) => Promise<Out>,
): AsyncGenerator<Out, void, void> {
  const source = input[Symbol.asyncIterator]()
  const slots = new Semaphore(ahead)
  const turns = new Semaphore(width)
  const results: Promise<Out>[] = []
  let arrived = Promise.withResolvers<void>()
  let ended = false
  let failed = false
  let inputError: { readonly error: unknown } | null = null

  const pump = async () => {
    for (;;) {
      await slots.take()
      if (failed) return
      const { done, value } = await source.next()
      if (done) break
      await turns.take()
      if (failed) return
      clock?.begin()
      const result = work(value).finally(() => {
        clock?.end()
        turns.give()
      })
      result.catch(() => {})
      results.push(result)
      arrived.resolve()
    }
    ended = true
    arrived.resolve()
  }
  const pumping = pump().catch((error: unknown) => {
    inputError = { error }
    arrived.resolve()
  })

  try {
    for (;;) {
      const head = results[0]
      if (head === undefined) {
        if (ended) return
        if (inputError !== null) throw (inputError as { error: unknown }).error
        arrived = Promise.withResolvers()
        await arrived.promise
        continue
      }
      const result = await head
      void results.shift()
      clock?.handedOn()
      slots.give()
      yield result
    }
  } catch (error) {
    abort(error)
    throw error
  } finally {
    if (!ended || results.length > 0) {
      failed = true
      abort(new Error('nobody takes what comes out of this room'))
      slots.give()
      turns.give()
      await Promise.allSettled([pumping, ...results])
      // The room before may have work of its own under way; asked to return, it waits for that in the same manner.
      await Promise.resolve(source.return?.()).catch(() => {})
    }
  }
}

class Semaphore {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(count: number) {
    this.#free = count
  }

  take(): Promise<void> | void {
    if (this.#free > 0) this.#free--
    else return new Promise((resolve) => this.#waiting.push(resolve))
  }

  give(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#free++
    else next()
  }
}

/** Partitions a room's seconds: working, else holding results nobody has taken (output), else waiting for something to do (input). */
export class RoomClock {
  readonly seconds = { working: 0, input: 0, output: 0 }
  #working = 0
  #ready = 0
  #since: number
  readonly #nowMs: () => number

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
    this.#since = nowMs()
  }

  /** Books the time since the last change to the state that held during it. */
  flush(): void {
    const now = this.#nowMs()
    const state = this.#working > 0 ? 'working' : this.#ready > 0 ? 'output' : 'input'
    this.seconds[state] += (now - this.#since) / 1000
    this.#since = now
  }
  begin(): void {
    this.flush()
    this.#working++
  }
  end(): void {
    this.flush()
    this.#working--
    this.#ready++
  }
  handedOn(): void {
    this.flush()
    this.#ready--
  }
  /** After an error: nothing is under way any more. */
  reset(): void {
    this.flush()
    this.#working = 0
    this.#ready = 0
  }
}
