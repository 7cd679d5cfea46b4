/** What an alert is here: one row, from which the rules file is written and the tests are made. A name may come twice, as a warning and as critical. */

export const teams = ['database', 'cache', 'streaming', 'sre', 'business'] as const
export type Team = (typeof teams)[number]

export interface Alert {
  readonly name: string
  readonly severity: 'warning' | 'critical'
  readonly team: Team
  /** How long it must hold before anybody is told. */
  readonly for: string
  readonly expr: string
  /** One line, for a phone. */
  readonly summary: string
  /** What it means, with the figure. */
  readonly description: string
}

/** docs/runbooks/replica-down.md */
export function runbookOf(name: string): string {
  return `docs/runbooks/${name.replaceAll(/(?<=[a-z])(?=[A-Z])/g, '-').toLowerCase()}.md`
}

/** The same alert twice: a warning while there is time, and critical when there is none. What differs is given by severity. */
export function escalating(
  common: Pick<Alert, 'name' | 'team' | 'summary' | 'description'>,
  warning: Pick<Alert, 'for' | 'expr'> & Partial<Alert>,
  critical: Pick<Alert, 'for' | 'expr'> & Partial<Alert>,
): Alert[] {
  return [
    { ...common, severity: 'warning', ...warning },
    { ...common, severity: 'critical', ...critical },
  ]
}
