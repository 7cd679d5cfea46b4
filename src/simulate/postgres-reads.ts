/** Queries beside the storing, on a schedule of their own: an event by its key, a type's latest, the last of a subject. */
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { LatencyHistogram } from '../core/latency.ts'
import { openLoop, scheduleOf } from './open-loop.ts'
import type { Connect, SimulatePostgresOptions } from './postgres.ts'
import { createRandom } from './random.ts'
import { quantile } from './stats.ts'

export const readKinds = ['by key', 'by type and time', 'last of a subject'] as const

export interface ReadStats {
  readonly kind: (typeof readKinds)[number]
  readonly queries: number
  readonly rows: number
  readonly msP50: number
  readonly msP99: number
}

/** Of what was stored lately, so many are remembered for readers to ask for. */
export const knownMax = 4096

export interface Known {
  readonly id: string
  readonly type: string
  readonly subject: string | null
}

/** Something to ask for. */
export async function learn(client: pg.Client, table: string, known: Known[]): Promise<void> {
  const latest = `SELECT id::text, type, subject FROM ${table} WHERE id >= millrace_id_floor(now() - interval '1 hour') LIMIT $1`
  const { rows } = await client.query(latest, [knownMax])
  known.push(...rows)
}

export async function startReading(
  connect: Connect,
  table: string,
  startedMs: number,
  known: readonly Known[],
  options: SimulatePostgresOptions,
  signal: AbortSignal,
) {
  const { read, forMs, reads, readers, mix, seed, now } = options
  if (reads === 0) return null
  const clients = await Promise.all(
    Array.from({ length: readers }, (_, index) => connect(`millrace simulate read ${index + 1}`)),
  )
  const luck = createRandom(seed + 1)
  const total = mix.reduce((sum, weight) => sum + weight, 0)
  const tallies = readKinds.map((kind) => ({ kind, queries: 0, rows: 0, ms: new LatencyHistogram() }))
  let notFound = 0
  const sinceHour = `id >= millrace_id_floor(now() - interval '1 hour')`
  const texts = [
    `SELECT * FROM ${table} WHERE id = $1::uuid`,
    `SELECT * FROM ${table} WHERE type = $1 AND event_time >= now() - interval '10 seconds' AND id >= millrace_id_floor(now() - interval '10 seconds') ORDER BY event_time DESC LIMIT 100`,
    `SELECT * FROM ${table} WHERE type = $1 AND subject = $2 AND event_time >= now() - interval '1 hour' AND ${sinceHour} ORDER BY event_time DESC LIMIT 1`,
  ]
  const loop = openLoop({
    // Beside the storing they end with it.
    ...scheduleOf({ rate: reads, ...(read !== undefined && forMs !== undefined && { forMs }) }, startedMs),
    now,
    signal,
    inFlightMax: readers,
    chunkMax: 1,
    async work(_, [dueMs]) {
      // Nothing is stored yet that could be asked for.
      const asked = known[luck.below(Math.max(1, known.length))]
      if (asked === undefined) return void (await sleep(1))
      const weight = luck.unit() * total
      const kind = weight < mix[0] ? 0 : weight < mix[0] + mix[1] ? 1 : asked.subject === null ? 1 : 2
      const values = kind === 0 ? [asked.id] : kind === 1 ? [asked.type] : [asked.type, asked.subject]
      const own = clients.pop()!
      try {
        const { rows } = await own.query({ name: `simulate-${kind}`, text: texts[kind] as string, values })
        const tally = tallies[kind]!
        tally.queries++
        tally.rows += rows.length
        tally.ms.record(now() - (dueMs as number))
        if (kind === 0 && rows.length !== 1) notFound++
      } finally {
        clients.push(own)
      }
    },
  })
  loop.done.catch(() => {})
  return {
    loop,
    notFound: () => notFound,
    stats: (): ReadStats[] =>
      tallies.map(({ kind, queries, rows, ms }) => ({
        kind,
        queries,
        rows,
        msP50: quantile(ms, 0.5),
        msP99: quantile(ms, 0.99),
      })),
  }
}
