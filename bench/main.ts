/**
 * `npm run bench`: how fast, beside the fastest thing PostgreSQL can do and beside what one would use instead, in one run.
 *
 *   drains   the same topic emptied by each contender (contenders/), in rounds of alternating order; medians count, ratios are what to quote, for
 *            machines differ and are noisy
 *   steady   6,667 events/s over 100 partitions into each of them: latency from due to committed
 *   --poison what one bad record in a thousand costs
 *   --replay stored events sent again, beside COPY TO and a plain consumer, and beside a live flow
 *   --scale  what more of everything costs: replicas, partitions, bytes, rows, days; a backlog, a rebalance, a kill, a cold scan (scale/)
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
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
import { type Steady, steady } from './steady.ts'
import { openWorld, root, type World } from './world.ts'

const partitions = 100
const { values: flags } = parseArgs({
  // Behind `millrace bench`.
  args: process.argv.slice(3),
  options: {
    events: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    steady: { type: 'string', default: '30' },
    warm: { type: 'string', default: '20' },
    rate: { type: 'string', default: '6667' },
    replicas: { type: 'string', default: '2' },
    only: { type: 'string' },
    poison: { type: 'boolean', default: false },
    replay: { type: 'boolean', default: false },
    scale: { type: 'boolean', default: false },
    rows: { type: 'string', default: '1000000,10000000' },
    backlog: { type: 'string', default: '5000000' },
    profile: { type: 'boolean', default: false },
    set: { type: 'string', multiple: true, default: [] },
    help: { type: 'boolean', default: false },
  },
})
const execArgv = flags.profile ? ['--cpu-prof', `--cpu-prof-dir=${join(root, '.local/stacks/bench/logs')}`] : []
const contenders: readonly Contender[] = [
  raw,
  millrace({ publishes: false, execArgv }),
  millrace({ publishes: true, execArgv }),
  debezium,
  afternoon(false),
  afternoon(true),
  consumeOnly,
]
const names = [...contenders.map(({ name }) => name), 'steady']

if (flags.help) {
  process.stdout.write(`npm run bench -- [options]
  --events N     events to drain (1000000; with --scale 500000)
  --rounds N     rounds of each drain, medians count (3)
  --only NAMES   of ${names.join(',')}: only these, comma-separated
  --steady S     seconds of each steady run (30; 0 leaves them out)
  --warm S       seconds of the same load before it, not counted (20)
  --rate N       events per second of the steady run (6667)
  --replicas N   replicas of Millrace in the steady run (2)
  --poison       instead of all that: drain as many events with one bad record in a thousand, beside clean ones
  --replay       instead of all that: stored events sent again, beside COPY TO and a plain consumer, and what that does to a live flow
  --scale        instead of all that: what more of everything costs; --only then takes ${partNames.join(',')}
  --rows N,N     with --scale: sizes of the table (1000000,10000000)
  --backlog N    with --scale: events that wait when the fleet comes back (5000000)
  --set NAME=V   a setting of the replicas, say MILLRACE_LANES=4; may be repeated
  --profile      write CPU profiles of Millrace into .local/stacks/bench/logs

What takes part:
${contenders.map(({ name, title }) => `  ${name.padEnd(14)} ${title}`).join('\n')}
  steady         latency at a fixed rate, of those that store
`)
  process.exit(0)
}
const known: readonly string[] = flags.scale ? partNames : names
const only = flags.only?.split(',') ?? known
const unknown = only.filter((name) => !known.includes(name))
if (unknown.length > 0) {
  process.stderr.write(`millrace: --only knows ${known.join(', ')}; not ${unknown.join(', ')}\n`)
  process.exit(2)
}
const whole = (name: 'rounds' | 'steady' | 'warm' | 'rate' | 'replicas' | 'backlog', min: number): number => {
  const value = Number(flags[name])
  if (flags[name] !== '' && Number.isSafeInteger(value) && value >= min) return value
  process.stderr.write(`millrace: --${name} reads '${flags[name]}'; it takes a whole number from ${min}\n`)
  process.exit(2)
}
const rounds = whole('rounds', 1)
const events = Number(flags.events ?? (flags.scale ? 500_000 : 1_000_000))
const rate = whole('rate', 1)
const paced = { rate, warmMs: whole('warm', 0) * 1000, seconds: whole('steady', 0) }
const say = (text: string) => void process.stderr.write(`${text}\n`)
const interrupt = new AbortController()
process.once('SIGINT', () => interrupt.abort(new Error('interrupted')))
process.once('SIGTERM', () => interrupt.abort(new Error('terminated')))
const at = new Date().toISOString()
const worldOptions = { partitions, signal: interrupt.signal, say, settings: flags.set }

if (flags.scale) {
  const found = await scale(worldOptions, {
    parts: only as PartName[],
    events,
    rounds,
    rate,
    rows: flags.rows.split(',').map(Number),
    backlog: whole('backlog', 1),
  })
  keep('scale', found)
} else {
  await using world = await openWorld(worldOptions)
  if (flags.poison) await poison(world, events, rounds)
  else if (flags.replay) keep('replay', await benchReplay(world, { events, rounds, paced }))
  else await bench(world)
}

async function bench(world: World): Promise<void> {
  const chosen = contenders.filter(({ name }) => only.includes(name))
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
  if (only.includes('steady') && paced.seconds > 0) {
    const replicas = whole('replicas', 1)
    const usual = [false, true].map((publishes) => millrace({ publishes, replicas, execArgv }))
    const peers = [debezium, afternoon(false), afternoon(true)]
    // Named alone, it is Millrace's own.
    const measured = chosen.length === 0 ? usual.slice(1) : [...usual, ...peers]
    const wanted = measured.filter(({ name }) => chosen.length === 0 || only.includes(name))
    for (const contender of wanted) latencies.push([contender.title, await steady(world, contender, paced)])
  }
  if (entries.length > 0) process.stdout.write(`${drainTable(entries)}\n`)
  if (latencies.length > 0) process.stdout.write(`${steadyTable(latencies)}\n`)
  keep('bench', {
    events,
    rounds,
    drains: Object.fromEntries(entries.map(({ contender, runs }) => [contender.name, runs])),
    steady: Object.fromEntries(latencies),
  })
}

/** One file a run. */
function keep(what: string, found: object): void {
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
