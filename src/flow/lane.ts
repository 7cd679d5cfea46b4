/**
 * A lane: the partitions that one serial pipeline serves, and the chunks waiting for it. Order within a partition and the ledger's compare-and-set
 * need no lock, because nothing overtakes inside a lane.
 *
 * Natural batching: no timer, no linger. Whoever pulls takes all that has queued up, to a row and byte cap. Many records are taken while another batch is
 * being stored, so that workers decode them meanwhile. Few are decoded in no time: a batch of them would only wait, and what comes in after it would have
 * to wait for both, so they are taken when the one before is stored.
 */
import type { Arrivals } from '../core/arrivals.ts'
import { type Chunk, type Condemned, type Packed, packChunks } from '../core/batch.ts'
import { assert } from '../core/errors.ts'
import type { Marks } from '../core/marks.ts'

/** What the rooms know of a partition while this process serves it. Batches hold on to it, so that a revoked partition's last batch still can finish. */
export interface PartitionState {
  readonly partition: number
  readonly marks: Marks
  /** Stream family to the last offset published there + 1. */
  readonly streams: Map<string, number>
  /** The same, as far as the ledger has heard. */
  readonly noted: Map<string, number>
  /** What was taken in when: lag in seconds is read from it. */
  readonly arrivals: Arrivals
  highWatermark: number
  revoked: boolean
}

export interface LaneBatch {
  readonly packed: Packed
  /** One per slice of the batch. */
  readonly states: readonly PartitionState[]
}

export interface LaneLimits {
  readonly rowsMax: number
  readonly bytesMax: number
  /** So many records are no reason to begin a batch while another one is being stored. */
  readonly fewRecords: number
}

export class Lane {
  readonly index: number
  readonly partitions = new Map<number, PartitionState>()
  readonly #limits: LaneLimits
  /** Gives the bytes of a dropped chunk back to the process-wide bound. */
  readonly #release: (bytes: number) => void
  #chunks: Chunk[] = []
  /** In `#chunks`. */
  #records = 0
  /** Batches handed out and not stored yet. */
  #ahead = 0
  #outstanding = 0
  #condemned: Condemned[] = []
  #ended = false
  #arrival = Promise.withResolvers<void>()

  constructor(index: number, limits: LaneLimits, release: (bytes: number) => void) {
    this.index = index
    this.#limits = limits
    this.#release = release
  }

  get waiting(): readonly Chunk[] {
    return this.#chunks
  }

  push(chunk: Chunk): void {
    this.#chunks.push(chunk)
    this.#records += chunk.records
    if (this.#isDue()) this.#arrival.resolve()
  }

  /** One of the batches handed out is stored. */
  stored(): void {
    this.#ahead--
    if (this.#isDue()) this.#arrival.resolve()
  }

  #isDue(): boolean {
    return this.#chunks.length > 0 && (this.#ahead === 0 || this.#records > this.#limits.fewRecords)
  }

  /** No more will come: what is queued is still served, then batches() ends. */
  end(): void {
    this.#ended = true
    this.#arrival.resolve()
  }

  drop(partition: number): void {
    const state = this.partitions.get(partition)
    if (state !== undefined) state.revoked = true
    this.partitions.delete(partition)
    this.#chunks = this.#chunks.filter((chunk) => {
      if (chunk.partition !== partition) return true
      this.#records -= chunk.records
      this.#release(chunk.bytes)
      return false
    })
  }

  /** The lane will start over, and then these records are to be rejects. */
  condemn(records: readonly Condemned[]): void {
    this.#condemned = [...this.#condemned, ...records]
  }

  /** A batch has left the last room. */
  finished(packed: Packed): void {
    this.#outstanding -= packed.bytes
    this.#release(packed.bytes)
    if (packed.condemned.length === 0) return
    const ends = new Map(packed.slices.map(({ partition, nextOffset }) => [partition, nextOffset]))
    this.#condemned = this.#condemned.filter(({ partition, offset }) => offset >= (ends.get(partition) ?? 0))
  }

  /** Forgets every partition and everything under way; the pipeline must have ended. */
  clear(): void {
    for (const partition of [...this.partitions.keys()]) this.drop(partition)
    this.#release(this.#outstanding)
    this.#outstanding = 0
  }

  async *batches(signal: AbortSignal): AsyncGenerator<LaneBatch, void, void> {
    this.#ahead = 0
    // A race with a promise that lives as long as the lane would keep 600 bytes of every wait for ever.
    const onAbort = () => this.#arrival.resolve()
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      for (;;) {
        signal.throwIfAborted()
        if (!this.#isDue()) {
          if (this.#ended && this.#chunks.length === 0) return
          this.#arrival = Promise.withResolvers()
          await this.#arrival.promise
          continue
        }
        const chunks = this.#take()
        const packed = packChunks(chunks, this.#condemned)
        const states = packed.slices.map(({ partition }) => {
          const state = this.partitions.get(partition)
          assert(
            state !== undefined,
            () => `lane ${this.index} was given partition ${partition}, which it does not serve`,
          )
          return state
        })
        this.#outstanding += packed.bytes
        this.#ahead++
        yield { packed, states }
      }
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  /** Everything queued, up to the caps; records that only come by again never share a batch with new ones. */
  #take(): Chunk[] {
    const taken: Chunk[] = []
    let rows = 0
    let bytes = 0
    const { rowsMax, bytesMax } = this.#limits
    const first = this.#chunks[0] as Chunk
    let count = 0
    for (const chunk of this.#chunks) {
      if (
        count > 0 &&
        (chunk.again !== first.again || rows + chunk.records > rowsMax || bytes + chunk.bytes > bytesMax)
      ) {
        break
      }
      taken.push(chunk)
      rows += chunk.records
      bytes += chunk.bytes
      count++
    }
    this.#chunks = this.#chunks.slice(count)
    this.#records -= rows
    return taken
  }
}
