/**
 * PostgreSQL and Kafka as one: each event from where the plan says it is, merged by key, so that what is stored late does not come late. Gone on with, what
 * is not stored is read again from its beginning (it is what the fleet is behind by), and keys tell what was there before.
 */
import type { ReplayEvent } from './entry.ts'
import { compareKeys, type Position } from './key.ts'
import { type Prefetched, prefetched } from './prefetch.ts'
import type { Estimate, ReplaySource, SourceBatch } from './source.ts'

const batchEvents = 1000

export function openAutoSource(postgres: ReplaySource, kafka: ReplaySource): ReplaySource {
  async function* read(from: Position, signal: AbortSignal): AsyncGenerator<SourceBatch, void, undefined> {
    const rows = new Side(prefetched(postgres.read(from, signal)))
    const records = new Side(prefetched(kafka.read({ after: from.after, kafka: null }, signal)))
    try {
      await Promise.all([rows.more(), records.more()])
      while (!rows.ended || !records.ended) {
        const events: ReplayEvent[] = []
        let fromKafka = 0
        while (events.length < batchEvents) {
          const row = rows.head
          const record = records.head
          const side = record === undefined || (row !== undefined && compareKeys(row, record) < 0) ? rows : records
          if (side.head === undefined) break
          if (side === records) fromKafka++
          events.push(side.head)
          side.at++
          // Which of the two comes next is only known when both have one at hand.
          if (side.head === undefined) await side.more()
        }
        if (events.length > 0) {
          // A side that has nothing to give says nothing of how far the other one is.
          const shares = [rows, records].filter(({ gives }) => gives).map(({ share }) => share)
          const share = shares.reduce((sum, one) => sum + one, 0) / shares.length
          yield { events, fromKafka, kafka: null, share }
        }
      }
    } finally {
      await Promise.all([rows.reading.close(), records.reading.close()])
    }
  }

  return {
    read,
    async estimate(signal): Promise<Estimate> {
      const [rows, records] = await Promise.all([postgres.estimate(signal), kafka.estimate(signal)])
      const least = (a: number | null, b: number | null) => (a === null || b === null ? (a ?? b) : Math.min(a, b))
      const most = (a: number | null, b: number | null) => (a === null || b === null ? (a ?? b) : Math.max(a, b))
      return {
        events: rows.events + records.events,
        bytes: rows.bytes + records.bytes,
        exact: rows.exact && records.exact,
        postgres: rows.events,
        kafka: records.events,
        firstMs: least(rows.firstMs, records.firstMs),
        lastMs: most(rows.lastMs, records.lastMs),
      }
    },
    async close() {
      await Promise.all([postgres.close(), kafka.close()])
    },
  }
}

class Side {
  readonly reading: Prefetched<SourceBatch>
  events: readonly ReplayEvent[] = []
  at = 0
  share = 0
  /** It had an event. */
  gives = false
  ended = false

  constructor(reading: Prefetched<SourceBatch>) {
    this.reading = reading
  }

  get head(): ReplayEvent | undefined {
    return this.events[this.at]
  }

  /** The next batch that holds something, or the end. */
  async more(): Promise<void> {
    while (this.head === undefined && !this.ended) {
      const batch = await this.reading.next()
      if (batch === null) {
        this.ended = true
        this.share = 1
        return
      }
      this.events = batch.events
      this.gives ||= batch.events.length > 0
      this.at = 0
      this.share = batch.share
    }
  }
}
