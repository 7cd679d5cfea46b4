/** docs/results/chaos.md, out of the results of a run: what was run on what, what held, what did not, and the command to repeat each. */
import { availableParallelism, totalmem, type } from 'node:os'
import type { Kept } from './kept.ts'
import type { Scenario } from './scenario.ts'
import { suiteSettings } from './settings.ts'
import { commandOf, renderMarkdown } from './table.ts'
import { leftOut } from './unheld.ts'

export function renderPage({ results, notRun, versions }: Kept, scenarios: readonly Scenario[]): string {
  const first = results[0]
  const totals = (of: (found: NonNullable<Kept['results'][number]['counted']>) => number) =>
    results.reduce((sum, { counted }) => sum + (counted === null ? 0 : of(counted)), 0).toLocaleString('en')
  const whatOf = (name: string) => scenarios.find((scenario) => scenario.name === name)?.what ?? ''
  const failed = results.filter(({ holds }) => !holds)
  const ended = results.flatMap(({ scenario, endedByThemselves }) =>
    endedByThemselves.map(({ code, said }) => `- \`${scenario}\`: exit code ${code}: ${said}\n`),
  )
  return `# Chaos: what happens to each event when things die

Written by \`npm run chaos -- --all --write\`; a scenario that is run again with \`--write\` takes the place of its own line. Every scenario breaks a running fleet or its servers in one stated way, round after round, under load all the
while; after each round the fleet must recover within the stated time, and at the end every single event is looked for in PostgreSQL and in its stream.

- Date: ${[...new Set(results.map(({ atMs }) => new Date(atMs).toISOString().slice(0, 10)))].join(', ')}
- Machine: ${availableParallelism()} cores, ${Math.round(totalmem() / 1024 ** 3)} GiB of memory, ${type()}; servers, replicas, load and counting share it
- Servers: ${versions.join(', ')}; Node ${process.versions.node}
- Load: ${first === undefined ? '-' : `${first.rate} records/s in open loop over ${first.partitions} partitions, ${first.replicas} replicas`} unless a command below says otherwise; 0.1 % duplicates, 0.5 % bad records
- In all: ${totals(({ events }) => events)} events acknowledged, ${totals(({ lost }) => lost)} lost, ${totals(({ duplicated }) => duplicated)} duplicated, ${totals(({ outOfOrder }) => outOfOrder)} out of order

${renderMarkdown(results)}
Events are those that Kafka acknowledged to the load, by CloudEvents \`source\` and \`id\`. *Lost*: acknowledged, and not a row, or a row without its entry, or a
bad record that is not in \`rejects\`. *Duplicated*: two rows or two entries of one event. *Out of order*: an entry at another event's place. Recovery runs from the
end of the harm (for \`kill\` from the kill itself) until the group's settled offset has passed, in every partition, where the log ended at that
moment. Lag is measured from outside, by how long ago the log was first longer than what is settled; RSS is the kernel's peak over all replicas.

## What the scenarios do, and the commands that repeat them

${results.map((result) => `- **${result.scenario}**: ${whatOf(result.scenario)}.\n  \`${commandOf(result)}\`\n`).join('')}
The seed fixes every choice of the scenario and the content of the load; when exactly a signal meets a process is up to the machine.

## Does not hold

${failed.length === 0 ? 'Nothing in this run.\n' : failed.map(({ scenario, problems }) => `- **${scenario}**: ${problems.slice(0, 5).join('; ')}\n`).join('')}
## Replicas that ended by themselves

They are started again after a second, as a supervisor does, and the scenario must hold all the same.

${ended.length === 0 ? 'None in this run.\n' : [...new Set(ended)].join('')}
## Not held, or not tried, and why

${[...notRun, ...leftOut].map((text) => `- ${text}\n`).join('')}
## Settings of this suite

Shorter than the defaults, so that a run fits into an hour; a recovery that waits for a session or a transaction to time out takes in production as much
longer as these are longer there (see the README's table of settings).

\`\`\`
${Object.entries(suiteSettings)
  .map(([name, value]) => `${name}=${value}`)
  .join('\n')}
\`\`\`
`
}
