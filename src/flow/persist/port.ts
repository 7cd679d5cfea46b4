/** persist/: a decoded batch into the day's partitions and the ledger, in one transaction, or not at all. */
import type { Decoded } from '../../core/batch.ts'
import type { LedgerRow, Stopped } from '../../core/ledger.ts'

/** What publish/ has done meanwhile, for the ledger to remember: one per slice. */
export interface Published {
  readonly publishedOffset: number | null
  /** Streams that moved since the ledger last heard: family -> last offset + 1. */
  readonly streams: Readonly<Record<string, number>> | null
}

/** Rows of the batch that another record made, or that are none after all: by row index. null: every row is this batch's own. */
export type Foreign = ReadonlySet<number> | null

export interface Stored {
  /** Not to be published: their entry is another record's affair. */
  readonly foreign: Foreign
  /** For which this commit made no row: those, and rows of the very same records, stored before the ledger was set back. Not to be counted. */
  readonly known: Foreign
  /**
   * False: the answer to COMMIT was lost, the ledger says that the batch is stored, and nothing shows that it was this process: after a long outage an
   * heir of its partitions may have stored, and counted, the very same batch.
   */
  readonly certain: boolean
}

export interface PersistLane {
  /**
   * Stores the batch and moves the ledger from each slice's firstOffset to its nextOffset, all or nothing. A batch that comes by again
   * (`batch.again`) stores nothing; the answer is then read from the stored rows' own coordinates, and nothing of it is to be counted.
   *
   * TransientError: nothing is known to be stored, call again. LostError FENCED: the ledger stands elsewhere. RefusedError: nothing is stored,
   * and the batch has to come again with these records as rejects.
   */
  persist(batch: Decoded, published: readonly Published[], signal: AbortSignal): Promise<Stored>
  close(): Promise<void>
}

export interface Found {
  /** When, is the store's to say. */
  readonly stopped: Omit<Stopped, 'at'> | null
  readonly topicId: string | null
}

export interface Persist {
  /** The ledger rows; a partition never seen gets one, starting at the offset `startAt` answers. */
  marks(partitions: readonly number[], startAt: (partition: number) => number): Promise<LedgerRow[]>
  /** Tells the ledger what has been published, when no further batch will (at the end of a drain). */
  note(published: ReadonlyMap<number, Published>): Promise<void>
  /** Writes beside the marks what was found: why a partition stands still (null: nothing is in the way), and whose offsets these are (null: unknown). */
  mark(found: ReadonlyMap<number, Found>): Promise<void>
  lane(index: number): PersistLane
  close(): Promise<void>
}
