/**
 * Where a partition starts, decided from what its stores remember. Pure comparison: the ledger says what is stored and what was published at least,
 * each stream says what it still holds, and Kafka says what it can still give.
 */
import { FatalError } from './errors.ts'

export interface LedgerRow {
  readonly partition: number
  readonly startOffset: number
  readonly nextOffset: number
  /** At most a batch behind the streams; null where nothing was published yet. */
  readonly publishedOffset: number | null
  /** Stream family to the last offset published there + 1. */
  readonly streams: ReadonlyMap<string, number>
}

export interface Watermarks {
  readonly low: number
  readonly high: number
}

export interface Start {
  /** Where Kafka is read from: the lowest of the marks. */
  readonly nextOffset: number
  /** Up to here the rows exist already, and records come by again only to be published. */
  readonly persistedOffset: number
  readonly streams: Map<string, number>
  /** Streams that hold less than the ledger says was published. */
  readonly lost: readonly { readonly family: string; readonly expected: number; readonly found: number }[]
}

export interface StartPolicy {
  readonly topic: string
  readonly publishes: boolean
  readonly streamLost: 'refill' | 'stop'
}

/** `found`: the last id's offset + 1 of every stream in the ledger row; 0 where the stream is missing. */
export function startOf(
  row: LedgerRow,
  watermarks: Watermarks,
  found: ReadonlyMap<string, number>,
  policy: StartPolicy,
): Start {
  const where = `${policy.topic}/${row.partition}`
  if (row.nextOffset > watermarks.high) {
    throw new FatalError(
      'TOPIC_TRUNCATED',
      `${where} ends at ${watermarks.high}, but offsets up to ${row.nextOffset} are stored: the topic was recreated or truncated.`,
      'Consume a topic of another name, or remove the rows of this topic from the ledger if its events are to be stored anew.',
    )
  }
  if (row.nextOffset < watermarks.low) {
    throw new FatalError(
      'RETENTION_OVERTOOK',
      `${where} begins at ${watermarks.low}, but only offsets below ${row.nextOffset} are stored: ${watermarks.low - row.nextOffset} offsets are gone from Kafka.`,
      'Raise the retention; to go on without them, set next_offset of this partition in the ledger to the beginning.',
    )
  }
  if (!policy.publishes) {
    return { nextOffset: row.nextOffset, persistedOffset: row.nextOffset, streams: new Map(row.streams), lost: [] }
  }

  let nextOffset = Math.min(row.publishedOffset ?? row.startOffset, row.nextOffset)
  const streams = new Map<string, number>()
  const lost: { family: string; expected: number; found: number }[] = []
  for (const [family, expected] of row.streams) {
    const held = found.get(family) ?? 0
    streams.set(family, held)
    if (held >= expected) continue
    lost.push({ family, expected, found: held })
    nextOffset = Math.min(nextOffset, held)
  }
  if (lost.length > 0 && policy.streamLost === 'stop') {
    const names = lost.map(
      ({ family, expected, found }) => `${family}:{${row.partition}} ends at ${found}, not ${expected}`,
    )
    throw new FatalError(
      'STREAM_LOST',
      `Redis has lost published entries of ${where}: ${names.join('; ')}.`,
      'Set MILLRACE_STREAM_LOST=refill to fill them in again from Kafka under the same ids.',
    )
  }
  // Nothing before the ledger's own beginning was ever published. What Kafka no longer holds cannot be published again; rows are safe, and the
  // caller says how much is missing.
  return {
    nextOffset: Math.max(nextOffset, row.startOffset, watermarks.low),
    persistedOffset: row.nextOffset,
    streams,
    lost,
  }
}
