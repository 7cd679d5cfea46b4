/**
 * Simulated time: a queue of events, one run at a time, in the order of their times. Between two events every promise that can go on does, so that what
 * happens depends on nothing but the queue: no real timer, no real input, no wall clock.
 */

interface Event {
  readonly atMs: number
  readonly order: number
  readonly run: () => void
}

/** After so many events of one run something turns in a circle. */
const eventsMax = 400_000

export class Clock {
  nowMs = 0
  events = 0
  readonly #heap: Event[] = []
  #order = 0

  after(delayMs: number, run: () => void): void {
    const heap = this.#heap
    const event = { atMs: this.nowMs + delayMs, order: this.#order++, run }
    let at = heap.push(event) - 1
    while (at > 0) {
      const above = (at - 1) >> 1
      if (!isBefore(event, heap[above] as Event)) break
      heap[at] = heap[above] as Event
      at = above
    }
    heap[at] = event
  }

  #take(): Event | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (heap.length === 0 || last === undefined) return first
    let at = 0
    for (;;) {
      let below = at * 2 + 1
      if (below >= heap.length) break
      if (below + 1 < heap.length && isBefore(heap[below + 1] as Event, heap[below] as Event)) below++
      if (!isBefore(heap[below] as Event, last)) break
      heap[at] = heap[below] as Event
      at = below
    }
    heap[at] = last
    return first
  }

  /** Runs events until `isOver`; false: there was nothing left to do. */
  run(isOver: () => boolean): Promise<boolean> {
    const { promise, resolve, reject } = Promise.withResolvers<boolean>()
    const step = () => {
      try {
        if (isOver()) return resolve(true)
        const event = this.#take()
        if (event === undefined) return resolve(false)
        if (++this.events > eventsMax) throw new Error(`more than ${eventsMax} events`)
        this.nowMs = event.atMs
        event.run()
        // Node runs all microtasks between two immediates.
        setImmediate(step)
      } catch (error) {
        reject(error)
      }
    }
    setImmediate(step)
    return promise
  }
}

const isBefore = (a: Event, b: Event) => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
