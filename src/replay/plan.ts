/**
 * What a replay is settled to be when it begins, so that it is the same whenever it is gone on with: which offsets of Kafka belong to it, and below
 * which ones rows do.
 *
 * `auto` joins the two at the ledger. What lies below the ledger's mark is stored, in the transaction that moved the mark: those events come from PostgreSQL. What
 * lies at or above it comes from Kafka, up to where Kafka ended at that moment. No event is in both, none is in neither.
 *
 *   partition:  0 ......... stored ......... | ledger ...... not stored yet ...... | end ......
 *                        PostgreSQL                           Kafka                  later: no part of it
 */
import { dayMs } from '../core/day.ts'
import { FatalError } from '../core/errors.ts'
import type { Session } from '../schema/sql.ts'
import { type ReplayDescription, shownTime } from './description.ts'

export interface KafkaRange {
  readonly partition: number
  readonly from: number
  /** Exclusive. */
  readonly to: number
}

export interface ReplayPlan {
  /** By partition; null: all rows there are. */
  readonly cuts: Readonly<Record<string, number>> | null
  readonly kafka: readonly KafkaRange[]
}

/** What has to be asked of Kafka. */
export interface TopicTimes {
  ends(): Promise<ReadonlyMap<number, { readonly low: number; readonly high: number }>>
  /** The first offset with a record of this time or later, by partition; its end where there is none. */
  at(ms: number): Promise<ReadonlyMap<number, number>>
  /** The time of the first record at or behind the offset; null where there is none. */
  timeOf(partition: number, offset: number): Promise<number | null>
}

export interface PlanOptions {
  readonly description: ReplayDescription
  readonly session: Session
  readonly consumer: string
  readonly topic: string
  /** Null: PostgreSQL alone. */
  readonly kafka: TopicTimes | null
  /** So far ahead of its record an event may be: what a range of times asks of Kafka begins so much earlier. */
  readonly futureMs: number
  /** 0: nothing is ever dropped. */
  readonly retentionDays: number
  readonly nowMs: number
}

export async function planReplay(options: PlanOptions): Promise<ReplayPlan> {
  const { description, kafka } = options
  if (description.source !== 'kafka') refuseExpiredDays(options)
  // Kafka is asked for its ends behind the ledger: they only grow.
  const ledger = description.source === 'kafka' ? null : await readLedger(options)
  if (kafka === null) return { cuts: ledger === null ? null : storedBelow(ledger), kafka: [] }
  const cuts = ledger === null ? null : marksOf(ledger)
  const ends = await kafka.ends()
  if (cuts !== null) {
    // A partition that the ledger has never seen is Kafka's, all that it holds.
    for (const [partition, { low }] of ends) cuts[partition] ??= low
    return { cuts, kafka: beyond(cuts, ends) }
  }
  if (description.offsets.length > 0) return { cuts, kafka: byOffsets(description, ends) }
  return { cuts, kafka: await byTime(options, kafka, ends) }
}

interface LedgerRow {
  readonly partition: number
  readonly next: number
  readonly repeatedBelow: number
}

async function readLedger({ session, consumer, topic }: PlanOptions): Promise<readonly LedgerRow[]> {
  const { rows } = await session.query(
    'select partition, next_offset::text as next, repeated_below::text as repeated from ledger where consumer = $1 and topic = $2',
    [consumer, topic],
  )
  return rows.map(({ partition, next, repeated }) => ({
    partition,
    next: Number(next),
    repeatedBelow: Number(repeated ?? 0),
  }))
}

const marksOf = (ledger: readonly LedgerRow[]): Record<string, number> =>
  Object.fromEntries(ledger.map(({ partition, next }) => [String(partition), next]))

/** Where a group was taken back, what it reads again is stored all the same. */
const storedBelow = (ledger: readonly LedgerRow[]): Record<string, number> =>
  Object.fromEntries(
    ledger.map(({ partition, next, repeatedBelow }) => [String(partition), Math.max(next, repeatedBelow)]),
  )

type Ends = Awaited<ReturnType<TopicTimes['ends']>>

/** What is not stored yet. */
function beyond(cuts: Readonly<Record<string, number>>, ends: Ends): KafkaRange[] {
  const ranges: KafkaRange[] = []
  for (const [partition, { low, high }] of ends) {
    const from = cuts[partition] ?? low
    if (from < low) {
      throw expired(
        `Kafka begins at offset ${low} of partition ${partition}, and only what lies below ${from} is stored: what lies between is gone.`,
        'Replay what is stored with --source postgres, or what Kafka holds with --source kafka.',
      )
    }
    if (from > high) {
      throw new FatalError(
        'TOPIC_TRUNCATED',
        `Partition ${partition} ends at offset ${high}, and the ledger stands at ${from}: the topic was made anew, or has lost its end.`,
        'Decide with `millrace offsets set` where the consumer goes on, or replay what is stored with --source postgres.',
      )
    }
    if (from < high) ranges.push({ partition, from, to: high })
  }
  return ranges
}

function byOffsets({ offsets }: ReplayDescription, ends: Ends): KafkaRange[] {
  return offsets.flatMap(({ partition, from, to }) => {
    const end = ends.get(partition)
    if (end === undefined)
      throw new FatalError('USAGE', `The topic has no partition ${partition}.`, `It has ${ends.size}.`)
    const { low, high } = end
    if (from !== null && from < low) {
      throw expired(
        `Kafka begins at offset ${low} of partition ${partition}, not ${from}.`,
        `Begin at ${low}, or ask for the times with --source auto.`,
      )
    }
    if (to !== null && to > high) {
      throw new FatalError(
        'USAGE',
        `Partition ${partition} ends at offset ${high}; ${to} is beyond it.`,
        'Leave the end out to replay what is there.',
      )
    }
    const range = { partition, from: from ?? low, to: to ?? high }
    return range.from < range.to ? [range] : []
  })
}

/**
 * A record may be read late, and an event's own time may lie long before its record: so what a range of times asks of Kafka begins a little before the
 * range and goes on to the end of the log. Which records belong to it their events tell.
 */
async function byTime(
  { description: { fromMs }, futureMs }: PlanOptions,
  kafka: TopicTimes,
  ends: Ends,
): Promise<KafkaRange[]> {
  const begins = fromMs === null ? null : await kafka.at(Math.max(0, fromMs - futureMs))
  const ranges: KafkaRange[] = []
  for (const [partition, { low, high }] of ends) {
    const from = Math.max(low, begins?.get(partition) ?? low)
    if (fromMs !== null && low > 0 && from === low) {
      const first = await kafka.timeOf(partition, low)
      if (first === null || first > fromMs) {
        throw expired(
          `Kafka holds partition ${partition} only from ${first === null ? `offset ${low}` : shownTime(first)} on, not from ${shownTime(fromMs)}.`,
          'Use --source auto, or a later --from; without --from it begins at what is there.',
        )
      }
    }
    if (from < high) ranges.push({ partition, from, to: high })
  }
  return ranges
}

function refuseExpiredDays({ description: { fromMs }, retentionDays, nowMs }: PlanOptions): void {
  if (fromMs === null || retentionDays === 0) return
  const firstMs = (Math.floor(nowMs / dayMs) - retentionDays) * dayMs
  if (fromMs >= firstMs) return
  throw expired(
    `Days before ${shownTime(firstMs).slice(0, 10)} have been taken away from the table (retentionDays is ${retentionDays}).`,
    'Begin later, or try --source kafka.',
  )
}

const expired = (what: string, remedy: string) => new FatalError('HISTORY_EXPIRED', what, remedy)
