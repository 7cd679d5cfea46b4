/**
 * `npm run sim -- --mutants`: every mutant against growing seed counts until it is caught; the table as it grows, and the whole one at the end. `--mutant NAME`:
 * one of them, and the timeline of the seed that catches it. Answers the exit code: 1 if one survives, or if the code as it is does not hold.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { FatalError } from '../../src/core/errors.ts'
import { nearest } from '../../src/core/nearest.ts'
import { type Hunted, hunt, runApart } from './hunt.ts'
import { mutants } from './mutants.ts'

export interface MutantsOptions {
  /** Null: all. */
  readonly only: string | null
  readonly from: number
  /** A mutant that so many seeds do not catch has survived. */
  readonly seedsMax: number
  readonly processes: number
  /** Write the table to docs/results/sim.md. */
  readonly write: boolean
  /** The command line, for whoever wants to repeat it. */
  readonly command: string
  readonly now: () => number
  readonly signal: AbortSignal
  readonly output: { write(text: string): void; readonly isTerminal: boolean; readonly columns: number }
}

export const seedsMaxDefault = 2000
const page = join(import.meta.dirname, '../../docs/results/sim.md')

export async function mutantsCommand(options: MutantsOptions): Promise<number> {
  const { only, from, seedsMax, processes, now, signal, output } = options
  const chosen = only === null ? mutants : mutants.filter(({ name }) => name === only)
  if (chosen.length === 0) {
    const names = mutants.map(({ name }) => name)
    const guess = nearest(only ?? '', names)
    const remedy = guess === null ? `There are: ${names.join(', ')}.` : `Did you mean '${guess}'?`
    throw new FatalError('USAGE', `There is no mutant '${only}'.`, remedy)
  }
  const startedMs = now()
  const unsound = new Map<number, string>()
  const width = Math.max(...chosen.map(({ name }) => name.length))
  let done = 0
  const clear = output.isTerminal ? '\r\x1b[2K' : ''
  output.write(`${'mutant'.padEnd(width)}  seeds  seconds  what the checkers said\n`)
  const hunted = await hunt({
    mutants: chosen,
    from,
    seedsMax,
    processes,
    now,
    signal,
    onProgress(running) {
      if (!output.isTerminal) return
      const text = [...running].map(([name, seeds]) => `${name} ${seeds}`).join(', ')
      output.write(`${clear}${`${done} of ${chosen.length} hunted; running: ${text}`.slice(0, output.columns - 1)}`)
    },
    onUnsound(seed, finding) {
      unsound.set(seed, finding)
      output.write(`${clear}seed ${seed} does not hold without any mutant, and is left out: ${oneLine(finding)}\n`)
    },
    onHunted(one) {
      done++
      output.write(`${clear}${line(one, width)}`)
    },
  })
  output.write(clear)
  const survivors = hunted.filter(({ seed }) => seed === null)
  const sound = await holdsWithout({ ...options, count: Math.max(...hunted.map(({ seeds }) => seeds ?? 0)) }, unsound)
  if (chosen.length > 1) {
    output.write(`\n${'mutant'.padEnd(width)}  seeds  promise\n`)
    for (const { mutant, seeds } of hunted)
      output.write(`${mutant.name.padEnd(width)}  ${String(seeds ?? 'none').padStart(5)}  ${mutant.breaks}\n`)
  }
  const seconds = Math.round((now() - startedMs) / 1000)
  output.write(`\n${hunted.length - survivors.length} of ${hunted.length} mutants caught in ${seconds} s`)
  output.write(
    `; without any, ${sound} seeds ${unsound.size === 0 ? 'hold' : `, ${unsound.size} of them do not hold`}\n`,
  )
  for (const { mutant } of survivors) output.write(`survived ${seedsMax} seeds: ${mutant.name}: ${mutant.breaks}\n`)
  const [first] = hunted
  if (only !== null && first?.seed != null) await printTimeline(first as Hunted, options)
  if (options.write) {
    mkdirSync(dirname(page), { recursive: true })
    writeFileSync(page, resultsPage(hunted, { ...options, sound, unsound, seconds }))
    output.write('written to docs/results/sim.md\n')
  }
  return survivors.length === 0 && unsound.size === 0 ? 0 : 1
}

/** The same seeds with nothing changed; answers how many were run. */
async function holdsWithout(
  options: MutantsOptions & { count: number },
  unsound: Map<number, string>,
): Promise<number> {
  const { from, count, processes, signal, output } = options
  let ran = 0
  const share = Math.ceil(count / processes)
  await Promise.all(
    Array.from({ length: processes }, async (_, index) => {
      let next = from + index * share
      const end = Math.min(next + share, from + count)
      if (next >= end) return
      await runApart({ mutant: null, from: next, count: end - next, timeline: false }, signal, ({ seed, finding }) => {
        ran++
        next = seed + 1
        if (finding !== null && !unsound.has(seed)) {
          unsound.set(seed, finding)
          output.write(`seed ${seed} does not hold without any mutant: ${oneLine(finding)}\n`)
        }
        return false
      })
    }),
  )
  return ran
}

async function printTimeline({ mutant, seed }: Hunted, { signal, output }: MutantsOptions): Promise<void> {
  output.write(`\nmutant ${mutant.name} in src/${mutant.file}: ${mutant.breaks}\n`)
  for (const [mark, text] of [
    ['-', mutant.find],
    ['+', mutant.replace],
  ] as const)
    output.write(text === '' ? '' : `${text.replaceAll(/^/gm, `${mark} `)}\n`)
  output.write(`\nseed ${seed}\n`)
  await runApart({ mutant: mutant.name, from: seed as number, count: 1, timeline: true }, signal, ({ timeline }) => {
    output.write(timeline ?? 'no timeline: the seed did not come to an end\n')
    return true
  })
}

const oneLine = (text: string) => (text.split('\n')[0] as string).slice(0, 160)

function line({ mutant, seeds, seconds, finding }: Hunted, width: number): string {
  const said = finding === null ? 'SURVIVES' : oneLine(finding)
  return `${mutant.name.padEnd(width)}  ${String(seeds ?? 'none').padStart(5)}  ${seconds.toFixed(0).padStart(7)}  ${said}\n`
}

interface Results extends MutantsOptions {
  readonly sound: number
  readonly unsound: ReadonlyMap<number, string>
  readonly seconds: number
}

function resultsPage(hunted: readonly Hunted[], results: Results): string {
  const { from, seedsMax, sound, unsound, seconds, command, now, processes } = results
  const caught = hunted.filter(({ seed }) => seed !== null)
  const cell = (text: string) => text.replaceAll('|', '\\|')
  const rows = hunted.map(({ mutant: { name, file, breaks }, seeds, finding }) => {
    const said = finding === null ? '**survives**' : oneLine(finding)
    return `| \`${name}\` | ${cell(breaks)} | \`src/${file}\` | ${seeds ?? `more than ${seedsMax}`} | ${cell(said)} |\n`
  })
  return `# Can the simulation fail?

Made by \`${command}\` on ${new Date(now()).toISOString().slice(0, 10)}, ${processes} processes, ${seconds} s. Seeds from ${from} on, at most ${seedsMax} each.

Each mutant breaks one promise on purpose: a piece of the product is replaced as its file is loaded, and the simulation runs seed after seed until its checkers,
which stand outside the code, notice. ${caught.length} of ${hunted.length} were caught. Without any mutant, ${sound} seeds were run: ${unsound.size === 0 ? 'all hold' : `${unsound.size} do not hold (${[...unsound.keys()].join(', ')})`}.
\`npm run sim -- --mutant NAME\` shows one with the timeline of the seed that catches it.

| mutant | the promise it breaks | where | seeds until caught | what the checkers said |
| --- | --- | --- | --- | --- |
${rows.join('')}`
}
