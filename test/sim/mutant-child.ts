/** A process that runs seeds with one mutant in it (or none), and tells after each. What it is to do comes as its one argument. */

import { mutants } from './mutants.ts'
import { infect } from './mutate.ts'

export interface Job {
  /** Null: the code as it is. */
  readonly mutant: string | null
  readonly from: number
  readonly count: number
  readonly timeline: boolean
}

export type Told =
  | { readonly seed: number; readonly finding: string | null; readonly timeline?: string }
  | { readonly done: true }

const { mutant: name, from, count, timeline: wanted } = JSON.parse(process.argv[2] as string) as Job
const mutant = mutants.find((one) => one.name === name)
if (mutant !== undefined) infect(mutant)
const { runSeeds } = await import('./run.ts')
const { timeline } = await import('./history.ts')
const tell = (told: Told) => process.send?.(told)

process.on('disconnect', () => process.exit(1))
await runSeeds({
  from,
  count,
  onProgress({ seed, finding, history }) {
    tell({ seed, finding, ...(wanted && finding !== null && { timeline: timeline(history) }) })
  },
})
process.send?.({ done: true } satisfies Told, () => process.exit(0))
