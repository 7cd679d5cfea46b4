/** The end of every test: what Kafka, PostgreSQL and Redis hold is compared record by record, and with what was sent. */
import assert from 'node:assert/strict'
import type { KafkaConfig } from 'kafkajs'
import type pg from 'pg'
import definition from '../../consumers/cloud-events.ts'
import type { RedisClient } from '../../src/process/connect-redis.ts'
import type { SimulateStats } from '../../src/simulate/stats.ts'
import { type VerifyResult, verify } from '../../src/verify/verify.ts'

/** What was sent, by kind; all of it acknowledged, except what failed: that may have been written or not. */
export type Made = Pick<SimulateStats, 'events' | 'duplicates' | 'poison' | 'failed'>

export const nothingMade: Made = { events: 0, duplicates: 0, poison: 0, failed: 0 }

export async function prove(options: {
  readonly group: string
  readonly kafka: KafkaConfig
  readonly client: pg.Client
  readonly redis: RedisClient
  readonly made: readonly Made[]
  readonly tell: (text: string) => void
}): Promise<VerifyResult> {
  const { made, tell, ...where } = options
  const result = await verify({
    ...where,
    consumer: 'cloud-events',
    definition,
    toEnd: true,
    examplesMax: 5,
    signal: AbortSignal.timeout(60_000),
    now: () => performance.now(),
  })
  const { produced, rows, rejects, duplicates, skips, entries, trimmed, lost, duplicated, outOfOrder, wrong } = result
  tell(`proof: ${produced} records, ${rows} rows, ${rejects} rejects, ${duplicates} duplicates, ${entries} entries`)
  const problems = result.problems.map(({ kind, text }) => `${kind}: ${text}`).join('\n')
  const none = { lost: 0, duplicated: 0, outOfOrder: 0, wrong: 0 }
  assert.deepEqual({ lost, duplicated, outOfOrder, wrong }, none, problems)
  assert(result.holds)
  assert.equal(produced, rows + rejects + duplicates + skips)
  assert.equal(entries + trimmed, rows)

  const sum = (kind: keyof Made) => made.reduce((total, one) => total + one[kind], 0)
  const counted = sum('events') + sum('duplicates') + sum('poison')
  // A client that met a slow broker sends again what was written, and counts it once.
  if (produced > counted) tell(`sent again by the client: ${produced - counted}; failed: ${sum('failed')}`)
  assert(rows >= sum('events') && rows <= sum('events') + sum('failed'), `each event is a row: ${sum('events')} events`)
  // The second copy of an event whose first was given up is its row.
  assert(rejects >= sum('poison') && duplicates >= sum('duplicates') - sum('failed'))
  if (sum('failed') === 0 && produced === counted) assert.equal(rejects, sum('poison'))
  return result
}
