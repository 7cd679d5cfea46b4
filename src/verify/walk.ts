/** Records, rows, rejects and entries of one partition, brought together offset by offset in ascending order; memory holds a chunk of each. */
import type { Feed } from '../records/feed.ts'
import type { SourceRecord } from '../records/kafka-reader.ts'
import type { StoredReject, StoredRow } from './postgres-reader.ts'
import type { StreamEntry, StreamRead } from './redis-reader.ts'

/** Everything that claims one offset. In a sound state at most one of each, and never a row beside a reject. */
export interface Place {
  offset: number
  record: SourceRecord | null
  rows: StoredRow[]
  rejects: StoredReject[]
  entries: { readonly stream: StreamRead; readonly entry: StreamEntry }[]
}

export interface Sources {
  /** These three go on over all partitions; only the items of this one are taken. */
  readonly records: Feed<SourceRecord>
  readonly rows: Feed<StoredRow>
  readonly rejects: Feed<StoredReject>
  /** May grow while walking. */
  readonly streams: StreamRead[]
}

/** `visit` may answer a promise where it has to look something up; the place is only good until it is done. `foreign`: an id that no offset makes. */
export async function walk(
  partition: number,
  { records, rows, rejects, streams }: Sources,
  visit: (place: Place) => undefined | Promise<void>,
  foreign: (stream: StreamRead, entry: StreamEntry) => void,
): Promise<void> {
  const place: Place = { offset: 0, record: null, rows: [], rejects: [], entries: [] }
  const near = (feed: Feed<{ partition: number; offset: number }>) => {
    const head = feed.head()
    return head === undefined || head.partition !== partition ? Number.POSITIVE_INFINITY : head.offset
  }
  for (;;) {
    if (records.empty) await records.ready()
    if (rows.empty) await rows.ready()
    if (rejects.empty) await rejects.ready()
    let offset = Math.min(near(records), near(rows), near(rejects))
    for (const stream of streams) {
      for (;;) {
        if (stream.feed.empty) await stream.feed.ready()
        const entry = stream.feed.head()
        if (entry === undefined) break
        if (!Number.isNaN(entry.offset)) {
          if (entry.offset < offset) offset = entry.offset
          break
        }
        foreign(stream, entry)
        stream.feed.take()
      }
    }
    if (offset === Number.POSITIVE_INFINITY) return

    place.offset = offset
    place.record = null
    place.rows.length = 0
    place.rejects.length = 0
    place.entries.length = 0
    if (near(records) === offset) {
      place.record = records.head() as SourceRecord
      records.take()
    }
    while (near(rows) === offset) {
      place.rows.push(rows.head() as StoredRow)
      rows.take()
      if (rows.empty) await rows.ready()
    }
    while (near(rejects) === offset) {
      place.rejects.push(rejects.head() as StoredReject)
      rejects.take()
      if (rejects.empty) await rejects.ready()
    }
    for (const stream of streams) {
      const entry = stream.feed.head()
      if (entry?.offset !== offset) continue
      place.entries.push({ stream, entry })
      stream.feed.take()
    }
    const waiting = visit(place)
    if (waiting !== undefined) await waiting
  }
}
