/**
 * persist/ in memory, for simulations and for tests of the other rooms. Honest about what matters: it stores what the COPY bytes say and not what
 * the batch promises, refuses what PostgreSQL would refuse, and applies a batch with its ledger rows at once or not at all. No clock, no timer, no
 * randomness: every pause and every failure is the caller's, through `commit` and `ask`.
 */
import type { Condemned, Decoded, Slice } from '../../core/batch.ts'
import { LostError, RefusedError } from '../../core/errors.ts'
import { formatUuid } from '../../core/identity.ts'
import type { LedgerRow } from '../../core/ledger.ts'
import type { Foreign, Persist, PersistLane, Published, Stored } from './port.ts'
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
  commit(apply: () => void, what?: string): void | Promise<void>
  /** The same for every other statement: what is read or written outside of a batch's transaction. */
  ask(apply: () => void, what?: string): void | Promise<void>
  /** A constraint that somebody has added: why the table does not take this row. */
  refuses?(row: CopiedRow): string | null
}

export interface MemoryTarget {
  readonly consumer: string
  readonly topic: string
}

export function createMemoryDatabase(): MemoryDatabase {
  return {
    rows: new Map(),
    rejects: new Map(),
    ledger: new Map(),
    days: new Set(),
    commit: (apply) => apply(),
    ask: (apply) => apply(),
  }
}

export function openMemoryPersist(database: MemoryDatabase, { consumer, topic }: MemoryTarget): Persist {
  const { ledger } = database
  const where = (partition: number) => `${consumer}/${topic}/${partition}`
  const change = (partition: number, to: (row: MemoryLedgerRow) => MemoryLedgerRow) => {
    const row = ledger.get(where(partition))
    if (row !== undefined) ledger.set(where(partition), to(row))
  }

  return {
    async marks(partitions, startAt) {
      await database.ask(() => {
        for (const partition of partitions) {
          const startOffset = startAt(partition)
          if (ledger.has(where(partition))) continue
          ledger.set(where(partition), { ...emptyRow, partition, startOffset, nextOffset: startOffset })
        }
      }, `begin ${partitions}`)
      return answerOf(
        (apply) => database.ask(apply, `read marks ${partitions}`),
        () => partitions.flatMap((partition) => ledger.get(where(partition)) ?? []),
      )
    },
    async note(published) {
      for (const [partition, one] of published) {
        const { publishedOffset } = one
        await database.ask(
          () =>
            change(partition, (row) =>
              publishedOffset === null || row.nextOffset < publishedOffset ? row : heard(row, onlyMore(row, one)),
            ),
          `note ${partition}: ${publishedOffset}`,
        )
      }
    },
    async mark(found) {
      for (const [partition, { stopped, topicId }] of found) {
        const still = stopped === null ? null : { ...stopped, at: '' }
        await database.ask(
          () => change(partition, (row) => ({ ...row, stopped: still, topicId: topicId ?? row.topicId ?? null })),
          `mark ${partition}: ${stopped?.code ?? 'goes on'}`,
        )
      }
    },
    lane: () => openLane(database, topic, where),
    async close() {},
  }
}

const orNull = (rows: ReadonlySet<number>): Foreign => (rows.size > 0 ? rows : null)

/** What `apply` answered, when it took effect. */
async function answerOf<T>(call: (apply: () => void) => void | Promise<void>, apply: () => T): Promise<T> {
  let answer: T | undefined
  await call(() => {
    answer = apply()
  })
  return answer as T
}

const emptyRow = {
  publishedOffset: null,
  streams: new Map<string, number>(),
  stored: 0,
  rejected: 0,
  duplicated: 0,
  skipped: 0,
}

/** A note of whoever was thrown out of the group and does not know it may say less than is known. */
function onlyMore({ streams: known }: MemoryLedgerRow, { publishedOffset, streams }: Published): Published {
  const more = Object.entries(streams ?? {}).map(([family, last]) => [family, Math.max(last, known.get(family) ?? 0)])
  return { publishedOffset, streams: Object.fromEntries(more) }
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
  /** What the last commit that took effect has answered, whether anybody heard it or not. */
  let applied: { readonly batch: Decoded; readonly stored: Stored } | null = null

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
  ): Stored {
    compare(batch)
    const rowAt = new Map(Array.from({ length: batch.rows.count }, (_, row) => [at(batch, row), row]))
    const foreign = new Set<number>()
    const doubled = new Set<number>()
    const duplicates = batch.slices.map(() => 0)
    for (const row of copied.toSorted((a, b) => a.partition - b.partition || a.offset - b.offset)) {
      if (!rows.has(row.id)) rows.set(row.id, row)
      else {
        const place = `${row.topic}/${row.partition}/${row.offset}`
        const index = rowAt.get(place) as number
        const stored = rows.get(row.id) as CopiedRow
        if (`${stored.topic}/${stored.partition}/${stored.offset}` !== place) foreign.add(index)
        doubled.add(index)
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
    const stored = { foreign: orNull(foreign), known: orNull(doubled), certain: true }
    applied = { batch, stored }
    return stored
  }

  function copy(batch: Decoded, published: readonly Published[]): Stored {
    // The ledger comes first, as in PostgreSQL: a process that has lost a partition fails before anything else.
    compare(batch)
    const condemned: Condemned[] = []
    const copied = batch.copies.flatMap(({ day, bytes }) =>
      readCopy(bytes).flatMap((fields) => {
        try {
          const row = readRow(fields, day)
          const reason = rows.has(row.id) ? null : (database.refuses?.(row) ?? null)
          if (reason === null) return [row]
          condemned.push({ ...placeOfRow(fields), reason })
        } catch (error) {
          condemned.push({ ...placeOfRow(fields), reason: (error as Error).message })
        }
        return []
      }),
    )
    if (condemned.length > 0) throw new RefusedError(condemned)
    for (const { day } of batch.copies) database.days.add(day)
    const rejects = batch.rejects.count === 0 ? [] : readCopy(batch.rejects.bytes).map(readReject)
    return apply(batch, published, copied, rejects)
  }

  async function store(batch: Decoded, published: readonly Published[], what: string): Promise<Stored> {
    if (uncertain) {
      const found = await answerOf(
        (apply) => database.ask(apply, `after no answer, ${what}`),
        () => batch.slices.map(standing),
      )
      if (batch.slices.every(({ nextOffset }, index) => found[index] === nextOffset)) {
        uncertain = false
        const found = await foreignNow(batch, what)
        return applied?.batch === batch ? { ...found, known: applied.stored.known } : { ...found, certain: false }
      }
      if (!batch.slices.every(({ firstOffset }, index) => found[index] === firstOffset)) {
        throw new LostError('FENCED', 'After a lost answer the ledger stands neither before nor behind the batch.')
      }
      uncertain = false
    }
    return answerOf(
      (apply) => database.commit(apply, what),
      () => copy(batch, published),
    )
  }

  async function foreignNow(batch: Decoded, what: string): Promise<Stored> {
    const foreign = await answerOf(
      (apply) => database.ask(apply, `whose rows, ${what}`),
      () => foreignOf(batch),
    )
    return { foreign, known: foreign, certain: true }
  }

  return {
    async persist(batch, published, signal) {
      const what = batch.slices
        .map(({ partition, firstOffset, nextOffset }) => `${partition}:[${firstOffset},${nextOffset})`)
        .join(' ')
      // Aborted, nobody waits for the answer, and it may yet take effect.
      const gone = Promise.withResolvers<never>()
      gone.promise.catch(() => {})
      const onAbort = () => gone.reject(new Error('the connection was given up'))
      signal.addEventListener('abort', onAbort, { once: true })
      try {
        signal.throwIfAborted()
        const work = batch.again ? foreignNow(batch, what) : store(batch, published, what)
        work.catch(() => {})
        return await Promise.race([work, gone.promise])
      } catch (error) {
        uncertain = !(error instanceof LostError)
        if (signal.aborted) throw signal.reason
        throw error
      } finally {
        signal.removeEventListener('abort', onAbort)
      }
    },
    async close() {},
  }
}
