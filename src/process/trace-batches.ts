/**
 * Turns what the hallway tells of a batch into spans. A batch that is followed is a trace of its own, `batch <topic>`, with a span for each room, and
 * with links to the contexts of the sampled events in it: it has many parents, so it is nobody's child. Each sampled event has one span in its
 * producer's trace, from when it was taken in to where it ended, linked to the batch.
 *
 * A batch is followed when its producers have sampled an event in it, else by chance. Whatever becomes of it, its spans end: with it, or when the lane
 * gives up what was under way.
 */
import type { Decoded, Packed, TracedRecord } from '../core/batch.ts'
import { FatalError, LostError, TransientError } from '../core/errors.ts'
import { formatUuid } from '../core/identity.ts'
import type { Attributes, Span } from '../core/otlp.ts'
import type { TraceContext } from '../core/trace-context.ts'
import {
  batchSpan,
  eventSpan,
  kinds,
  moments,
  names,
  type Outcome,
  roomKinds,
  roomSpan,
  type TracedRoom,
} from '../core/trace-names.ts'
import type { PartitionState } from '../flow/lane.ts'
import type { Foreign, Stored } from '../flow/persist/port.ts'
import type { BatchTrace, LaneTracer } from '../flow/trace.ts'

export interface TracerOptions {
  readonly topic: string
  readonly table: string
  readonly group: string
  /** False: nothing goes to streams, and stored is as far as an event gets. */
  readonly publishes: boolean
  readonly ratio: number
  readonly clock: { readonly nowMs: () => number; readonly steadyMs: () => number; readonly random: () => number }
  readonly add: (spans: readonly Span[]) => void
}

/** Retries of a batch that its spans tell of; an outage may last for hours. */
const retriesToldMax = 8

type Moments = { name: string; atMs: number; attributes?: Attributes }[]

interface RoomTimes {
  startMs: number
  endMs: number | null
  error: string | null
  readonly moments: Moments
}

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
  if (error instanceof TransientError || error instanceof LostError || error instanceof FatalError) return error.code
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
      for (const trace of [...open]) trace.end(codeOf(error))
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
  /** When the oldest record was taken in; a record's own where the batch is followed. */
  #takenMs: number
  #takenOf: readonly number[] = []
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
    this.#takenMs = this.#begunMs
  }

  get traceId(): string {
    return this.#own().traceId
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
    this.#takenMs = Math.min(...batch.slices.map(({ firstOffset }, slice) => takenOf(slice, firstOffset)))
    this.#takenOf = batch.traced.map(({ slice, offset }) => takenOf(slice, offset))
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
    if (this.#batch === null && !this.#isChosen) return
    const endMs = this.#now()
    this.#options.add([this.#root(endMs, error), ...this.#roomSpans(endMs, error), ...this.#eventSpans(endMs, error)])
  }

  #root(endMs: number, error: string | null): Span {
    const batch = this.#batch
    return {
      name: batchSpan(this.#options.topic),
      kind: kinds.consumer,
      context: this.#own(),
      parent: null,
      startMs: this.#takenMs,
      endMs,
      attributes: {
        ...this.#messaging('batch', 'process'),
        [names.group]: this.#options.group,
        [names.batchSize]: this.#packed.records,
        [names.lane]: this.#lane,
        [names.partitions]: this.#packed.slices.length,
        [names.again]: this.#packed.again,
        ...(batch !== null && { [names.rows]: batch.rows.count, [names.rejects]: batch.rejects.count }),
      },
      moments: [],
      links: batch?.traced.map(({ traceId, spanId, state }) => ({ traceId, spanId, state })) ?? [],
      error,
    }
  }

  #roomSpans(endMs: number, error: string | null): Span[] {
    const taken: RoomTimes = { startMs: this.#takenMs, endMs: this.#begunMs, error: null, moments: [] }
    return [...new Map<TracedRoom, RoomTimes>([['consume', taken], ...this.#rooms])].map(([room, times]) => ({
      name: roomSpan(room, this.#options),
      kind: roomKinds[room],
      context: { ...this.#own(), spanId: newId(this.#options.clock.random, 16) },
      parent: { spanId: this.#own().spanId, remote: false },
      startMs: times.startMs,
      endMs: times.endMs ?? endMs,
      attributes: this.#roomAttributes(room),
      moments: times.moments,
      links: [],
      error: times.error ?? (times.endMs === null ? error : null),
    }))
  }

  #roomAttributes(room: TracedRoom): Attributes {
    if (room === 'consume') return { ...this.#messaging('poll', 'receive'), [names.batchSize]: this.#packed.records }
    if (room === 'persist') {
      return {
        [names.dbSystem]: 'postgresql',
        [names.dbOperation]: 'COPY',
        [names.dbCollection]: this.#options.table,
        [names.dbBatchSize]: this.#batch?.rows.count ?? 0,
      }
    }
    if (room === 'decode') return {}
    return {
      [names.system]: 'redis',
      [names.operation]: 'XADD',
      [names.operationType]: 'send',
      ...(this.#entries !== null && { [names.batchSize]: this.#entries }),
    }
  }

  #messaging(operation: string, operationType: string): Attributes {
    return {
      [names.system]: 'kafka',
      [names.destination]: this.#options.topic,
      [names.operation]: operation,
      [names.operationType]: operationType,
    }
  }

  #eventSpans(endMs: number, error: string | null): Span[] {
    const batch = this.#batch
    if (batch === null) return []
    return batch.traced.map((record, index) => {
      const { traceId, spanId, state, slice, offset, row, reject } = record
      const outcome = this.#outcomeOf(record, error)
      return {
        name: eventSpan(this.#options.topic),
        kind: kinds.consumer,
        context: { traceId, spanId: newId(this.#options.clock.random, 16), state },
        parent: { spanId, remote: true },
        startMs: this.#takenOf[index] as number,
        endMs,
        attributes: {
          ...this.#messaging('process', 'process'),
          [names.group]: this.#options.group,
          [names.partition]: String(batch.slices[slice]?.partition),
          [names.offset]: offset,
          ...(row >= 0 && { [names.row]: formatUuid(batch.rows.ids, row * 16) }),
          [names.outcome]: outcome,
        },
        moments: this.#momentsOf(outcome),
        links: [this.#own()],
        error: reject ?? (outcome === 'lost' ? error : null),
      }
    })
  }

  #outcomeOf({ row, reject }: TracedRecord, error: string | null): Outcome {
    const isStored = this.#isThrough('persist')
    if (!isStored) return 'lost'
    if (row < 0) return reject === null ? 'skipped' : 'rejected'
    if (this.#foreign?.has(row)) return 'duplicate'
    if (this.#options.publishes && this.#entries !== null) return 'published'
    return error === null ? 'stored' : 'lost'
  }

  #isThrough(room: TracedRoom): boolean {
    const times = this.#rooms.get(room)
    return times !== undefined && times.endMs !== null && times.error === null
  }

  /** How far this one got, and when. */
  #momentsOf(outcome: Outcome): Moments {
    const rooms =
      outcome === 'published' ? (['decode', 'persist', 'publish'] as const) : (['decode', 'persist'] as const)
    return rooms.flatMap((room) => {
      const endMs = this.#rooms.get(room)?.endMs
      return this.#isThrough(room) && typeof endMs === 'number' ? [{ name: moments[room], atMs: endMs }] : []
    })
  }
}
