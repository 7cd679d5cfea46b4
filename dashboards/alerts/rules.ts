/** The rules files of Prometheus, as text: the recording rules and all alerts, a group for each team. */
import { type Alert, runbookOf } from './alert.ts'
import { business } from './business.ts'
import { cache } from './cache.ts'
import { database } from './database.ts'
import { recording } from './recording.ts'
import { sre } from './sre.ts'
import { streaming } from './streaming.ts'

export const alerts: readonly Alert[] = [...sre, ...streaming, ...database, ...cache, ...business]

const note = '# Written by `npm run dashboards` from dashboards/alerts/: change it there.\n'
/** JSON strings are YAML. */
const text = (value: string) => JSON.stringify(value)
const block = (expr: string, indent: string) => `|-\n${expr.replaceAll(/^/gm, `${indent}  `)}`

export function recordingYaml(): string {
  const rules = recording.map(
    ([record, expr]) => `      - record: ${record}\n        expr: ${block(expr, '        ')}\n`,
  )
  return `${note}groups:\n  - name: recording\n    rules:\n${rules.join('')}`
}

export function alertsYaml(): string {
  const groups = [...new Set(alerts.map(({ team }) => team))].map((team) => {
    const rules = alerts.filter((alert) => alert.team === team).map(ruleYaml)
    return `  - name: ${team}\n    rules:\n${rules.join('')}`
  })
  return `${note}groups:\n${groups.join('')}`
}

function ruleYaml(alert: Alert): string {
  const { name, severity, team, expr, summary, description } = alert
  return `      - alert: ${name}
        expr: ${block(expr, '        ')}
        for: ${alert.for}
        labels: { severity: ${severity}, team: ${team} }
        annotations:
          summary: ${text(summary)}
          description: ${text(description)}
          runbook: ${runbookOf(name)}
`
}
