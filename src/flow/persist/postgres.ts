/**
 * persist/ on PostgreSQL. One message per batch: move the ledger, COPY each day's rows, COPY the rejects, commit. Where that fails for a duplicate
 * key, the batch is tried again without what is stored already; where a row is refused for what it is, the rows at fault are found and handed back.
 *
 * The ledger is moved first, so that a process that has lost a partition fails before it has copied anything. A lost answer to COMMIT is no special
 * case: after any failure the ledger is read before the batch is tried again.
 */
import type pg from 'pg'
import type { Decoded, Slice } from '../../core/batch.ts'
import { assert, LostError, RefusedError } from '../../core/errors.ts'
import type { LedgerRow, Stopped } from '../../core/ledger.ts'
import { ensurePartitions } from '../../schema/partitions.ts'
import { classifyPostgres, sqlState } from './classify.ts'
import { runCopies } from './copy-transaction.ts'
import { type Excluded, foreignOf, nothing, pickRows, rowsOfCopies, storedBefore } from './excluded.ts'
import type { Foreign, Persist, PersistLane, Published, Stored } from './port.ts'
import { type PostgresOptions, session, sessionName } from './postgres-session.ts'
import { isRefusal, refusedRows } from './refused.ts'
import * as sql from './sql.ts'

export function openPostgres(options: PostgresOptions): Persist {
  const { target } = options
  const control = session(options, 'control')

  /** The gate, the survey and the lanes share this session: one after the other. */
  let turn: Promise<unknown> = Promise.resolve()
  function inTurn<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
    const mine = turn.then(async () => {
      try {
        return await work(await control.client())
      } catch (error) {
        await control.discard()
        throw error
      }
    })
    turn = mine.catch(() => {})
    return mine
  }

  /**
   * A process that sleeps in the middle of a COPY, or whose machine is gone, keeps its ledger rows locked: the server does not look at
   * transaction_timeout while it waits for COPY data (measured on 18.4). So whoever was refused a row ends what is overdue.
   */
  async function freeLedger(error: unknown): Promise<void> {
    if (sqlState(error) !== '55P03') return
    const lanes = `${sessionName(target, 'lane')} `
    await inTurn((client) => client.query(sql.endOverdue, [lanes, options.transactionTimeoutMs])).catch(() => {})
  }

  async function ask<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
    try {
      return await inTurn(work)
    } catch (error) {
      await freeLedger(error)
      throw classifyPostgres(error)
    }
  }

  return {
    marks: (partitions, startAt) =>
      ask(async (client) => {
        await client.query(
          `INSERT INTO ledger (consumer, topic, partition, start_offset, next_offset)
           SELECT $1, $2, * FROM unnest($3::int[], $4::bigint[], $4::bigint[]) ON CONFLICT DO NOTHING`,
          [target.consumer, target.topic, partitions, partitions.map(startAt)],
        )
        return readLedger(client, target, partitions)
      }),
    note: (published) =>
      ask(async (client) => {
        for (const [partition, { publishedOffset, streams }] of published) {
          await client.query(
            // Whoever was thrown out of the group and does not know it notes less than its heir has: what is known of a stream only grows.
            `UPDATE ledger SET published_offset = greatest(published_offset, $4), streams = streams || (
               SELECT coalesce(jsonb_object_agg(family, greatest(last::bigint, (ledger.streams ->> family)::bigint)), '{}')
               FROM jsonb_each_text($5::jsonb) AS noted (family, last))
             WHERE consumer = $1 AND topic = $2 AND partition = $3 AND next_offset >= $4`,
            [target.consumer, target.topic, partition, publishedOffset, JSON.stringify(streams ?? {})],
          )
        }
      }),
    mark: (found) =>
      ask(async (client) => {
        for (const [partition, { stopped, topicId }] of found) {
          await client.query(
            `UPDATE ledger SET stopped = $4::jsonb || jsonb_build_object('at', now()), topic_id = coalesce($5, topic_id)
             WHERE consumer = $1 AND topic = $2 AND partition = $3`,
            [target.consumer, target.topic, partition, stopped === null ? null : JSON.stringify(stopped), topicId],
          )
        }
      }),
    lane: (index) => openLane(options, index, freeLedger),
    close: () => control.close(),
  }
}

async function readLedger(client: pg.Client, { consumer, topic }: sql.Target, partitions: readonly number[]) {
  const { rows } = await client.query(
    `SELECT partition, start_offset::text, next_offset::text, published_offset::text, streams, stopped, topic_id
     FROM ledger WHERE consumer = $1 AND topic = $2 AND partition = ANY ($3::int[])`,
    [consumer, topic, partitions],
  )
  return rows.map(
    (row): LedgerRow => ({
      partition: row.partition,
      startOffset: Number(row.start_offset),
      nextOffset: Number(row.next_offset),
      publishedOffset: row.published_offset === null ? null : Number(row.published_offset),
      streams: new Map(Object.entries(row.streams as Record<string, number>)),
      stopped: row.stopped as Stopped | null,
      topicId: row.topic_id,
    }),
  )
}

/** A batch on its way, without what is stored already, and what the server has answered of it so far. */
interface Sent {
  readonly batch: Decoded
  readonly without: Excluded
  readonly tags: string[]
}

function openLane(options: PostgresOptions, index: number, freeLedger: (error: unknown) => Promise<void>): PersistLane {
  const { target } = options
  const lane = session(options, `lane ${index}`)
  /** The last attempt ended without an answer: whether it took effect, only the ledger knows. */
  let uncertain = false
  /** Where it turns out to have been committed after all, this is what it did not store. */
  let sent: Sent | null = null
  /** The batch before held duplicates. A producer that sends again sends many again: looking first is cheaper than a COPY that fails. */
  let lookFirst = false

  async function store(batch: Decoded, published: readonly Published[], signal: AbortSignal): Promise<Stored> {
    const client = await lane.client()
    if (uncertain) {
      const stored = await alreadyStored(client, target, batch.slices)
      uncertain = false
      if (stored) {
        const foreign = orNull(await foreignOf(client, target, batch))
        // When the line was lost, the server had moved the ledger for us.
        if (sent?.batch !== batch || !sent.tags.includes('CALL')) return { foreign, known: foreign, certain: false }
        return { foreign, known: orNull(sent.without.rows), certain: true }
      }
    }
    let without = lookFirst ? await storedBefore(client, target, batch) : nothing
    for (;;) {
      try {
        sent = { batch, without, tags: [] }
        await copy(client, published, sent)
        lookFirst = without.rows.size > 0
        sent = null
        return { foreign: orNull(without.foreign), known: orNull(without.rows), certain: true }
      } catch (error) {
        const isKnown = sqlState(error) === '23505'
        if (!isKnown && !isMissingPartition(error) && !isRefusal(error)) throw error
        await client.query('ROLLBACK')
        if (isMissingPartition(error)) await ensurePartitions(client, target.table, daysOf(batch), { signal })
        else {
          const found = await storedBefore(client, target, batch)
          if (isKnown) {
            // Another key than ours: somebody added a unique index, and nobody knows which row it is that may stay.
            if (found.rows.size + found.rejects.size <= without.rows.size + without.rejects.size) throw error
            without = found
          } else {
            await ensurePartitions(client, target.table, daysOf(batch), { signal })
            const refused = await refusedRows(client, target, batch, found)
            throw refused.length > 0 ? new RefusedError(refused) : error
          }
        }
      }
    }
  }

  async function copy(
    client: pg.Client,
    published: readonly Published[],
    { batch, without, tags }: Sent,
  ): Promise<void> {
    const statements = ['BEGIN', sql.advance(target, batch.slices, published, without)]
    const buffers: Uint8Array[] = []
    const places = without.rows.size > 0 ? rowsOfCopies(batch) : []
    for (const [index, { day, rows, bytes }] of batch.copies.entries()) {
      const left = places[index]?.map((row) => !without.rows.has(row))
      if (left?.includes(true) === false || rows === 0) continue
      statements.push(sql.copyDay(target, day))
      buffers.push(left?.includes(false) ? pickRows(bytes, (at) => left[at] as boolean) : bytes)
    }
    const { count, bytes } = batch.rejects
    if (count > without.rejects.size) {
      statements.push(sql.copyRejects)
      buffers.push(without.rejects.size > 0 ? pickRows(bytes, (at) => !without.rejects.has(at)) : bytes)
    }
    statements.push('COMMIT')
    await runCopies(client, statements.join(';'), buffers, tags)
    const copied = tags.reduce((rows, tag) => rows + Number(/^COPY (\d+)$/.exec(tag)?.[1] ?? 0), 0)
    const sent = batch.rows.count - without.rows.size + count - without.rejects.size
    assert(copied === sent, () => `PostgreSQL copied ${copied} rows of ${sent}`)
  }

  return {
    async persist(batch, published, signal) {
      const onAbort = () => void lane.discard()
      signal.addEventListener('abort', onAbort, { once: true })
      try {
        signal.throwIfAborted()
        if (batch.again) {
          const foreign = orNull(await foreignOf(await lane.client(), target, batch))
          return { foreign, known: foreign, certain: true }
        }
        return await store(batch, published, signal)
      } catch (error) {
        uncertain = true
        await lane.discard()
        await freeLedger(error)
        const reaction = classifyPostgres(error)
        // Fenced or refused for certain: nothing of this batch took effect.
        if (reaction instanceof LostError) uncertain = false
        if (signal.aborted) throw signal.reason
        throw reaction
      } finally {
        signal.removeEventListener('abort', onAbort)
      }
    },
    close: () => lane.close(),
  }
}

/** True: every slice is stored to its end. False: none is. Anything between means that somebody else has been here. */
async function alreadyStored(client: pg.Client, target: sql.Target, slices: readonly Slice[]): Promise<boolean> {
  const ledger = await readLedger(
    client,
    target,
    slices.map(({ partition }) => partition),
  )
  const next = new Map(ledger.map((row) => [row.partition, row.nextOffset]))
  if (slices.every(({ partition, nextOffset }) => next.get(partition) === nextOffset)) return true
  if (slices.every(({ partition, firstOffset }) => next.get(partition) === firstOffset)) return false
  throw new LostError('FENCED', 'After a lost answer the ledger stands neither before nor behind the batch.')
}

const orNull = (rows: ReadonlySet<number>): Foreign => (rows.size > 0 ? rows : null)
const daysOf = ({ copies }: Decoded) => copies.map(({ day }) => day)

/** undefined_table raised for the day's partition, not for a table that a migration makes. */
const isMissingPartition = (error: unknown) =>
  sqlState(error) === '42P01' && error instanceof Error && /_\d{4}_\d{2}_\d{2}"/.test(error.message)
