/**
 * The stored events of a range, by windows of time (window.ts), each a COPY of its own on a connection of its own. What lies at or above the cuts, the
 * places where the ledger stood when the replay began, was stored later and is left out: the set of events is settled at the beginning,
 * whatever the fleet stores meanwhile.
 */
import type pg from 'pg'
import { idFloor } from '../core/day.ts'
import { quoted } from '../schema/sql.ts'
import { CopyRows, columnsSql } from './copy-rows.ts'
import type { ReplayDescription } from './description.ts'
import { bytesOfOne, type ReplayEvent } from './entry.ts'
import { compareKeys, type Position } from './key.ts'
import { copyOut } from './postgres-copy.ts'
import { conditionsSql } from './selection.ts'
import type { Estimate, ReplaySource, SourceBatch } from './source.ts'
import { firstWidthMs, nextWidth, type Window, windowAt } from './window.ts'

export interface PostgresSourceOptions {
  readonly connect: () => Promise<pg.Client>
  readonly description: ReplayDescription
  readonly table: string
  readonly topic: string
  /** By partition of the topic: below it everything is stored. Null: all rows there are. */
  readonly cuts: Readonly<Record<string, number>> | null
}

const endMs = 253_402_300_800_000
/** Of a batch: so many of either. */
const batchEvents = 1000
const batchBytes = 1024 * 1024
/** Beyond it nothing more is asked for; a window under way may grow up to the second before the server has to wait. */
const queuedBytesMax = 4 * 1024 * 1024
const pausedBytesMax = 12 * 1024 * 1024
const countTimeoutMs = 10_000
const sampleRows = 1000

/** The parallel workers are left to others. */
const session = `SET default_transaction_read_only = on; SET enable_seqscan = off; SET jit = off; SET work_mem = '32MB';
  SET statement_timeout = 0; SET max_parallel_workers_per_gather = 0`
/** A closed connection ends a long scan within a second, where the server's system can tell. */
const noticeClosed = "SET client_connection_check_interval = '1s'"

export function openPostgresSource(options: PostgresSourceOptions): ReplaySource {
  const { connect, description, table, topic, cuts } = options
  const { fromMs, toMs, select } = description

  async function opened(): Promise<pg.Client> {
    const client = await connect()
    await client.query(session)
    await client.query(noticeClosed).catch(() => {})
    return client
  }

  const conditions = (client: pg.Client): string[] => {
    const all = conditionsSql(select, (text) => client.escapeLiteral(text))
    if (cuts === null) return all
    const partitions = Object.keys(cuts).map(Number)
    const list = Array.from({ length: Math.max(-1, ...partitions) + 1 }, (_, partition) => cuts[partition] ?? 'null')
    // Of a partition without a cut nobody stores anything more: all its rows are meant.
    const cut = `coalesce(('{${list.join(',')}}'::bigint[])[kafka_partition + 1], 9223372036854775807)`
    all.push(`(kafka_topic <> ${client.escapeLiteral(topic)} OR kafka_offset < ${cut})`)
    return all
  }

  const within = ({ fromMs: from, toMs: to }: Window) => `id >= '${idFloor(from)}' AND id < '${idFloor(to)}'`
  const wanted: Window = { fromMs: fromMs ?? 0, toMs: toMs ?? endMs }

  /** The first or last time there is a row of, of all rows of the range. */
  async function edge(client: pg.Client, window: Window, order: 'ASC' | 'DESC'): Promise<number | null> {
    const { rows } = await client.query(
      `SELECT id::text FROM ${quoted(table)} WHERE ${within(window)} ORDER BY id ${order} LIMIT 1`,
    )
    return rows[0] === undefined ? null : Number.parseInt((rows[0].id as string).replace('-', '').slice(0, 12), 16)
  }

  async function edges(client: pg.Client): Promise<Window | null> {
    const first = await edge(client, wanted, 'ASC')
    const last = first === null ? null : await edge(client, wanted, 'DESC')
    return first === null || last === null ? null : { fromMs: first, toMs: last + 1 }
  }

  async function* read(from: Position, signal: AbortSignal): AsyncGenerator<SourceBatch, void, undefined> {
    const client = await opened()
    const queue: Queued[] = []
    let coming: Queued = { events: [], bytes: 0 }
    let queuedBytes = 0
    let range: Window | null = null
    let ended = false
    let failure: unknown = null
    let wake = Promise.withResolvers<void>()
    const turn = () => {
      wake.resolve()
      wake = Promise.withResolvers()
    }
    let resume = () => {}
    const queueUp = () => {
      if (coming.events.length === 0) return
      queue.push(coming)
      coming = { events: [], bytes: 0 }
      turn()
    }
    /** Behind the last window, and how much of that was told. */
    let reachedMs = 0
    let toldMs = 0

    async function fill(): Promise<void> {
      range = await edges(client)
      if (range === null) return
      const where = conditions(client)
      const rows = new CopyRows(description.id)
      let at = Math.max(range.fromMs, from.after === null ? 0 : Math.floor(from.after.micros / 1000))
      let width = firstWidthMs
      while (at < range.toMs && !ended) {
        while (queuedBytes > queuedBytesMax && !ended) await wake.promise
        if (ended) return
        const window = windowAt(at, width, range.toMs)
        const sql = `COPY (SELECT ${columnsSql} FROM ${quoted(table)} WHERE ${[within(window), ...where].join(' AND ')}
          ORDER BY event_time, kafka_partition, kafka_offset) TO STDOUT (FORMAT binary)`
        const came: ReplayEvent[] = []
        let count = 0
        const copy = copyOut(client, sql, {
          message: (bytes, start, end) => rows.read(bytes, start, end, came),
          handedOver() {
            for (const event of came) {
              count++
              if (from.after !== null && compareKeys(event, from.after) <= 0) continue
              const size = bytesOfOne(event)
              coming.events.push(event)
              coming.bytes += size
              queuedBytes += size
              if (coming.events.length === batchEvents || coming.bytes >= batchBytes) queueUp()
            }
            came.length = 0
            if (queuedBytes > pausedBytesMax) copy.pause()
          },
        })
        resume = () => copy.resume()
        await copy.done
        resume = () => {}
        queueUp()
        at = window.toMs
        // Nothing there: where does it go on?
        if (count === 0 && at < range.toMs)
          at = (await edge(client, { fromMs: at, toMs: range.toMs }, 'ASC')) ?? range.toMs
        width = nextWidth(window.toMs - window.fromMs, count)
        reachedMs = at
        turn()
      }
    }

    const onAbort = () => turn()
    signal.addEventListener('abort', onAbort, { once: true })
    const filling = fill()
      .catch((error: unknown) => {
        failure ??= error
        // What came before it is good.
        queueUp()
      })
      .finally(() => {
        ended = true
        turn()
      })
    try {
      for (;;) {
        signal.throwIfAborted()
        const next = queue.shift()
        if (next !== undefined) {
          const { events } = next
          queuedBytes -= next.bytes
          if (queuedBytes <= queuedBytesMax) resume()
          turn()
          toldMs = Math.floor((events.at(-1) as ReplayEvent).micros / 1000) + 1
          yield { events, fromKafka: 0, kafka: null, share: shareAt(range, toldMs) }
        } else if (failure !== null) throw failure
        else if (ended) return
        else if (reachedMs > toldMs) {
          // Where nothing fits for long, somebody may want to see it move, or to stop it.
          toldMs = reachedMs
          yield { events: [], fromKafka: 0, kafka: null, share: shareAt(range, toldMs) }
        } else await wake.promise
      }
    } finally {
      ended = true
      signal.removeEventListener('abort', onAbort)
      turn()
      // In the middle of a COPY this closes the socket, and whatever waits for it fails.
      await client.end().catch(() => {})
      await filling
    }
  }

  async function estimate(signal: AbortSignal): Promise<Estimate> {
    const client = await opened()
    const onAbort = () => void client.end().catch(() => {})
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      const range = await edges(client)
      const none: Estimate = { events: 0, bytes: 0, exact: true, postgres: 0, kafka: 0, firstMs: null, lastMs: null }
      if (range === null) return none
      const from = `FROM ${quoted(table)} WHERE ${[within(range), ...conditions(client)].join(' AND ')}`
      const { events, exact } = await countRows(client, from)
      const { rows } = await client.query(
        `SELECT avg(size)::float8 AS size FROM (SELECT 160 + octet_length(source) + octet_length(event_id) + octet_length(type)
           + coalesce(octet_length(subject), 0) + coalesce(octet_length(tenant_id), 0) + coalesce(octet_length(data::text), 0)
           + coalesce(octet_length(data_bytes), 0) + coalesce(octet_length(extensions::text), 0) AS size
         ${from} LIMIT ${sampleRows}) sampled`,
      )
      const bytes = Math.round(events * (rows[0].size ?? 0))
      return { ...none, events, bytes, exact, postgres: events, firstMs: range.fromMs, lastMs: range.toMs - 1 }
    } finally {
      signal.removeEventListener('abort', onAbort)
      await client.end().catch(() => {})
    }
  }

  return { estimate, read, close: async () => {} }
}

interface Queued {
  readonly events: ReplayEvent[]
  bytes: number
}

function shareAt(range: Window | null, toMs: number): number {
  return range === null ? 0 : (toMs - range.fromMs) / (range.toMs - range.fromMs)
}

/** Counted, or guessed by the planner where counting takes too long. */
async function countRows(client: pg.Client, from: string): Promise<{ events: number; exact: boolean }> {
  try {
    await client.query(`SET statement_timeout = ${countTimeoutMs}`)
    const { rows } = await client.query(`SELECT count(*)::text AS count ${from}`)
    return { events: Number(rows[0].count), exact: true }
  } catch (error) {
    if ((error as { code?: string }).code !== '57014') throw error
    const { rows } = await client.query(`EXPLAIN (FORMAT JSON) SELECT 1 ${from}`)
    return { events: Number(rows[0]['QUERY PLAN'][0].Plan['Plan Rows']), exact: false }
  } finally {
    await client.query('SET statement_timeout = 0').catch(() => {})
  }
}
