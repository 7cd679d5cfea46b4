/**
 * What setting a partition elsewhere means, decided without touching anything. Pure. Whatever is set, the law holds afterwards: everything from the
 * ledger's beginning to its mark is a row, a reject, a duplicate or a skip, and every row has its one entry.
 *
 *   forward   what lies between is left out: counted as skips, offset by offset, in `passed_over`
 *   back      what lies between is read again: rows and rejects that exist are counted as duplicates, entries that exist are skipped by their stream
 *   anew      the log is another one than was stored (topic made anew, end lost): its offsets mean other records. The ledger begins anew, and what was
 *             stored under these offsets is kept under another topic's name
 *   same      nothing moves; only what the partition was stopped for is settled
 */
import type { LedgerRow, Watermarks } from '../core/ledger.ts'

export type Range = readonly [from: number, to: number]

export interface FullRow extends LedgerRow {
  /** What was left out before: [from, to). */
  readonly passedOver: readonly Range[]
  readonly repeatedBelow: number | null
}

export interface Plan {
  readonly kind: 'forward' | 'back' | 'anew' | 'same'
  readonly partition: number
  readonly before: FullRow
  readonly after: FullRow
  /** Offsets left out, and offsets read again; a gap counts as one. */
  readonly skipped: number
  readonly again: number
  readonly says: string
  /** Why it is not done. */
  readonly refusal: string | null
}

export interface PlanPolicy {
  readonly publishes: boolean
  readonly key: (family: string) => string
}

/** `held`: the last id's offset + 1 of each stream in the row. */
export function planSet(
  row: FullRow,
  kafka: Watermarks,
  target: number,
  held: ReadonlyMap<string, number>,
  policy: PlanPolicy,
): Plan {
  const { partition, nextOffset, startOffset } = row
  const isAnother =
    row.stopped?.code === 'TOPIC_TRUNCATED' ||
    row.stopped?.code === 'TOPIC_RECREATED' ||
    nextOffset > kafka.high ||
    (!!row.topicId && !!kafka.topicId && row.topicId !== kafka.topicId)
  const kind = isAnother ? 'anew' : target > nextOffset ? 'forward' : target < nextOffset ? 'back' : 'same'
  const skipped = kind === 'forward' ? target - nextOffset : 0
  const again = kind === 'back' ? nextOffset - target : 0
  const after = kind === 'anew' ? begunAnew(row, target) : moved(row, target)
  const beyond = policy.publishes
    ? [...held].filter(([, last]) => last > target).map(([family]) => policy.key(family))
    : []
  return {
    kind,
    partition,
    before: row,
    after: { ...after, stopped: null, topicId: kafka.topicId ?? row.topicId ?? null },
    skipped,
    again,
    says: says(),
    refusal: refusal(),
  }

  function says(): string {
    switch (kind) {
      case 'forward':
        return `${skipped} offsets will be left out, and counted as skips${target <= kafka.low ? '; Kafka does not hold them any more' : ''}`
      case 'back':
        return `${again} offsets will be read again: what is stored counts as duplicates and is not doubled, entries that exist stay as they are`
      case 'anew':
        return `the log is another one than was stored: the ledger begins anew at ${target}, rows and rejects stored from there on are kept under another topic's name`
      case 'same':
        return row.stopped?.code === 'STREAM_LOST' ? 'what the streams have lost is accepted' : 'nothing moves'
    }
  }

  function refusal(): string | null {
    if (target < kafka.low || target > kafka.high)
      return `Kafka holds ${kafka.low} to ${kafka.high}: ${target} is not among them`
    if (beyond.length === 0) return null
    if (kind === 'anew')
      return `ids beyond ${target} are taken in ${beyond.join(', ')}: delete these streams first (DEL), their entries are of records that this log does not have`
    const unpublished = target < startOffset || row.passedOver.some(([, to]) => to > target)
    if (kind === 'back' && unpublished)
      return `some of these records were left out before, and could not be published any more, since ${beyond.join(', ')} went on: delete these streams first (DEL) to have them filled in anew`
    return null
  }
}

function moved(row: FullRow, target: number): FullRow {
  const { startOffset, nextOffset, publishedOffset, streams, passedOver, repeatedBelow } = row
  const isBack = target < nextOffset
  const accepts = row.stopped?.code === 'STREAM_LOST'
  // What was published up to the mark stays so; what was stored and not published yet still has to be, behind the new mark as well.
  const isPublished =
    accepts || publishedOffset === nextOffset || (publishedOffset === null && nextOffset === startOffset)
  return {
    ...row,
    startOffset: Math.min(startOffset, target),
    nextOffset: target,
    publishedOffset: isPublished ? target : publishedOffset === null ? null : Math.min(publishedOffset, target),
    streams: accepts ? new Map() : streams,
    passedOver: isBack
      ? passedOver.flatMap(([from, to]) => (from < target ? [[from, Math.min(to, target)] as const] : []))
      : target > nextOffset
        ? joined([...passedOver, [nextOffset, target]])
        : passedOver,
    repeatedBelow: isBack && nextOffset > startOffset ? Math.max(repeatedBelow ?? 0, nextOffset) : repeatedBelow,
  }
}

function begunAnew(row: FullRow, target: number): FullRow {
  return {
    ...row,
    startOffset: target,
    nextOffset: target,
    publishedOffset: target,
    streams: new Map(),
    passedOver: [],
    repeatedBelow: null,
  }
}

/** The last one may touch the one before. */
function joined(ranges: readonly Range[]): Range[] {
  const all: Range[] = []
  for (const [from, to] of ranges) {
    const before = all.at(-1)
    if (before !== undefined && before[1] >= from) all[all.length - 1] = [before[0], Math.max(before[1], to)]
    else all.push([from, to])
  }
  return all
}
