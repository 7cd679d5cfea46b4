/**
 * The hallway. One lane's batches go through five rooms in the order of their names:
 *
 *   consume -> decode -> persist -> publish -> settle
 *
 * A subscriber never sees an event that is not durable, and a commit never outruns a publish, because a batch reaches a room only through the one
 * before it. While one batch is copied, the last is published and, where much is waiting (lane.ts), the next is decoded. Nothing else in the house decides order.
 */
import { type Backoff, retry } from '../core/backoff.ts'
import type { Decoded, Packed } from '../core/batch.ts'
import { RefusedError, TransientError } from '../core/errors.ts'
import type { Room } from '../core/marks.ts'
import { type RoomClock, stage } from '../core/stage.ts'
import type { Absence } from './absence.ts'
import type { Decode } from './decode/port.ts'
import type { Lane, LaneBatch, PartitionState } from './lane.ts'
import type { Foreign, PersistLane, Published, Stored } from './persist/port.ts'
import type { Publish } from './publish/port.ts'
import type { Settler } from './settle/settler.ts'
import { type BatchTrace, inRoom, type LaneTracer } from './trace.ts'

export interface Rooms {
  readonly decode: Decode
  readonly persist: PersistLane
  readonly publish: Publish
  readonly settle: Settler
  readonly absence: Absence<Lane>
  /** Throws when too much of what comes in is bad: from this batch on nothing is stored. */
  readonly admit: (batch: Decoded) => void
}

/** What the hallway tells the outside: once per batch, never per record. */
export interface Observer {
  readonly clocks: Readonly<Record<'decode' | 'persist' | 'publish', RoomClock>>
  decoded(batch: Decoded): void
  /** An attempt to store begins; what follows is persisted(), or another one. */
  storing(): void
  persisted(batch: Decoded, stored: Stored, states: readonly PartitionState[]): void
  published(batch: Decoded, entries: number): void
  retrying(room: Room, error: TransientError, attempt: number, delayMs: number, traceId?: string): void
  /** Only where traces are on. */
  readonly tracer?: LaneTracer | null
}

interface Traced extends LaneBatch {
  readonly trace: BatchTrace | null
}
interface InHand extends Traced {
  readonly batch: Decoded
}
interface StoredInHand extends InHand {
  readonly foreign: Foreign
}

/** Serves the lane until it ends (resolves) or something is lost or fatal (throws). One call at a time per lane. */
export async function flow(
  lane: Lane,
  rooms: Rooms,
  backoff: Backoff,
  observer: Observer,
  outer: AbortSignal,
): Promise<void> {
  const own = new AbortController()
  const signal = AbortSignal.any([outer, own.signal])
  const abort = (reason: unknown) => own.abort(reason)
  const { clocks } = observer
  const { absence } = rooms
  const tracer = observer.tracer ?? null
  /** In a room whose server may be busy: the same work again, and it is told each time. */
  const patiently = <T>(
    room: 'persist' | 'publish',
    trace: BatchTrace | null,
    work: () => Promise<T>,
    failed: (error: TransientError) => void = () => {},
  ) =>
    inRoom(trace, room, () =>
      retry(work, backoff, signal, (error, attempt, delayMs) => {
        trace?.retrying(room, error, attempt)
        observer.retrying(room, error, attempt, delayMs, trace?.traceId)
        failed(error)
      }),
    )

  async function decode({ packed, states }: LaneBatch): Promise<InHand> {
    const begun = tracer === null ? null : tracer.begin(packed, states)
    const batch = await inRoom(begun, 'decode', () => rooms.decode.decode(packed, signal))
    return { batch, states, packed, trace: begun === null ? null : begun.decoded(batch) }
  }

  async function persist({ batch, states, packed, trace }: InHand): Promise<StoredInHand> {
    // Two batches are decoded at once; in order they are again here.
    advance(batch, states, 'decode')
    observer.decoded(batch)
    rooms.admit(batch)
    const published = states.map(notedSince)
    const stored = await patiently('persist', trace, () => {
      observer.storing()
      return rooms.persist.persist(batch, published, signal)
    }).catch((error) => {
      if (error instanceof RefusedError) lane.condemn(error.records)
      throw error
    })
    if (!batch.again) for (const [index, state] of states.entries()) note(state, published[index] as Published)
    lane.stored()
    advance(batch, states, 'persist')
    observer.persisted(batch, stored, states)
    trace?.persisted(stored)
    return { batch, states, packed, trace, foreign: stored.foreign }
  }

  async function publish({ batch, states, packed, trace, foreign }: StoredInHand): Promise<Traced> {
    // Passed by, its marks stay where they are, and the lane will come by again.
    if (absence.passes(lane)) return { states, packed, trace }
    const streams = states.map((state) => state.streams)
    let entries: number
    try {
      const work = () => rooms.publish.publish(batch, foreign, streams, signal)
      entries = await patiently('publish', trace, work, (error) => {
        if (absence.failed(error)) throw error
      })
    } catch (error) {
      if (!(error instanceof TransientError) || !absence.passes(lane)) throw error
      return { states, packed, trace }
    }
    absence.succeeded()
    advance(batch, states, 'publish')
    observer.published(batch, entries)
    trace?.published(entries)
    return { states, packed, trace }
  }

  const consumed = lane.batches(signal)
  const decoded = stage(consumed, { ahead: 2, width: 2, abort, clock: clocks.decode }, decode)
  const persisted = stage(decoded, { ahead: 1, width: 1, abort, clock: clocks.persist }, persist)
  const published = stage(persisted, { ahead: 1, width: 1, abort, clock: clocks.publish }, publish)
  for await (const { states, packed, trace } of published) {
    lane.finished(packed)
    for (const state of states) rooms.settle.note(state)
    trace?.end()
  }
}

function advance(batch: Decoded | Packed, states: readonly PartitionState[], room: Room): void {
  batch.slices.forEach(({ nextOffset }, index) => {
    const state = states[index] as PartitionState
    state.marks.advance(room, nextOffset)
  })
}

/**
 * What has been published of this partition that its ledger row has not heard of. A stream that is being filled in again stands below what the ledger
 * knows; telling it so would make the rest of the refill look done to whoever comes after a crash.
 */
export function notedSince({ marks, streams, noted }: PartitionState): Published {
  let moved: Record<string, number> | null = null
  for (const [family, last] of streams) {
    if (last <= (noted.get(family) ?? 0)) continue
    moved ??= {}
    moved[family] = last
  }
  return { publishedOffset: marks.get('publish'), streams: moved }
}

function note({ noted }: PartitionState, { streams }: Published): void {
  for (const family in streams) noted.set(family, streams[family] as number)
}
