/**
 * Notes what the hallway tells of a batch, until it ends. A batch that is followed is a trace of its own, `batch <topic>`, with a span for each room, and
 * with links to the contexts of the sampled events in it: it has many parents, so it is nobody's child. Each sampled event has one span in its
 * producer's trace, from when it was taken in to where it ended, linked to the batch.
 *
 * A batch is followed when its producers have sampled an event in it, else by chance. Whatever becomes of it, its spans end: with it, or when the lane
 * gives up what was under way.
 */
import type { Decoded, Packed } from '../core/batch.ts'
import { Reaction, type TransientError } from '../core/errors.ts'
import type { Span } from '../core/otlp.ts'
import type { TraceContext } from '../core/trace-context.ts'
import { moments, names, type TracedRoom } from '../core/trace-names.ts'
import type { PartitionState } from '../flow/lane.ts'
import type { Foreign, Stored } from '../flow/persist/port.ts'
import type { BatchTrace, LaneTracer } from '../flow/trace.ts'
import { type RoomTimes, type Setting, type Story, spansOf } from './batch-spans.ts'

export interface TracerOptions extends Omit<Setting, 'lane'> {
  /** Of the batches without a sampled event. */
  readonly ratio: number
  readonly clock: { readonly nowMs: () => number; readonly steadyMs: () => number; readonly random: () => number }
  readonly add: (spans: readonly Span[]) => void
}

/** Retries of a batch that its spans tell of; an outage may last for hours. */
const retriesToldMax = 8

const newId = (random: () => number, digits: number): string => {
  let id = ''
  while (id.length < digits)
    id += Math.floor(random() * 2 ** 32)
      .toString(16)
      .padStart(8, '0')
  return /[^0]/.test(id) ? id : id.replace(/0$/, '1')
}

/** A code of ours; of anything else only what kind of thing it was. */
function codeOf(error: unknown): string {
  if (error instanceof Reaction) return error.code
  return error instanceof Error ? error.name : 'unknown'
}

export function openLaneTracer(lane: number, options: TracerOptions): LaneTracer & { readonly open: number } {
  const open = new Set<TracedBatch>()
  return {
    get open() {
      return open.size
    },
    begin(packed, states) {
      const trace = new TracedBatch(lane, packed, states, options, () => open.delete(trace))
      open.add(trace)
      return trace
    },
    abandon(error) {
      const code = codeOf(error)
      const failed = [...open]
        .filter((trace) => trace.failedMs(code) !== null)
        .sort((a, b) => (a.failedMs(code) as number) - (b.failedMs(code) as number))
      for (const trace of [...open]) trace.end(code)
      // What failed first has ended the others.
      return failed[0]?.isFollowed ? failed[0].traceId : undefined
    },
  }
}

class TracedBatch implements BatchTrace {
  readonly #lane: number
  readonly #packed: Packed
  readonly #states: readonly PartitionState[]
  readonly #options: TracerOptions
  readonly #ended: () => void
  readonly #isChosen: boolean
  /** What the steady clock lacks to the time of day, for as long as the batch lasts. */
  readonly #epochMs: number
  readonly #begunMs: number
  readonly #rooms = new Map<TracedRoom, RoomTimes>()
  #context: TraceContext | null = null
  /** When the oldest record was taken in, and each of the followed ones. */
  #startMs: number
  #takenMs: readonly number[] = []
  #batch: Decoded | null = null
  #foreign: Foreign = null
  #entries: number | null = null
  #toldRetries = 0

  constructor(
    lane: number,
    packed: Packed,
    states: readonly PartitionState[],
    options: TracerOptions,
    ended: () => void,
  ) {
    this.#lane = lane
    this.#packed = packed
    this.#states = states
    this.#options = options
    this.#ended = ended
    const { nowMs, steadyMs, random } = options.clock
    this.#isChosen = options.ratio > 0 && random() < options.ratio
    this.#epochMs = nowMs() - steadyMs()
    this.#begunMs = this.#now()
    this.#startMs = this.#begunMs
  }

  get traceId(): string {
    return this.#own().traceId
  }

  get isFollowed(): boolean {
    return this.#batch !== null || this.#isChosen
  }

  /** When a room has thrown this. */
  failedMs(code: string): number | null {
    for (const { error, endMs } of this.#rooms.values()) if (error === code) return endMs
    return null
  }

  #now(): number {
    return this.#epochMs + this.#options.clock.steadyMs()
  }

  #own(): TraceContext {
    const { random } = this.#options.clock
    this.#context ??= { traceId: newId(random, 32), spanId: newId(random, 16), state: null }
    return this.#context
  }

  enter(room: TracedRoom): void {
    this.#rooms.set(room, { startMs: this.#now(), endMs: null, error: null, moments: [] })
  }

  leave(room: TracedRoom, error?: unknown): void {
    const times = this.#rooms.get(room)
    if (times === undefined) return
    times.endMs = this.#now()
    if (error !== undefined) times.error = codeOf(error)
  }

  decoded(batch: Decoded): BatchTrace | null {
    if (batch.traced.length === 0 && !this.#isChosen) {
      this.#ended()
      return null
    }
    this.#batch = batch
    // Arrivals are forgotten when a partition is settled; now they are all there. The time of day may have been set since.
    const takenOf = (slice: number, offset: number) =>
      Math.min(this.#begunMs, this.#states[slice]?.arrivals.beyond(offset)?.takenMs ?? this.#begunMs)
    this.#startMs = Math.min(...batch.slices.map(({ firstOffset }, slice) => takenOf(slice, firstOffset)))
    this.#takenMs = batch.traced.map(({ slice, offset }) => takenOf(slice, offset))
    return this
  }

  retrying(room: TracedRoom, error: TransientError, attempt: number): void {
    if (this.#toldRetries++ >= retriesToldMax) return
    const attributes = { [names.error]: codeOf(error), [names.attempt]: attempt }
    this.#rooms.get(room)?.moments.push({ name: moments.retry, atMs: this.#now(), attributes })
  }

  persisted({ foreign }: Stored): void {
    this.#foreign = foreign
  }

  published(entries: number): void {
    this.#entries = entries
  }

  end(error: string | null = null): void {
    this.#ended()
    // Given up in decode/, by whom it was sampled is not known.
    if (!this.isFollowed) return
    const { clock, add, ...setting } = this.#options
    const consumed: RoomTimes = { startMs: this.#startMs, endMs: this.#begunMs, error: null, moments: [] }
    const story: Story = {
      context: this.#own(),
      packed: this.#packed,
      batch: this.#batch,
      rooms: new Map<TracedRoom, RoomTimes>([['consume', consumed], ...this.#rooms]),
      startMs: this.#startMs,
      endMs: this.#now(),
      takenMs: this.#takenMs,
      foreign: this.#foreign,
      entries: this.#entries,
      error,
    }
    add(spansOf(story, { ...setting, lane: this.#lane }, () => newId(clock.random, 16)))
  }
}
