/** A process that runs its share of the seeds and tells what it met; it ends with the process that started it. */
import { type Outcome, runSeeds } from './run.ts'

/** What a worker is told, once. */
export interface Share {
  readonly from: number
  readonly count: number
  readonly step: number
}

/** What a worker tells: what it has run since it last told, and in the end what it has found. */
export interface Told {
  readonly seeds: number
  readonly records: number
  readonly events: number
  readonly simulatedMs: number
  readonly counts: readonly (readonly [what: string, times: number])[]
  readonly failed: Pick<Outcome, 'seed' | 'finding'> | null
  readonly isOver: boolean
}

const tellMs = 300

process.once('disconnect', () => process.exit())
// The terminal sends these to everybody; when to end is for the one that started us to say.
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => {})

process.once('message', async (share: Share) => {
  let tally = { seeds: 0, records: 0, events: 0, simulatedMs: 0 }
  let counts = new Map<string, number>()
  let toldAt = performance.now()
  const tell = (failed: Told['failed'], isOver: boolean) => {
    process.send?.({ ...tally, counts: [...counts], failed, isOver } satisfies Told)
    tally = { seeds: 0, records: 0, events: 0, simulatedMs: 0 }
    counts = new Map()
    toldAt = performance.now()
  }
  const failed = await runSeeds({
    ...share,
    onProgress(outcome) {
      tally.seeds++
      for (const name of ['records', 'events', 'simulatedMs'] as const) tally[name] += outcome[name]
      for (const [what, times] of outcome.counts) counts.set(what, (counts.get(what) ?? 0) + times)
      if (performance.now() - toldAt > tellMs) tell(null, false)
    },
  })
  tell(failed === null ? null : { seed: failed.seed, finding: failed.finding }, true)
})
