/**
 * `npm run bench`: how fast, beside the fastest thing PostgreSQL can do and beside what one would use instead, in one run.
 *
 *   drains   the same topic emptied by each contender (contenders/), in rounds of alternating order; medians count, ratios are what to quote, for
 *            machines differ and are noisy
 *   steady   6,667 events/s over 100 partitions into two replicas: latency from produced to stored and to published
 *   poison   what one bad record in a thousand costs
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
import { drainTable, steadyTable } from './report.ts'
import { steady } from './steady.ts'
import { openWorld, root, type World } from './world.ts'

const partitions = 100
const { values: flags } = parseArgs({
  // Behind `millrace bench`.
  args: process.argv.slice(3),
  options: {
    events: { type: 'string', default: '1000000' },
    rounds: { type: 'string', default: '3' },
    steady: { type: 'string', default: '30' },
    warm: { type: 'string', default: '20' },
    rate: { type: 'string', default: '6667' },
    replicas: { type: 'string', default: '2' },
    only: { type: 'string' },
    poison: { type: 'boolean', default: false },
    profile: { type: 'boolean', default: false },
    set: { type: 'string', multiple: true, default: [] },
    help: { type: 'boolean', default: false },
  },
})
const profiling = flags.profile ? ['--cpu-prof', `--cpu-prof-dir=${join(root, '.local/stacks/bench/logs')}`] : []
const contenders: readonly Contender[] = [
  raw,
  millrace(false, profiling),
  millrace(true, profiling),
  debezium,
  afternoon(false),
  afternoon(true),
  consumeOnly,
]
const names = [...contenders.map(({ name }) => name), 'steady']

if (flags.help) {
  process.stdout.write(`npm run bench -- [options]
  --events N     events to drain (1000000)
  --rounds N     rounds of each drain, medians count (3)
  --only NAMES   of ${names.join(',')}: only these, comma-separated
  --steady S     seconds of the steady run (30; 0 leaves it out)
  --warm S       seconds of the same load before it, not counted (20)
  --rate N       events per second of the steady run (6667)
  --replicas N   replicas of the steady run (2)
  --poison       instead of all that: drain as many events with one bad record in a thousand, beside clean ones
  --set NAME=V   a setting of the replicas, say MILLRACE_LANES=4; may be repeated
  --profile      write CPU profiles of Millrace into .local/stacks/bench/logs

What takes part:
${contenders.map(({ name, title }) => `  ${name.padEnd(14)} ${title}`).join('\n')}
  steady         latency at a fixed rate
`)
  process.exit(0)
}
const only = flags.only?.split(',') ?? names
const unknown = only.filter((name) => !names.includes(name))
if (unknown.length > 0) {
  process.stderr.write(`millrace: --only knows ${names.join(', ')}; not ${unknown.join(', ')}\n`)
  process.exit(2)
}
const rounds = Number(flags.rounds)
const say = (text: string) => void process.stderr.write(`${text}\n`)
const interrupt = new AbortController()
process.once('SIGINT', () => interrupt.abort(new Error('interrupted')))
process.once('SIGTERM', () => interrupt.abort(new Error('terminated')))

await using world = await openWorld({ partitions, signal: interrupt.signal, say, settings: flags.set })
if (flags.poison) await poison(world, Number(flags.events), rounds)
else await bench(world)

async function bench(world: World): Promise<void> {
  const chosen = contenders.filter(({ name }) => only.includes(name))
  const entries = chosen.map((contender) => ({ contender, runs: [] as Drained[] }))
  const events = Number(flags.events)
  for (const { install } of chosen) await install?.(world)
  if (chosen.length > 0) {
    await fill(world, partitions, events, 1)
    say('warming up, and keeping the rows for the raw copies')
    await drain(world, millrace(true), events)
    await keepRows(world)
  }
  for (let round = 0; round < rounds; round++) {
    for (const { contender, runs } of round % 2 === 0 ? entries : entries.toReversed()) {
      const drained = await drain(world, contender, events)
      runs.push(drained)
      say(`  round ${round + 1} ${contender.name.padEnd(14)} ${Math.round(drained.perSecond)} events/s`)
    }
  }
  const steadySeconds = only.includes('steady') ? Number(flags.steady) : 0
  const latency =
    steadySeconds > 0
      ? await steady(world, {
          rate: Number(flags.rate),
          replicas: Number(flags.replicas),
          partitions,
          warmMs: Number(flags.warm) * 1000,
          seconds: steadySeconds,
          profiling,
        })
      : null
  const at = new Date().toISOString()
  const machine = {
    cores: cpus().length,
    cpu: cpus()[0]?.model ?? 'unknown',
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.version,
  }
  const found = {
    at,
    machine,
    events,
    rounds,
    drains: Object.fromEntries(entries.map(({ contender, runs }) => [contender.name, runs])),
    steady: latency,
  }
  const directory = join(root, 'bench/results')
  mkdirSync(directory, { recursive: true })
  const file = join(directory, `${at.slice(0, 19).replaceAll(':', '')}.json`)
  writeFileSync(file, `${JSON.stringify(found, null, 2)}\n`)
  if (entries.length > 0) process.stdout.write(`${drainTable(entries)}\n`)
  if (latency !== null) process.stdout.write(`${steadyTable(latency)}\n`)
  process.stdout.write(`${file}\n`)
}
