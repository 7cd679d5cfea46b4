/** The fleet's own way from a record to a row, decoder and persist/, with a clock of the test's: one process, one lane. */
import { decodeBatch } from '../../src/flow/decode/decode-batch.ts'
import type { DecodeLimits } from '../../src/flow/decode/port.ts'
import { openPostgres } from '../../src/flow/persist/postgres.ts'
import { dayMs, definition, type EventSpec, limits, pack, record } from '../flow/batches.ts'
import { noSignal } from '../schema/database.ts'

export interface Storing {
  /** One batch, stored as of `nowMs`; answers how many rows, rejects by code and duplicates came of it. */
  store(
    events: readonly EventSpec[],
    nowMs: number,
    window?: Partial<DecodeLimits>,
  ): Promise<{ rows: number; rejects: Readonly<Record<string, number>>; duplicates: number }>
}

export const standardWindow = { eventPastMsMax: 30 * dayMs, eventFutureMsMax: dayMs / 24 }

export async function openStoring(
  url: string,
  partition: number,
  consumer = limits.consumer,
): Promise<Storing & AsyncDisposable> {
  const persist = openPostgres({
    target: { consumer, topic: definition.topic, table: definition.table },
    connection: { connectionString: url },
    transactionTimeoutMs: 15_000,
    lockTimeoutMs: 5000,
  })
  const lane = persist.lane(0)
  let next = (await persist.marks([partition], () => 0))[0]!.nextOffset
  return {
    async store(events, nowMs, window = standardWindow) {
      const records = events.map((event, n) => record(next + n, event, { timestamp: String(nowMs) }))
      const batch = decodeBatch(definition, { ...limits, consumer, ...window }, pack({ partition, records }), nowMs)
      const { foreign } = await lane.persist(batch, [{ publishedOffset: null, streams: null }], noSignal)
      next += events.length
      const duplicates = foreign?.size ?? 0
      return { rows: batch.rows.count - duplicates, rejects: batch.rejects.codes, duplicates }
    },
    async [Symbol.asyncDispose]() {
      await lane.close()
      await persist.close()
    },
  }
}
