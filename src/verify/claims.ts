/** What the ledger claims of each partition, and whether its marks and counters say what Kafka says and what was counted. */
import type { Findings } from './findings.ts'
import type { TopicEnds } from './kafka-marks.ts'
import type { LedgerCounts } from './postgres-reader.ts'
import type { PartitionTally } from './prove-partition.ts'

export interface Claim {
  readonly partition: number
  readonly row: LedgerCounts | null
  /** What is judged: [from, to); of it the ledger claims [from, nextOffset). */
  readonly from: number
  readonly to: number
  readonly nextOffset: number
  readonly publishedOffset: number
  readonly committedOffset: number
  readonly skipped: number
  readonly passedOver: readonly (readonly [from: number, to: number])[]
}

export function claimsOf(
  ledger: readonly LedgerCounts[],
  ends: TopicEnds,
  committed: ReadonlyMap<number, number>,
  toEnd: boolean,
): Claim[] {
  const rows = new Map(ledger.map((row) => [row.partition, row]))
  const partitions = [...new Set([...rows.keys(), ...(toEnd ? ends.keys() : [])])].sort((a, b) => a - b)
  return partitions.map((partition): Claim => {
    const row = rows.get(partition) ?? null
    const { low, high } = ends.get(partition) ?? { low: row?.nextOffset ?? 0, high: 0 }
    const nextOffset = Math.max(row?.nextOffset ?? low, low)
    const from = Math.max(row?.startOffset ?? low, low)
    const committedOffset = committed.get(partition) ?? 0
    return {
      partition,
      row,
      from,
      to: toEnd ? Math.max(nextOffset, high) : nextOffset,
      nextOffset,
      // The ledger's own mark is a batch late; what was settled was published, by the law.
      publishedOffset: Math.max(row?.publishedOffset ?? 0, Math.min(committedOffset, nextOffset)),
      committedOffset,
      skipped: row?.skipped ?? 0,
      passedOver: row?.passedOver ?? [],
    }
  })
}

/** settled <= published <= persisted, and not beyond what Kafka has. */
export async function compareMarks(
  claims: readonly Claim[],
  ends: TopicEnds,
  askAgain: () => Promise<TopicEnds>,
  topic: string,
  findings: Findings,
): Promise<void> {
  // Kafka has grown since it was asked; only who is beyond its end even now is too far.
  const later = claims.some(({ partition, nextOffset }) => nextOffset > (ends.get(partition)?.high ?? 0))
    ? await askAgain()
    : ends
  for (const { partition, row, nextOffset, committedOffset } of claims) {
    const where = `${topic}/${partition}`
    const high = later.get(partition)?.high
    if (high === undefined) findings.add('wrong', () => `${where} is in the ledger, but not in Kafka`)
    else if (nextOffset > high) {
      findings.add('wrong', () => `${where}: the ledger stands at ${nextOffset}, but Kafka ends at ${high}`)
    }
    if (row !== null && nextOffset > row.nextOffset) {
      findings.add(
        'lost',
        () =>
          `${where}: Kafka begins at ${nextOffset}, but the ledger stands at ${row.nextOffset}: never stored, and gone`,
        nextOffset - row.nextOffset,
      )
    }
    if (row !== null && (row.publishedOffset ?? 0) > row.nextOffset) {
      findings.add('wrong', () => `${where}: published ${row.publishedOffset} is ahead of persisted ${nextOffset}`)
    }
    if (committedOffset > nextOffset) {
      findings.add('wrong', () => `${where}: settled ${committedOffset} is ahead of persisted ${nextOffset}`)
    }
  }
}

/** The ledger's counters against what was counted; where Kafka has dropped records, duplicates and skips can no longer be counted. */
export function compareCounters(
  { partition, row, from }: Claim,
  tally: PartitionTally,
  before: { readonly rows: number; readonly rejects: number },
  topic: string,
  findings: Findings,
): void {
  // What was read twice was counted twice: there the proof stands on the records alone.
  if (row === null || row.repeatedBelow > from) return
  const compare = (name: string, said: number, counted: number) => {
    if (said === counted) return
    findings.add('wrong', () => `${topic}/${partition}: the ledger says ${said} ${name}, counted are ${counted}`)
  }
  compare('stored', row.stored, tally.found.rows + before.rows)
  compare('rejected', row.rejected, tally.found.rejects + before.rejects)
  if (from > row.startOffset || tally.unchecked > 0) return
  compare('duplicated', row.duplicated, tally.duplicates)
  compare('skipped', row.skipped, tally.skips - tally.passedOver)
}
