/**
 * Records that have neither row nor reject of their own. Each must be a producer's duplicate: its (source, id) then has a row, made by another record.
 * Whether it has is asked of PostgreSQL by key, many at a time. What has none is lost, or was skipped by the decoder as not ours; how many were
 * skipped only the ledger knows, since that leaves no trace.
 */
import type { EventKey } from './postgres-reader.ts'

export interface MissingRecord {
  readonly offset: number
  /** null: no CloudEvent, so it cannot be a duplicate of one. */
  readonly key: EventKey | null
}

export interface Missing {
  add(record: MissingRecord): undefined | Promise<void>
  flush(): Promise<void>
  readonly duplicates: number
  /** Records that no row explains. */
  readonly unexplained: readonly MissingRecord[]
  readonly unexplainedCount: number
}

const askedAtOnce = 1000
const keptMax = 1000

export function collectMissing(find: (keys: readonly EventKey[]) => Promise<ReadonlyMap<string, EventKey>>): Missing {
  let waiting: MissingRecord[] = []
  let duplicates = 0
  let unexplainedCount = 0
  const unexplained: MissingRecord[] = []

  async function flush(): Promise<void> {
    const asked = waiting
    waiting = []
    const keys = asked.flatMap(({ key }) => (key === null ? [] : [key]))
    const found = keys.length === 0 ? new Map<string, EventKey>() : await find(keys)
    for (const record of asked) {
      const stored = record.key === null ? undefined : found.get(record.key.id)
      if (stored !== undefined && stored.source === record.key?.source && stored.eventId === record.key.eventId) {
        duplicates++
        continue
      }
      unexplainedCount++
      if (unexplained.length < keptMax) unexplained.push(record)
    }
  }

  return {
    add(record) {
      waiting.push(record)
      return waiting.length >= askedAtOnce ? flush() : undefined
    },
    flush,
    get duplicates() {
      return duplicates
    },
    unexplained,
    get unexplainedCount() {
      return unexplainedCount
    },
  }
}
