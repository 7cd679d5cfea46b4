/** What the runs behind docs/results/chaos.md have found, kept beside it: a scenario that is run again takes the place of what it found before. */
import { existsSync, readFileSync } from 'node:fs'
import type { Result } from './run.ts'
import type { Scenario } from './scenario.ts'

export interface Kept {
  readonly results: readonly (Result & { readonly atMs: number })[]
  /** Scenarios that the machine could not run, and why. */
  readonly notRun: readonly string[]
  /** Name and version of every server that was there. */
  readonly versions: readonly string[]
}

export interface Found {
  readonly atMs: number
  readonly results: readonly Result[]
  readonly notRun: readonly string[]
  readonly versions: readonly string[]
}

export function readKept(file: string): Kept {
  if (!existsSync(file)) return { results: [], notRun: [], versions: [] }
  return JSON.parse(readFileSync(file, 'utf8')) as Kept
}

/** In the order of the scenarios. */
export function keep(before: Kept, { atMs, results, notRun, versions }: Found, scenarios: readonly Scenario[]): Kept {
  const places = new Map(scenarios.map(({ name }, place) => [name, place]))
  const place = (result: { readonly scenario: string }) => places.get(result.scenario) ?? scenarios.length
  const again = new Set(results.map(({ scenario }) => scenario))
  const now = results.map((result) => ({
    ...result,
    atMs,
    // Of the machine it ran on.
    folder: null,
    endedByThemselves: result.endedByThemselves.map((one) => ({ ...one, said: codeOf(one.said) })),
  }))
  return {
    results: [...before.results.filter(({ scenario }) => !again.has(scenario)), ...now].sort(
      (a, b) => place(a) - place(b),
    ),
    notRun: [...new Set([...before.notRun, ...notRun])].filter(
      (text) => ![...again].some((name) => text.includes(`\`${name}\``)),
    ),
    versions: [...new Set([...before.versions, ...versions])],
  }
}

/** The error code in a replica's last line, or the line's beginning. */
const codeOf = (said: string) => /\b[A-Z]{2,}_[A-Z_]+\b/.exec(said)?.[0] ?? said.slice(0, 120)
