/**
 * `npm run sim`: the real pipeline, gate, lanes and reactions in simulated worlds, one per seed, against everything that may happen to servers, network
 * and processes. Exit codes: 0 holds, 1 does not, 2 the command line is wrong.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { count } from '../../src/core/count.ts'
import { FatalError } from '../../src/core/errors.ts'
import { wholeFlag } from '../../src/core/flag.ts'
import { complain } from '../complain.ts'
import { faults } from './faults.ts'
import { timeline } from './history.ts'
import { mutantsCommand, seedsMaxDefault } from './mutants-command.ts'
import { reactions } from './reactions.ts'
import { runSeed } from './run.ts'
import type { Share, Told } from './worker.ts'

const help = `npm run sim -- [options]
  --seeds <n>   how many worlds (10000)
  --from <n>    the first seed (1)
  --seed <n>    one world, with its history as a timeline
  --workers <n> processes that share the seeds (one per core)
  --mutants     prove that it can fail: each deliberate mutation of the code, until a seed catches it (--seeds at most, 2000)
  --mutant <s>  one of them, with the timeline of the seed that catches it
  --write       with --mutants: write docs/results/sim.md
  --json        one JSON line at the end, on standard output
  --help        this text

The same seed is the same world, bit for bit, as long as the code is the same: the number at the end of a history says so.
`

interface Flags {
  readonly seeds: number
  readonly from: number
  readonly seed: number | null
  readonly workers: number
  readonly mutants: boolean
  readonly mutant: string | null
  readonly write: boolean
  readonly json: boolean
  readonly help: boolean
}

function readFlags(): Flags {
  let values: Record<string, string | boolean | undefined>
  try {
    const text = { type: 'string' } as const
    const flag = { type: 'boolean', default: false } as const
    values = parseArgs({
      options: {
        ...{ seeds: text, from: text, seed: text, workers: text, json: flag, help: flag },
        ...{ mutants: flag, mutant: text, write: flag },
      },
    }).values
  } catch (error) {
    throw new FatalError('USAGE', (error as Error).message, 'See npm run sim -- --help.', error)
  }
  const whole = (name: string, byDefault: number, least: number) =>
    wholeFlag(name, String(values[name] ?? byDefault), least)
  const mutant = (values.mutant as string | undefined) ?? null
  const mutants = values.mutants === true || mutant !== null
  if (values.write === true && (!mutants || mutant !== null))
    throw new FatalError('USAGE', '--write has nothing to write.', 'Use it with --mutants.')
  return {
    mutants,
    mutant,
    write: values.write === true,
    seeds: whole('seeds', mutants ? seedsMaxDefault : 10_000, 1),
    from: whole('from', 1, 0),
    seed: values.seed === undefined ? null : whole('seed', 0, 0),
    workers: whole('workers', Math.min(availableParallelism(), 8), 1),
    json: values.json === true,
    help: values.help === true,
  }
}

const say = (text: string) => process.stderr.write(text)

async function one(seed: number, json: boolean): Promise<number> {
  const outcome = await runSeed(seed)
  const { finding, hash, events, simulatedMs, records, history } = outcome
  if (json)
    process.stdout.write(`${JSON.stringify({ holds: finding === null, ...outcome, counts: [...outcome.counts] })}\n`)
  else {
    process.stdout.write(timeline(history))
    const facts = `seed ${seed}: ${count(records)} records, ${count(events)} events, ${Math.round(simulatedMs / 1000)} simulated s, history ${hash}`
    process.stdout.write(`\n${finding === null ? 'HOLDS' : `DOES NOT HOLD: ${finding}`}\n${facts}\n`)
  }
  return finding === null ? 0 : 1
}

interface Sum {
  seeds: number
  records: number
  events: number
  simulatedMs: number
  readonly counts: Map<string, number>
}

/** What died in a simulated world still waits for its answers, and so stays in memory (some 0.8 MB a seed): a process runs so many seeds, then a new one. */
const seedsPerProcess = 500

/** Seeds shared by some processes; ends with the first that fails. */
async function many({ seeds, from, workers }: Flags, signal: AbortSignal, sum: Sum): Promise<Told['failed']> {
  const children = new Set<ChildProcess>()
  const failure = Promise.withResolvers<Told['failed']>()
  const run = async (share: Share) => {
    const child = fork(join(import.meta.dirname, 'worker.ts'), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    children.add(child)
    const over = Promise.withResolvers<void>()
    child.on('message', (told: Told) => {
      for (const name of ['seeds', 'records', 'events', 'simulatedMs'] as const) sum[name] += told[name]
      for (const [what, times] of told.counts) sum.counts.set(what, (sum.counts.get(what) ?? 0) + times)
      if (told.failed !== null) failure.resolve(told.failed)
      if (told.isOver) over.resolve()
    })
    child.once('exit', () => over.reject(new Error('a worker has died')))
    child.send(share)
    await over.promise
    child.removeAllListeners('exit').kill('SIGKILL')
    children.delete(child)
  }
  const step = Math.min(workers, seeds)
  const end = from + seeds
  const shares = Array.from({ length: step }, async (_, index) => {
    for (let first = from + index; first < end; first += seedsPerProcess * step)
      await run({ from: first, count: Math.min(seedsPerProcess * step, end - first), step })
  })
  const all = Promise.all(shares).then(() => null)
  all.catch(() => {})
  const interrupted = new Promise<null>((resolve) =>
    signal.addEventListener('abort', () => resolve(null), { once: true }),
  )
  try {
    return await Promise.race([failure.promise, all, interrupted])
  } finally {
    for (const child of children) child.removeAllListeners('exit').kill('SIGKILL')
  }
}

const shown = ['crash', 'sleep, thrown out', 'database goes back', 'Redis loses everything', 'retention overtakes']

function progress({ seeds, counts }: Sum, of: number, startedMs: number): string {
  const share = seeds / of
  const rate = seeds / ((performance.now() - startedMs) / 1000)
  const bar = `${'#'.repeat(Math.round(share * 24))}${'.'.repeat(24 - Math.round(share * 24))}`
  const met = [
    ...shown.map((name) => `${name} ${count(counts.get(`fault: ${name}`) ?? 0)}`),
    `fenced ${count(counts.get('lost: starting the lane over: FENCED') ?? 0)}`,
    `refilled ${count(counts.get('a stream has lost entries: filling it again from Kafka') ?? 0)}`,
  ]
  return `[${bar}] ${count(seeds)} of ${count(of)}  ${rate.toFixed(0)}/s  ${met.join(', ')}`
}

function table(sum: Sum): { text: string; never: string[] } {
  const of = (told: string) => sum.counts.get(told) ?? 0
  const rows = [
    ...Object.keys(faults).map((name) => ['fault', name, of(`fault: ${name}`)] as const),
    ...reactions.map(([what, told]) => ['reaction', what, of(told)] as const),
  ]
  const width = Math.max(...rows.map(([, name]) => name.length))
  return {
    text: rows
      .map(([kind, name, times]) => `  ${kind.padEnd(9)} ${name.padEnd(width)} ${count(times).padStart(10)}\n`)
      .join(''),
    never: rows.filter(([, , times]) => times === 0).map(([, name]) => name),
  }
}

async function main(): Promise<number> {
  const flags = readFlags()
  if (flags.help) {
    process.stdout.write(help)
    return 0
  }
  if (flags.seed !== null) return one(flags.seed, flags.json)
  const interrupt = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(name, () => interrupt.abort(new Error(name)))
  process.once('disconnect', () => interrupt.abort(new Error('the parent process ended')))
  process.channel?.unref()
  if (flags.mutants) {
    const { mutant: only, seeds: seedsMax, from, workers: processes, write } = flags
    const { stdout } = process
    return mutantsCommand({
      ...{ only, from, seedsMax, processes, write },
      command: ['npm run sim --', ...process.argv.slice(2)].join(' '),
      now: Date.now,
      signal: interrupt.signal,
      output: { write: (text) => void stdout.write(text), isTerminal: stdout.isTTY, columns: stdout.columns ?? 80 },
    }).catch((error: unknown) => {
      if (!interrupt.signal.aborted) throw error
      stdout.write('INTERRUPTED\n')
      return 1
    })
  }
  const startedMs = performance.now()
  const sum: Sum = { seeds: 0, records: 0, events: 0, simulatedMs: 0, counts: new Map() }
  const isTerminal = process.stderr.isTTY
  const telling = setInterval(
    () => say(`${isTerminal ? '\r\x1b[2K' : ''}${progress(sum, flags.seeds, startedMs)}${isTerminal ? '' : '\n'}`),
    isTerminal ? 300 : 10_000,
  )
  const failed = await many(flags, interrupt.signal, sum).finally(() => clearInterval(telling))
  if (isTerminal) say('\r\x1b[2K')
  const seconds = (performance.now() - startedMs) / 1000
  const wasCut = interrupt.signal.aborted
  const { text, never } = table(sum)
  const { seeds, records, events, simulatedMs, counts } = sum
  const repeat = failed === null ? null : `npm run sim -- --seed ${failed.seed}`
  const holds = failed === null && !wasCut
  if (flags.json) {
    const all = { holds, from: flags.from, seeds, records, events, simulatedMs, seconds, failed, repeat, never }
    process.stdout.write(`${JSON.stringify({ ...all, counts: Object.fromEntries(counts) })}\n`)
    return holds ? 0 : 1
  }
  process.stdout.write(text)
  if (never.length > 0) process.stdout.write(`Never reached, and so not tried: ${never.join(', ')}.\n`)
  const facts = `${count(seeds)} seeds from ${flags.from}, ${count(records)} records, ${count(events)} events, ${(simulatedMs / 3_600_000).toFixed(1)} simulated h, ${seconds.toFixed(1)} s`
  if (failed !== null)
    process.stdout.write(`DOES NOT HOLD: seed ${failed.seed}: ${failed.finding}\n  ${repeat}\n(${facts})\n`)
  else process.stdout.write(`${wasCut ? 'INTERRUPTED' : 'HOLDS'} (${facts})\n`)
  return holds ? 0 : 1
}

try {
  process.exitCode = await main()
} catch (error) {
  process.exitCode = complain(error)
}
