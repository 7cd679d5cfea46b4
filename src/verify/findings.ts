/**
 * What a proof finds: counts by kind, and for the first few of each kind a sentence with coordinates that a person can look up.
 *
 *   lost        a record that is nowhere, or a row whose entry is missing
 *   duplicated  a row, reject or entry too many
 *   outOfOrder  an entry that stands at another event's place
 *   wrong       everything else that may not be: content, keys, counters, marks
 */

export const kinds = ['lost', 'duplicated', 'outOfOrder', 'wrong'] as const
export type Kind = (typeof kinds)[number]

export interface Problem {
  readonly kind: Kind
  readonly text: string
}

export interface Findings {
  readonly counts: Readonly<Record<Kind, number>>
  /** At most `examplesMax` of each kind. */
  readonly problems: readonly Problem[]
  /** The sentence is only made while there is room for it. */
  add(kind: Kind, text: () => string, count?: number): void
}

export function createFindings(examplesMax: number): Findings {
  const counts = { lost: 0, duplicated: 0, outOfOrder: 0, wrong: 0 }
  const told = { lost: 0, duplicated: 0, outOfOrder: 0, wrong: 0 }
  const problems: Problem[] = []
  return {
    counts,
    problems,
    add(kind, text, count = 1) {
      counts[kind] += count
      if (told[kind]++ < examplesMax) problems.push({ kind, text: text() })
    },
  }
}
