/**
 * `npm run chaos`: breaks a running fleet and its servers in one stated way after the other, counts every event, and says what held. Exit codes: 0 all
 * hold, 1 something does not, 2 the command line is wrong. The only file of the suite that touches argv, the environment and signals.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { FatalError } from '../../src/core/errors.ts'
import { wholeFlag } from '../../src/core/flag.ts'
import { styleOf } from '../../src/live/view.ts'
import { complain } from '../complain.ts'
import { openGrounds, root } from './ground/ground.ts'
import { keep, readKept } from './kept.ts'
import { renderPage } from './page.ts'
import { type Result, runScenario } from './run.ts'
import type { Scenario } from './scenario.ts'
import { scenarios } from './scenarios/index.ts'
import { commandOf, renderTable } from './table.ts'
import { openView } from './view.ts'

/**
 * What the cores carry beside three brokers that each write everything, and three replicas. At 5,000 on two cores a fleet at
 * rest is two seconds behind already, and a recovery time says how long it takes to work off a backlog.
 */
const rateDefault = Math.min(5000, 1000 * availableParallelism())
const replicasDefault = 3
const partitionsDefault = 24
/** As shells say it: ended by SIGINT. */
const interrupted = 130
const help = `npm run chaos -- [options]
  --scenario <name>   this one; may be given several times
  --all               every scenario in order; one that fails does not stop the others
  --list              the scenarios: name, rounds, stated recovery time, what it does
  --rounds <n>        rounds of each scenario (default: its own number, see --list)
  --seed <n>          the same seed makes the same choices (default: the time of the start)
  --rate <n>          events a second, sent in open loop (default: ${rateDefault}, or the scenario's own)
  --replicas <n>      (default: ${replicasDefault}, or the scenario's own)
  --partitions <n>    of the topic (default: ${partitionsDefault})
  --write             writes docs/results/chaos.md: what was run where, what held, and how to repeat it; what other scenarios found before stays
  --json              one JSON line at the end, on standard output
  --help              this text

Needs no Docker and nothing running: it starts its own servers, and ends them however it ends. Where a scenario does not hold, the logs of its
replicas and servers are kept under .local/chaos/.
`

interface Flags {
  readonly chosen: readonly Scenario[]
  readonly list: boolean
  readonly help: boolean
  readonly json: boolean
  readonly write: boolean
  readonly seed: number
  readonly rounds: number | null
  readonly rate: number | null
  readonly replicas: number | null
  readonly partitions: number
}

const wrong = (what: string, remedy: string, cause?: unknown) => new FatalError('USAGE', what, remedy, cause)

function readFlags(): Flags {
  const { values } = (() => {
    try {
      return parseArgs({
        options: {
          scenario: { type: 'string', multiple: true, default: [] },
          all: { type: 'boolean', default: false },
          list: { type: 'boolean', default: false },
          rounds: { type: 'string' },
          seed: { type: 'string' },
          rate: { type: 'string' },
          replicas: { type: 'string' },
          partitions: { type: 'string' },
          write: { type: 'boolean', default: false },
          json: { type: 'boolean', default: false },
          help: { type: 'boolean', default: false },
        },
      })
    } catch (error) {
      throw wrong((error as Error).message, 'See npm run chaos -- --help.', error)
    }
  })()
  const whole = (name: 'rounds' | 'seed' | 'rate' | 'replicas' | 'partitions', min: number): number | null => {
    const text = values[name]
    return text === undefined ? null : wholeFlag(name, text, min)
  }
  const { all, list, json, write, help } = values
  const named = values.scenario.map((name) => {
    const found = scenarios.find((scenario) => scenario.name === name)
    if (found !== undefined) return found
    throw wrong(`There is no scenario '${name}'.`, 'See npm run chaos -- --list.')
  })
  if (all && named.length > 0) throw wrong('--all and --scenario exclude each other.', 'Leave one out.')
  if (!all && !list && !help && named.length === 0) {
    throw wrong('Nothing to do.', 'Name a --scenario, or --all of them; --list shows them.')
  }
  return {
    chosen: all ? scenarios : named,
    list,
    help,
    json,
    write,
    seed: whole('seed', 0) ?? Math.floor(Date.now() / 1000),
    rounds: whole('rounds', 1),
    rate: whole('rate', 1),
    replicas: whole('replicas', 1),
    partitions: whole('partitions', 1) ?? partitionsDefault,
  }
}

function listText(): string {
  const width = Math.max(...scenarios.map(({ name }) => name.length))
  return scenarios
    .map(
      ({ name, what, rounds, recoveryMsMax }) =>
        `${name.padEnd(width)}  ${String(rounds).padStart(3)} rounds  recovers within ${String(recoveryMsMax / 1000).padStart(3)} s  ${what}\n`,
    )
    .join('')
}

async function run(flags: Flags, signal: AbortSignal): Promise<number> {
  const { stderr } = process
  const isTerminal = stderr.isTTY === true
  const output = {
    isTerminal,
    write: (text: string) => void stderr.write(text),
    get columns() {
      return stderr.columns ?? 120
    },
    get rows() {
      return stderr.rows ?? 40
    },
  }
  const view = openView(output, styleOf(process.env, isTerminal), () => performance.now())
  const grounds = openGrounds(signal)
  const results: Result[] = []
  const notRun: string[] = []
  const atMs = Date.now()
  const versions = new Set<string>()
  try {
    for (const scenario of flags.chosen) {
      const why = (await scenario.notHere?.()) ?? null
      if (why !== null) {
        notRun.push(`\`${scenario.name}\` was not run: ${why}`)
        continue
      }
      const result = await runScenario({
        scenario,
        rounds: flags.rounds ?? scenario.rounds,
        seed: flags.seed,
        rate: flags.rate ?? scenario.rate ?? rateDefault,
        replicas: flags.replicas ?? scenario.replicas ?? replicasDefault,
        partitions: flags.partitions,
        signal,
        ground: async () => {
          const ground = await grounds.of(scenario.needs)
          for (const version of await ground.versions()) versions.add(version)
          return ground
        },
        onTold: (live, text) => view.told(live, text),
        onLook: (live) => view.look(live),
      })
      if (signal.aborted) break
      results.push(result)
      view.say(report(result))
      // What a failed scenario leaves of its servers is nothing to begin another one on.
      if (!result.holds) await grounds.close()
    }
  } finally {
    view.close()
    await grounds.close()
  }
  if (signal.aborted) view.say('ended before its end: nothing of it is left running')
  else if (flags.write) {
    const folder = join(root, 'docs', 'results')
    const figures = join(folder, 'chaos.json')
    mkdirSync(folder, { recursive: true })
    const kept = keep(readKept(figures), { atMs, results, notRun, versions: [...versions] }, scenarios)
    writeFileSync(figures, `${JSON.stringify(kept, null, 1)}\n`)
    writeFileSync(join(folder, 'chaos.md'), renderPage(kept, scenarios))
  }
  const holds = results.every((result) => result.holds)
  if (flags.json) process.stdout.write(`${JSON.stringify({ holds, seed: flags.seed, results, notRun })}\n`)
  else if (results.length + notRun.length > 0) {
    const failures = results.filter((result) => !result.holds).map(report)
    process.stdout.write(`\n${failures.join('')}${renderTable(results)}${notRun.map((text) => `${text}\n`).join('')}`)
  }
  if (signal.aborted) return interrupted
  return holds ? 0 : 1
}

/** A few lines on one scenario: what was counted, and where it fails everything that is needed to look into it. */
function report(result: Result): string {
  const { counted, scenario, holds, seconds, problems, folder } = result
  const head = `${scenario}: ${holds ? 'holds' : 'DOES NOT HOLD'} (${seconds.toFixed(0)} s, seed ${result.seed})\n`
  const figures =
    counted === null
      ? '  not counted\n'
      : `  ${counted.acknowledged} records acknowledged, ${counted.uncertain} uncertain${counted.declared > 0 ? `, ${counted.declared} declared lost` : ''}: ${counted.rows} rows, ${counted.entries} entries, ${counted.rejects} rejects, ${counted.duplicates} duplicates\n`
  const ended = result.endedByThemselves.map(
    ({ name, code, said }) => `  ${name} ended by itself (${code}): ${said.slice(0, 200)}\n`,
  )
  if (holds) return head + figures + ended.join('')
  const why = problems.slice(0, 20).map((text) => `  ${text}\n`)
  return `${head}${figures}${ended.join('')}${why.join('')}  repeat it: ${commandOf(result)}\n  logs: ${folder ?? 'none'}\n`
}

async function main(): Promise<number> {
  const flags = readFlags()
  if (flags.help || flags.list) {
    process.stdout.write(flags.help ? help : listText())
    return 0
  }
  const interrupt = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      // Asked twice: at once. The watchdogs end what we have started.
      if (interrupt.signal.aborted) process.exit(interrupted)
      interrupt.abort(new Error(name))
    })
  }
  process.once('disconnect', () => interrupt.abort(new Error('the parent process ended')))
  process.channel?.unref()
  return run(flags, interrupt.signal)
}

try {
  process.exitCode = await main()
  // A round that was interrupted may still wait for something that will never come.
  if (process.exitCode === interrupted) process.exit()
} catch (error) {
  process.exitCode = complain(error)
}
