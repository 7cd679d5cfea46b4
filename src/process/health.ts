/**
 * Is this process alive, and is it ready? Alive means progress, not that the event loop turns: a consumer whose client died inside looks busy for
 * weeks. Restarting does not mend a server that is down, so a dependency known to be down makes the process not ready, never not alive. A hang that no
 * known outage explains is another thing: wherever a partition has work and stands still, though the others move, the process is not alive.
 *
 *   starting -> running    the first partitions came, or the group has none for us
 *   running  -> draining   SIGTERM: not ready any more, alive until the drain's own deadline
 */

export type Phase = 'starting' | 'running' | 'draining'

/** A partition that has something to do. */
export interface Work {
  readonly partition: number
  /** Records waiting; null: nobody knows, its marks are being read. */
  readonly records: number | null
  /** Changes when something of it was stored or published. */
  readonly at: number
}

/** What the process knows about itself, asked for once a second. */
export interface Vitals {
  readonly phase: Phase
  /** Grows whenever any mark advances, never shrinks: the sum of records_total does. */
  readonly moved: number
  /** Records not stored yet; null before anything is known. */
  readonly lagRecords: number | null
  /** By partition, what waits to be stored or published and nothing known is in the way of. */
  readonly work?: readonly Work[]
  /** When the Kafka client last gave a sign of life (a fetch, a heartbeat); null before the first. */
  readonly heardMs: number | null
  /** Names of the servers known to be down right now. */
  readonly down: readonly string[]
  /** Days after today that have a partition; -1: today has none. */
  readonly horizonDays?: number
  /** Names of the servers that are away while the rest goes on without them. */
  readonly away: readonly string[]
  /** Partitions of the topic that stand still until an operator decides, in words. */
  readonly stopped?: readonly string[]
}

export interface Verdict {
  readonly ok: boolean
  /** Why not, in words; empty when ok. */
  readonly reasons: readonly string[]
  /** Readiness tells how far ahead there is a place for events. */
  readonly partitionHorizonDays?: number
}

export interface Health {
  observe(vitals: Vitals): void
  live(): Verdict
  ready(): Verdict
}

export interface HealthOptions {
  readonly progressTimeoutMs: number
  /** So long without a fetch or a heartbeat means that Kafka is not there: a client waits for its return without a word. */
  readonly kafkaSilentMs?: number
  /** So long without a step of any partition that has work is not ready, whatever the reason: a server that says nothing at all is not known to be down. */
  readonly standstillMs?: number
  readonly now: () => number
}

const verdict = (reasons: readonly string[]): Verdict => ({ ok: reasons.length === 0, reasons })
const seconds = (ms: number) => `${Math.round(ms / 1000)} s`

const namedMax = 5

function stuckText(
  stuck: readonly (readonly [number, { readonly records: number | null; readonly sinceMs: number }])[],
  nowMs: number,
): string {
  const named = stuck.slice(0, namedMax).map(([partition]) => partition)
  const more = stuck.length > namedMax ? ` and ${stuck.length - namedMax} more` : ''
  const known = stuck.every(([, { records }]) => records !== null)
  const records = stuck.reduce((sum, [, one]) => sum + (one.records ?? 0), 0)
  const longest = nowMs - Math.min(...stuck.map(([, { sinceMs }]) => sinceMs))
  const where = `partition${stuck.length > 1 ? 's' : ''} ${named.join(', ')}${more}`
  const what = known ? `${records} records wait in ${where}` : `the marks of ${where} are not read`
  return `${what} and nothing has moved there for ${seconds(longest)}`
}

export function createHealth({
  progressTimeoutMs,
  kafkaSilentMs = Number.POSITIVE_INFINITY,
  standstillMs = Number.POSITIVE_INFINITY,
  now,
}: HealthOptions): Health {
  let vitals: Vitals = { phase: 'starting', moved: 0, lagRecords: null, heardMs: null, down: [], away: [] }
  /** Since when nothing has moved that could have moved. */
  let stillSinceMs = now()
  /** By partition, how far its work was and since when. While its marks are read it stands where it was before. */
  const standing = new Map<number, { at: number; records: number | null; sinceMs: number }>()
  /** Until when the Kafka client need not have spoken: the last time a server was known to be down, or the phase changed. */
  let excusedUntilMs = now()

  return {
    observe(next) {
      const nowMs = now()
      const excused = next.down.length > 0 || next.phase !== vitals.phase
      if (excused) excusedUntilMs = nowMs
      if (excused || next.moved !== vitals.moved || (next.phase === 'running' && next.lagRecords === 0))
        stillSinceMs = nowMs
      const working = new Set(next.work?.map(({ partition }) => partition))
      for (const partition of standing.keys()) if (!working.has(partition)) standing.delete(partition)
      for (const { partition, records, at } of next.work ?? []) {
        const before = standing.get(partition)
        const isStill = before !== undefined && !excused && (records === null || at === before.at)
        const where = records === null && before !== undefined ? before.at : at
        standing.set(partition, { at: where, records, sinceMs: isStill ? before.sinceMs : nowMs })
      }
      vitals = next
    },

    live() {
      const nowMs = now()
      const stillMs = nowMs - stillSinceMs
      const reasons: string[] = []
      if (vitals.phase === 'draining' || vitals.down.length > 0) return verdict(reasons)
      if (vitals.phase === 'starting') {
        if (stillMs > progressTimeoutMs) reasons.push(`still starting after ${seconds(stillMs)}`)
        return verdict(reasons)
      }
      // What the client has not told for long, lag included, is no longer true: silence is judged by itself.
      const silentMs = nowMs - Math.max(vitals.heardMs ?? 0, excusedUntilMs)
      if (silentMs > progressTimeoutMs) reasons.push(`no sign of life from the Kafka client for ${seconds(silentMs)}`)
      if (stillMs > progressTimeoutMs && vitals.lagRecords !== 0) {
        const lag = vitals.lagRecords === null ? 'an unknown number of' : String(vitals.lagRecords)
        reasons.push(`${lag} records wait and nothing has moved for ${seconds(stillMs)}`)
      }
      const stuck = [...standing].filter(([, { sinceMs }]) => nowMs - sinceMs > progressTimeoutMs)
      if (stuck.length > 0 && reasons.length === 0) reasons.push(stuckText(stuck, nowMs))
      return verdict(reasons)
    },

    ready() {
      const { horizonDays } = vitals
      const reasons = vitals.down.map((name) => `${name} is down`)
      for (const name of vitals.away) reasons.push(`${name} is away: storing goes on without it`)
      if (vitals.phase !== 'running') reasons.push(vitals.phase)
      const silentMs = vitals.heardMs === null ? 0 : now() - vitals.heardMs
      if (vitals.phase === 'running' && silentMs > kafkaSilentMs && !vitals.down.includes('kafka')) {
        reasons.push(`kafka is down: no sign of life for ${seconds(silentMs)}`)
      }
      const still = [...standing]
      const stillSince = Math.max(...still.map(([, { sinceMs }]) => sinceMs))
      if (reasons.length === 0 && still.length > 0 && now() - stillSince > standstillMs) {
        reasons.push(stuckText(still, now()))
      }
      reasons.push(...(vitals.stopped ?? []))
      if (horizonDays === undefined) return verdict(reasons)
      if (horizonDays < 1) reasons.push(`there is no partition for ${horizonDays < 0 ? 'today' : 'tomorrow'}`)
      return { ...verdict(reasons), partitionHorizonDays: horizonDays }
    },
  }
}
