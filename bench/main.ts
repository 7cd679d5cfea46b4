/**
 * `npm run bench`: how fast, beside the fastest thing PostgreSQL can do and beside what one would use instead, in one run.
 *
 *   drains   the same topic emptied by each contender (contenders/), in rounds of alternating order; medians count, ratios are what to quote, for
 *            machines differ and are noisy
 *   steady   6,667 events/s over 100 partitions into each of them: latency from due to committed
 *   --poison what one bad record in a thousand costs
 *   --traces what following one event in a hundred costs
 *   --replay stored events sent again, beside COPY TO and a plain consumer, and beside a live flow
 *   --state  what the state of a subject at a time costs, with a snapshot and without
 *   --scale  what more of everything costs: replicas, partitions, bytes, rows, days; a backlog, a rebalance, a kill, a cold scan (scale/)
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { FatalError } from '../src/core/errors.ts'
import { choiceFlag, wholeFlag } from '../src/core/flag.ts'
import { replicasFor } from '../src/core/settings.ts'
import type { Contender } from './contenders/contender.ts'
import { debezium } from './contenders/debezium.ts'
import { afternoon, consumeOnly } from './contenders/kafkajs.ts'
import { millrace } from './contenders/millrace.ts'
import { keepRows, raw } from './contenders/raw.ts'
import { type Drained, drain } from './drain.ts'
import { poison } from './poison.ts'
import { fill } from './produce.ts'
import { benchReplay } from './replay.ts'
import { drainTable, steadyTable } from './report.ts'
import { type PartName, partNames, scale } from './scale/scale.ts'
import { type Floor, nobody, type Steady, steady } from './steady.ts'
import { traces } from './traces.ts'
import { openWorld, root, type World } from './world.ts'

const partitions = 100
const steadyName = 'steady'

const contendersOf = (execArgv: readonly string[]): readonly Contender[] => [
  raw,
  millrace({ publishes: false, execArgv }),
  millrace({ publishes: true, execArgv }),
  debezium,
  afternoon(false),
  afternoon(true),
  consumeOnly,
]
const names = [...contendersOf([]).map(({ name }) => name), steadyName]

const help = `npm run bench -- [options]
  --events N     events to drain (1000000; with --scale 500000)
  --rounds N     rounds of each drain, medians count (3)
  --only NAMES   of ${names.join(',')}: only these, comma-separated
  --steady S     seconds of each steady run (30; 0 leaves them out)
  --warm S       seconds of the same load before it, not counted (20)
  --rate N       events per second of the steady run (6667)
  --replicas N   replicas of Millrace at a steady rate (one for every two cores)
  --poison       instead of all that: drain as many events with one bad record in a thousand, beside clean ones
  --traces       instead of all that: drain the same events with traces off, and on with one event in a hundred sampled
  --scale        instead of all that: what more of everything costs; --only then takes ${partNames.join(',')}
  --replay       instead of all that: stored events sent again, beside COPY TO and a plain consumer, and what that does to a live flow
  --state        instead of all that: the state of a subject with so many events (10000), with a snapshot and without
  --others N     with --state: events of everybody else on each day (500000)
  --rows N,N     with --scale: sizes of the table (1000000,10000000)
  --backlog N    with --scale: events that wait when the fleet comes back (5000000)
  --set NAME=V   a setting of the replicas, say MILLRACE_LANES=4; may be repeated
  --profile      write CPU profiles of Millrace into .local/stacks/bench/logs

What takes part:
${contendersOf([])
  .map(({ name, title }) => `  ${name.padEnd(14)} ${title}`)
  .join('\n')}
  steady         latency at a fixed rate, of those that store
`

function readArgs(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        events: { type: 'string' },
        rounds: { type: 'string', default: '3' },
        steady: { type: 'string', default: '30' },
        warm: { type: 'string', default: '20' },
        rate: { type: 'string', default: '6667' },
        replicas: { type: 'string', default: String(replicasFor(cpus().length)) },
        only: { type: 'string' },
        poison: { type: 'boolean', default: false },
        traces: { type: 'boolean', default: false },
        scale: { type: 'boolean', default: false },
        replay: { type: 'boolean', default: false },
        state: { type: 'boolean', default: false },
        others: { type: 'string', default: '500000' },
        rows: { type: 'string', default: '1000000,10000000' },
        backlog: { type: 'string', default: '5000000' },
        profile: { type: 'boolean', default: false },
        set: { type: 'string', multiple: true, default: [] },
        help: { type: 'boolean', default: false },
      },
    }).values
  } catch (error) {
    throw new FatalError('USAGE', (error as Error).message, 'See npm run bench -- --help.', error)
  }
}

function readFlags(args: readonly string[]) {
  const given = readArgs(args)
  const whole = (name: 'rounds' | 'steady' | 'warm' | 'rate' | 'replicas' | 'backlog' | 'others', min: number) =>
    wholeFlag(name, given[name], min)
  return {
    ...given,
    only: given.only?.split(',').map((name) => choiceFlag('only', name, given.scale ? partNames : names)),
    events: wholeFlag('events', given.events ?? (given.state ? '10000' : given.scale ? '500000' : '1000000'), 1),
    rounds: whole('rounds', 1),
    replicas: whole('replicas', 1),
    paced: { rate: whole('rate', 1), warmMs: whole('warm', 0) * 1000, seconds: whole('steady', 0) },
    rows: given.rows.split(',').map((size) => wholeFlag('rows', size, 1)),
    backlog: whole('backlog', 1),
    others: whole('others', 1),
  }
}

type Flags = ReturnType<typeof readFlags>

const say = (text: string) => void process.stderr.write(`${text}\n`)

/** Behind `millrace bench`. */
export async function benchCommand(args: readonly string[], signal: AbortSignal): Promise<number> {
  const flags = readFlags(args)
  if (flags.help) {
    process.stdout.write(help)
    return 0
  }
  const at = new Date().toISOString()
  const options = { partitions, signal, say, settings: flags.set }
  try {
    if (flags.state) {
      const { state } = await import('./state.ts')
      const { events, others } = flags
      // A call is a matter of milliseconds: many of them, however few rounds a drain has.
      keep(at, 'state', await state({ events, others, rounds: flags.rounds * 10, signal, say }))
      return 0
    }
    if (flags.scale) {
      const parts = (flags.only ?? partNames) as PartName[]
      keep(at, 'scale', await scale(options, { ...flags, parts, rate: flags.paced.rate }))
      return 0
    }
    await using world = await openWorld(options)
    if (flags.poison) await poison(world, flags.events, flags.rounds)
    else if (flags.traces) keep(at, 'traces', await traces(world, flags.events, flags.rounds))
    else if (flags.replay) keep(at, 'replay', await benchReplay(world, flags))
    else keep(at, 'bench', await bench(world, flags))
    return 0
  } catch (error) {
    if (!signal.aborted) throw error
    say('interrupted')
    return 1
  }
}

async function bench(world: World, flags: Flags): Promise<object> {
  const { events, rounds, replicas, paced, only = names } = flags
  const execArgv = flags.profile ? ['--cpu-prof', `--cpu-prof-dir=${join(root, '.local/stacks/bench/logs')}`] : []
  const chosen = contendersOf(execArgv).filter(({ name }) => only.includes(name))
  const entries = chosen.map((contender) => ({ contender, runs: [] as Drained[] }))
  for (const { install } of chosen) await install?.(world)
  if (chosen.length > 0) {
    await fill(world, events)
    say('warming up, and keeping the rows for the raw copies')
    await drain(world, millrace({ publishes: true }), events)
    await keepRows(world)
  }
  for (let round = 0; round < rounds; round++) {
    for (const { contender, runs } of round % 2 === 0 ? entries : entries.toReversed()) {
      const drained = await drain(world, contender, events)
      runs.push(drained)
      say(`  round ${round + 1} ${contender.name.padEnd(14)} ${Math.round(drained.perSecond)} events/s`)
    }
  }
  const latencies: [title: string, Steady][] = []
  let floor: Floor | null = null
  if (only.includes(steadyName) && paced.seconds > 0) {
    const usual = [false, true].map((publishes) => millrace({ publishes, replicas, execArgv }))
    const peers = [debezium, afternoon(false), afternoon(true)]
    // Named alone, it is Millrace's own.
    const measured = chosen.length === 0 ? usual.slice(1) : [...usual, ...peers]
    const wanted = measured.filter(({ name }) => chosen.length === 0 || only.includes(name))
    floor = await nobody(world, paced)
    for (const contender of wanted) latencies.push([contender.title, await steady(world, contender, paced)])
  }
  if (entries.length > 0) process.stdout.write(`${drainTable(entries)}\n`)
  if (floor !== null) process.stdout.write(`${steadyTable(latencies, floor)}\n`)
  return {
    events,
    rounds,
    drains: Object.fromEntries(entries.map(({ contender, runs }) => [contender.name, runs])),
    floor,
    steady: Object.fromEntries(latencies),
  }
}

/** One file a run. */
function keep(at: string, what: string, found: object): void {
  const machine = {
    cores: cpus().length,
    cpu: cpus()[0]?.model ?? 'unknown',
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.version,
  }
  const directory = join(root, 'bench/results')
  mkdirSync(directory, { recursive: true })
  const file = join(directory, `${at.slice(0, 19).replaceAll(':', '')}-${what}.json`)
  writeFileSync(file, `${JSON.stringify({ at, machine, ...found }, null, 2)}\n`)
  process.stdout.write(`${file}\n`)
}
