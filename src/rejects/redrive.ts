/**
 * Sends rejects to their topic again, each once, whatever happens on the way. A batch goes through four steps:
 *
 *   1  PostgreSQL: its rejects become `redriving` and get the next places in the consumer's sequence, say 41 to 60
 *   2  Kafka, one transaction: its records, and offset 61 for a group of our own
 *   3  the transaction commits
 *   4  PostgreSQL: its rejects become `redriven`
 *
 * Whoever comes after a crash finds `redriving` rows 41 to 60 and asks Kafka: 61 means that the batch went out, 41 that it did not, and anything else
 * that somebody has to decide. Asking comes after taking over the transactional id, which ends whatever the dead one had open, and an advisory lock
 * in PostgreSQL keeps the living apart. An answer that gets lost is settled in the same way, without ending.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { FatalError } from '../core/errors.ts'
import type { Session } from '../schema/sql.ts'
import { type Condition, condition, type RejectFilter } from './filter.ts'
import { askAgainMsDefault, finish, settle } from './redrive-doubt.ts'

export interface RedriveRecord {
  readonly id: string
  readonly topic: string
  readonly partition: number
  readonly timestampMs: string
  readonly key: Buffer | null
  readonly value: Buffer | null
  /** As in the table: name, and the value in base64 or null. */
  readonly headers: readonly (readonly [string, string | null])[]
  /** Of the reject; the record sent says one more. */
  readonly attempts: number
}

export type Step = 'marked' | 'produced' | 'noted' | 'committed' | 'done'

/** What Kafka is to a redrive. Opened, nobody else's transaction under our name is open any more. */
export interface RedriveLog {
  /** The place up to which everything was sent; null when Kafka does not remember. */
  committed(): Promise<number | null>
  /** Sends the records and remembers `next`, or neither. A failure leaves open which: ask a log opened anew. */
  send(records: readonly RedriveRecord[], next: number, onStep: (step: Step) => void): Promise<void>
  close(): Promise<void>
}

/** Thrown by `send`: the topic does not take a record of this size. */
export class TooLargeError extends Error {}

export interface Plan {
  readonly ready: number
  readonly unreadable: number
  readonly attempts: number
  readonly partitionGone: number
  /** What is rejected from now on, perhaps because of this very redrive, is not part of it. */
  readonly maxId: string
}

export interface Selection {
  readonly filter: RejectFilter
  readonly attemptsMax: number
  /** How many partitions the topics have now. */
  readonly partitions: ReadonlyMap<string, number>
}

export interface RedriveOptions {
  readonly session: Session
  readonly openLog: () => Promise<RedriveLog>
  readonly log: RedriveLog
  readonly selection: Selection
  readonly maxId: string
  readonly auditId: string
  readonly limit: number
  readonly ratePerSecond: number
  readonly now: () => number
  readonly signal: AbortSignal
  readonly pauseMs?: number
  readonly askAgainMs?: number
  readonly onStep?: (step: Step) => void
  readonly onProgress?: (redriven: number) => void
}

export interface Redriven {
  readonly redriven: number
  /** Ids of what the topic does not take any more. */
  readonly tooLarge: readonly string[]
  /** Ended before everything was sent. */
  readonly stopped: boolean
}

const batchRecordsMax = 500
/** Of keys, values and headers: a topic takes 1 MiB a batch by default. A single larger record goes alone. */
const batchBytesMax = 512 * 1024
const failuresMax = 5
const pauseMsDefault = 500

/** One redrive of a consumer at a time, as long as this session lives. */
export async function lockRedrive(session: Session, consumer: string): Promise<void> {
  const { rows } = await session.query(
    "select pg_try_advisory_lock(hashtext('millrace rejects redrive'), hashtext($1)) as locked",
    [consumer],
  )
  if (rows[0].locked) return
  throw new FatalError(
    'REDRIVE_BUSY',
    `Another redrive of '${consumer}' is under way.`,
    'Wait for it, or end it: what it has sent is known, and the next one goes on from there.',
  )
}

/**
 * The rejects of the selection that may be sent, and how many may not, by why. `maxId`: where the selection of a redrive ended that is gone on with.
 */
export async function planRedrive(session: Session, selection: Selection, maxId: string | null): Promise<Plan> {
  const { sql, values } = condition(selection.filter)
  const may = readiness(selection, values.length)
  const { rows } = await session.query(
    `select count(*)::int as total, count(*) filter (where ${may.sql})::int as ready,
       count(*) filter (where r.code = 'unreadable_batch')::int as unreadable,
       count(*) filter (where r.code <> 'unreadable_batch' and r.attempts >= $${values.length + 1})::int as attempts,
       coalesce(max(r.id), 0)::text as "maxId"
     from rejects r where ${sql} and ($${values.length + 4}::bigint is null or r.id <= $${values.length + 4}::bigint)`,
    [...values, ...may.values, maxId],
  )
  const { total, ...plan } = rows[0] as Plan & { total: number }
  return { ...plan, partitionGone: total - plan.ready - plan.unreadable - plan.attempts }
}

function readiness({ attemptsMax, partitions }: Selection, after: number): Condition {
  return {
    sql: `(r.code <> 'unreadable_batch' and r.attempts < $${after + 1} and exists (
      select from unnest($${after + 2}::text[], $${after + 3}::int[]) as t (topic, partitions)
      where t.topic = r.topic and r.partition < t.partitions))`,
    values: [attemptsMax, [...partitions.keys()], [...partitions.values()]],
  }
}

/** The next place of the consumer's sequence. Kafka is told before anything is sent, so that it has something to remember. */
export async function beginSequence(session: Session, consumer: string, log: RedriveLog): Promise<void> {
  await log.send([], await nextPlace(session, consumer), () => {})
}

async function nextPlace(session: Session, consumer: string): Promise<number> {
  const { rows } = await session.query(
    'select coalesce(max(redrive_seq), 0)::float8 + 1 as next from rejects where consumer = $1 and redrive_seq is not null',
    [consumer],
  )
  return rows[0].next
}

/** Needs the lock, nothing in doubt, and a sequence begun. */
export async function redrive(options: RedriveOptions): Promise<Redriven> {
  const { session, openLog, selection, limit, ratePerSecond, now, signal } = options
  const { consumer } = selection.filter
  const { onStep = () => {}, pauseMs = pauseMsDefault, askAgainMs = askAgainMsDefault } = options
  const startedMs = now()
  const tooLarge: string[] = []
  const usual = Math.min(batchRecordsMax, Math.ceil(ratePerSecond / 5))
  let { log } = options
  let next = await nextPlace(session, consumer)
  let afterId = '0'
  let redriven = 0
  let batchMax = usual
  let failures = 0
  try {
    while (redriven < limit && !signal.aborted) {
      const batch = await mark(options, afterId, next, Math.min(batchMax, limit - redriven))
      if (batch.length === 0) return { redriven, tooLarge, stopped: false }
      const after = next + batch.length
      let sent = true
      onStep('marked')
      try {
        await log.send(batch, after, onStep)
        await finish(session, consumer, { from: next, next: after })
      } catch (error) {
        await session.query('select 1')
        await log.close()
        const isTooLarge = error instanceof TooLargeError
        if (!isTooLarge && ++failures > failuresMax) throw error
        // Longer each time: new leaders are found within some seconds.
        if (!isTooLarge) await sleep(pauseMs * failures)
        log = await openLog()
        // What was too large was refused before its transaction could commit.
        const settled = await settle(session, consumer, log, { askAgainMs: isTooLarge ? 0 : askAgainMs })
        sent = settled.sent > 0
        if (!sent && isTooLarge) {
          if (batch.length === 1) {
            afterId = (batch[0] as RedriveRecord).id
            tooLarge.push(afterId)
          }
          batchMax = Math.ceil(batch.length / 2)
        }
      }
      if (!sent) continue
      onStep('done')
      failures = 0
      next = after
      afterId = (batch.at(-1) as RedriveRecord).id
      redriven += batch.length
      batchMax = Math.min(usual, batchMax * 2)
      options.onProgress?.(redriven)
      const dueMs = startedMs + (redriven * 1000) / ratePerSecond - now()
      if (dueMs > 0 && redriven < limit) await sleep(dueMs, undefined, { signal }).catch(() => {})
    }
    return { redriven, tooLarge, stopped: redriven < limit }
  } finally {
    if (log !== options.log) await log.close()
  }
}

async function mark(
  { session, selection, maxId, auditId }: RedriveOptions,
  afterId: string,
  next: number,
  count: number,
): Promise<RedriveRecord[]> {
  const { sql, values } = condition(selection.filter)
  const may = readiness(selection, values.length)
  const n = values.length + may.values.length
  const { rows } = await session.query(
    `with picked as (
       select r.id, coalesce(octet_length(r.key), 0) + coalesce(octet_length(r.value), 0) + octet_length(r.headers::text) as bytes
       from rejects r where ${sql} and ${may.sql} and r.id > $${n + 1} and r.id <= $${n + 2}
       order by r.id limit $${n + 3} for no key update
     ), numbered as (
       select id, row_number() over by_id as place, sum(bytes) over by_id as bytes from picked window by_id as (order by id)
     ), marked as (
       update rejects r set state = 'redriving', state_at = now(), audit_id = $${n + 4}, redrive_seq = $${n + 5}::bigint + place - 1
       from numbered where r.id = numbered.id and (place = 1 or numbered.bytes <= $${n + 6})
       returning r.*
     )
     select id::text, topic, partition, (extract(epoch from kafka_time) * 1000)::bigint::text as "timestampMs", key, value, headers, attempts
     from marked order by redrive_seq`,
    [...values, ...may.values, afterId, maxId, count, auditId, next, batchBytesMax],
  )
  return rows as RedriveRecord[]
}
