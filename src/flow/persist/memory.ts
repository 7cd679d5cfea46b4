/**
 * persist/ in memory, for simulations and for tests of the other rooms. Honest about what matters: it stores what the COPY bytes say and not what
 * the batch promises, refuses what PostgreSQL would refuse, and applies a batch with its ledger rows at once or not at all. No clock, no timer, no
 * randomness: every pause and every failure is the caller's, through `commit`.
 */
import type { Condemned, Decoded, Slice } from '../../core/batch.ts'
import { LostError, RefusedError } from '../../core/errors.ts'
import { formatUuid } from '../../core/identity.ts'
import type { LedgerRow } from '../../core/ledger.ts'
import type { Foreign, Persist, PersistLane, Published } from './port.ts'
import { type CopiedReject, type CopiedRow, placeOfRow, readCopy, readReject, readRow } from './read-copy.ts'

export interface MemoryLedgerRow extends LedgerRow {
  readonly stored: number
  readonly rejected: number
  readonly duplicated: number
  readonly skipped: number
}

/** Shared by all "processes" that open it. */
export interface MemoryDatabase {
  /** By key, in the order of their storing. */
  readonly rows: Map<string, CopiedRow>
  /** By `consumer/topic/partition/offset`. */
  readonly rejects: Map<string, CopiedReject>
  /** By `consumer/topic/partition`. */
  readonly ledger: Map<string, MemoryLedgerRow>
  /** Days that have a partition. */
  readonly days: Set<number>
  /**
   * What happens when a transaction is about to commit: `apply` makes it real. Replace it to fail before, to fail after (the answer to COMMIT is
   * lost), or to wait.
   */
  commit(apply: () => void): void | Promise<void>
}

export interface MemoryTarget {
  readonly consumer: string
  readonly topic: string
}

export function createMemoryDatabase(): MemoryDatabase {
  return { rows: new Map(), rejects: new Map(), ledger: new Map(), days: new Set(), commit: (apply) => apply() }
}

export function openMemoryPersist(database: MemoryDatabase, { consumer, topic }: MemoryTarget): Persist {
  const { ledger } = database
  const where = (partition: number) => `${consumer}/${topic}/${partition}`

  return {
    async marks(partitions, startAt) {
      return partitions.map((partition) => {
        const startOffset = startAt(partition)
        const row = ledger.get(where(partition)) ?? { ...emptyRow, partition, startOffset, nextOffset: startOffset }
        ledger.set(where(partition), row)
        return row
      })
    },
    async note(published) {
      for (const [partition, one] of published) {
        const row = ledger.get(where(partition))
        if (row === undefined || one.publishedOffset === null || row.nextOffset < one.publishedOffset) continue
        ledger.set(where(partition), heard(row, one))
      }
    },
    async mark(found) {
      for (const [partition, { stopped, topicId }] of found) {
        const row = ledger.get(where(partition))
        if (row === undefined) continue
        const still = stopped === null ? null : { ...stopped, at: '' }
        ledger.set(where(partition), { ...row, stopped: still, topicId: topicId ?? row.topicId ?? null })
      }
    },
    lane: () => openLane(database, topic, where),
    async close() {},
  }
}

const emptyRow = {
  publishedOffset: null,
  streams: new Map<string, number>(),
  stored: 0,
  rejected: 0,
  duplicated: 0,
  skipped: 0,
}

function heard(row: MemoryLedgerRow, { publishedOffset, streams }: Published): MemoryLedgerRow {
  const known = row.publishedOffset
  return {
    ...row,
    publishedOffset: publishedOffset === null ? known : Math.max(known ?? publishedOffset, publishedOffset),
    streams: new Map([...row.streams, ...Object.entries(streams ?? {})]),
  }
}

function openLane(database: MemoryDatabase, topic: string, where: (partition: number) => string): PersistLane {
  const { ledger, rows } = database
  let uncertain = false

  const standing = ({ partition }: Slice) => ledger.get(where(partition))?.nextOffset
  const at = (batch: Decoded, row: number) =>
    `${topic}/${batch.slices[batch.rows.slice[row] as number]?.partition}/${batch.rows.offset[row]}`

  /** Rows whose stored twin carries other coordinates than this batch's record. */
  function foreignOf(batch: Decoded): Foreign {
    const foreign = new Set<number>()
    for (let row = 0; row < batch.rows.count; row++) {
      const stored = rows.get(formatUuid(batch.rows.ids, row * 16))
      if (stored === undefined || `${stored.topic}/${stored.partition}/${stored.offset}` !== at(batch, row))
        foreign.add(row)
    }
    return foreign.size > 0 ? foreign : null
  }

  function compare(batch: Decoded): void {
    for (const slice of batch.slices) {
      const found = standing(slice)
      if (found === slice.firstOffset) continue
      const { partition, firstOffset } = slice
      throw new LostError(
        'FENCED',
        `partition ${partition}: expected next offset ${firstOffset}, found ${found ?? 'no row'}`,
      )
    }
  }

  function apply(
    batch: Decoded,
    published: readonly Published[],
    copied: readonly CopiedRow[],
    rejects: readonly CopiedReject[],
  ): Foreign {
    compare(batch)
    const rowAt = new Map(Array.from({ length: batch.rows.count }, (_, row) => [at(batch, row), row]))
    const foreign = new Set<number>()
    const duplicates = batch.slices.map(() => 0)
    for (const row of copied.toSorted((a, b) => a.partition - b.partition || a.offset - b.offset)) {
      if (!rows.has(row.id)) rows.set(row.id, row)
      else {
        const place = `${row.topic}/${row.partition}/${row.offset}`
        const index = rowAt.get(place) as number
        const stored = rows.get(row.id) as CopiedRow
        if (`${stored.topic}/${stored.partition}/${stored.offset}` !== place) foreign.add(index)
        const slice = batch.rows.slice[index] as number
        duplicates[slice] = (duplicates[slice] as number) + 1
      }
    }
    const known = batch.slices.map(() => 0)
    for (const one of rejects) {
      const key = `${one.consumer}/${one.topic}/${one.partition}/${one.offset}`
      const slice = batch.slices.findIndex(({ partition }) => partition === one.partition)
      if (database.rejects.has(key)) known[slice] = (known[slice] as number) + 1
      else database.rejects.set(key, one)
    }
    batch.slices.forEach((slice, index) => {
      const before = heard(ledger.get(where(slice.partition)) as MemoryLedgerRow, published[index] as Published)
      const duplicated = duplicates[index] as number
      ledger.set(where(slice.partition), {
        ...before,
        nextOffset: slice.nextOffset,
        stored: before.stored + slice.rows - duplicated,
        rejected: before.rejected + slice.rejects - (known[index] as number),
        duplicated: before.duplicated + duplicated + (known[index] as number),
        skipped: before.skipped + slice.skips,
      })
    })
    return foreign.size > 0 ? foreign : null
  }

  async function store(batch: Decoded, published: readonly Published[], signal: AbortSignal): Promise<Foreign> {
    if (uncertain) {
      uncertain = false
      if (batch.slices.every((slice) => standing(slice) === slice.nextOffset)) return foreignOf(batch)
    }
    // The ledger comes first, as in PostgreSQL: a process that has lost a partition fails before anything else.
    compare(batch)
    for (const { day } of batch.copies) database.days.add(day)
    const condemned: Condemned[] = []
    const copied = batch.copies.flatMap(({ day, bytes }) =>
      readCopy(bytes).flatMap((fields) => {
        try {
          return [readRow(fields, day)]
        } catch (error) {
          condemned.push({ ...placeOfRow(fields), reason: (error as Error).message })
          return []
        }
      }),
    )
    if (condemned.length > 0) throw new RefusedError(condemned)
    const rejects = batch.rejects.count === 0 ? [] : readCopy(batch.rejects.bytes).map(readReject)
    await Promise.resolve()
    signal.throwIfAborted()
    let foreign: Foreign = null
    try {
      await database.commit(() => {
        foreign = apply(batch, published, copied, rejects)
      })
    } catch (error) {
      uncertain = !(error instanceof LostError)
      throw error
    }
    return foreign
  }

  return {
    async persist(batch, published, signal) {
      signal.throwIfAborted()
      return batch.again ? foreignOf(batch) : store(batch, published, signal)
    },
    async close() {},
  }
}
