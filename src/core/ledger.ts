/**
 * Where a partition starts, decided from what its stores remember. Pure comparison: the ledger says what is stored and what was published at least,
 * each stream says what it still holds, and Kafka says what it can still give. Where they contradict each other nothing is decided: the partition
 * stops, and the error says what happened and which two ways lead on.
 */
import { type Code, FatalError } from './errors.ts'

/** Reasons for which one partition stands still while the others go on. */
export const stopCodes = ['RETENTION_OVERTOOK', 'TOPIC_TRUNCATED', 'TOPIC_RECREATED', 'STREAM_LOST'] as const
export type StopCode = (typeof stopCodes)[number]

export const isStop = (error: unknown): error is FatalError & { code: StopCode } =>
  error instanceof FatalError && (stopCodes as readonly Code[]).includes(error.code)

export interface Stopped {
  readonly code: StopCode
  readonly reason: string
  readonly at: string
}

export interface LedgerRow {
  readonly partition: number
  readonly startOffset: number
  readonly nextOffset: number
  /** At most a batch behind the streams; null where nothing was published yet. */
  readonly publishedOffset: number | null
  /** Stream family to the last offset published there + 1. */
  readonly streams: ReadonlyMap<string, number>
  /** Why the partition stood still when somebody last looked. */
  readonly stopped?: Stopped | null
  /** The topic that these offsets belong to; null: not known yet. */
  readonly topicId?: string | null
}

export interface Watermarks {
  readonly low: number
  /** What may be read ends here: the last stable offset, where a transaction is open. */
  readonly high: number
  /** Null or absent: the broker does not tell. */
  readonly topicId?: string | null
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
  /** Whose ledger it is, for the command in the error. */
  readonly consumer?: string
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
  const set = (to: string) =>
    `millrace offsets set${policy.consumer === undefined ? '' : ` --consumer ${policy.consumer}`} --partition ${row.partition} --to ${to}`
  const another = `To take the log as it is now from its beginning: \`${set('earliest')}\`; to accept the loss and go on with what comes: \`${set('latest')}\`.`
  const isUsed = row.nextOffset > row.startOffset
  if (isUsed && row.topicId && watermarks.topicId && row.topicId !== watermarks.topicId) {
    throw new FatalError(
      'TOPIC_RECREATED',
      `${where} is not the log that was stored up to ${row.nextOffset}: the topic was deleted and made anew (id ${row.topicId}, now ${watermarks.topicId}).`,
      another,
    )
  }
  // A log that lost its end may have grown beyond our position since; what was lost between does not come back by that.
  if (row.stopped?.code === 'TOPIC_TRUNCATED') throw new FatalError('TOPIC_TRUNCATED', row.stopped.reason, another)
  if (row.nextOffset > watermarks.high) {
    throw new FatalError(
      'TOPIC_TRUNCATED',
      `${where} ends at ${watermarks.high}, but offsets up to ${row.nextOffset} are stored: the topic was recreated or truncated.`,
      another,
    )
  }
  if (row.nextOffset < watermarks.low) {
    throw new FatalError(
      'RETENTION_OVERTOOK',
      `${where} begins at ${watermarks.low}, but only offsets below ${row.nextOffset} are stored: ${watermarks.low - row.nextOffset} offsets are gone from Kafka.`,
      `Raise the retention. To accept the loss: \`${set('earliest')}\`; to start over with what comes from now on: \`${set('latest')}\`.`,
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
      `Set MILLRACE_STREAM_LOST=refill to fill them in again from Kafka under the same ids; to accept the loss: \`${set(String(row.nextOffset))}\`.`,
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
