/** The options of `millrace load`: what the help says of each, and what each text means. */
import { parseDuration } from '../core/duration.ts'
import { FatalError } from '../core/errors.ts'
import { choiceFlag, rateFlag, shareFlag, wholeFlag } from '../core/flag.ts'
import { replicasFor } from '../core/settings.ts'
import { type SuiteName, suiteNames } from './suites.ts'

/** As the command line has them: text, checked here. */
export interface LoadFlags {
  readonly events?: string
  readonly within?: string
  readonly profile?: string
  readonly all?: boolean
  readonly rate?: string
  readonly peak?: string
  readonly for?: string
  readonly p99?: string
  readonly warm?: string
  readonly replicas?: string
  readonly partitions?: string
  readonly processes?: string
  readonly seed?: string
  readonly duplicates?: string
  readonly poison?: string
  readonly binary?: string
  readonly readers?: boolean
  readonly report?: string
  readonly json?: boolean
  readonly keep?: boolean
  readonly fresh?: boolean
}

export const loadFlags: readonly (readonly [flag: string, help: string, standard?: string])[] = [
  ['--profile <name>', 'goal, smoke, stress, spike or soak (default: goal)'],
  ['--all', 'all of them, in short: about five minutes'],
  ['--events <n>', 'goal: so many events end to end (400000)'],
  ['--within <duration>', 'goal: in so long, from the first one due to the last one published (60s)'],
  ['--rate <n>', "events per second, in place of the profile's own"],
  ['--peak <n>', "stress, spike: the highest rate, in place of the profile's own"],
  ['--for <duration>', "how long, in place of the profile's own (soak: 30m)"],
  ['--p99 <duration>', 'goal, smoke, soak: what 99 of 100 events must keep, from due to published', '50ms'],
  ['--warm <duration>', 'load of the same kind before, which is not counted', '10s'],
  ['--replicas <n>', 'processes of the fleet (default: one for every two cores)'],
  ['--partitions <n>', 'of the topic, when it is made', '100'],
  ['--processes <n>', 'processes that send', '1'],
  ['--seed <n>', 'the same seed makes the same events (default: the time of the start)'],
  ['--duplicates <share>', "share of records sent twice, as a producer's retry", '0.001'],
  ['--poison <share>', 'share of bad records', '0.0005'],
  ['--binary <share>', "share of events in CloudEvents' binary mode", '0'],
  ['--readers', "beside it, a consumer group reads the fleet's streams, and queries read its tables"],
  ['--report <file>', 'where the page goes; the figures go beside it as .json (default: .local/load/)'],
  ['--json', 'one JSON line on standard output at the end, everything else on standard error'],
  ['--keep', "go on with the last run's data"],
  ['--fresh', 'begin with empty servers (the default on local servers)'],
]

export interface LoadOptions {
  readonly suites: readonly SuiteName[]
  /** All of them in short. */
  readonly short: boolean
  readonly events: number
  readonly withinMs: number
  readonly rate: number | null
  readonly peak: number | null
  readonly forMs: number | null
  readonly p99Ms: number
  readonly warmMs: number
  readonly replicas: number
  readonly partitions: number
  readonly processes: number
  readonly seed: number
  readonly duplicates: number
  readonly poison: number
  readonly binary: number
  readonly readers: boolean
  /** null: beside the other data of the local servers. */
  readonly report: string | null
  readonly json: boolean
  readonly fresh: boolean | null
}

const usage = (what: string, remedy: string) => new FatalError('USAGE', what, remedy)

export function readLoadFlags(flags: LoadFlags, nowMs: number, cores: number): LoadOptions {
  if (flags.keep && flags.fresh) throw usage('--keep and --fresh are both given.', 'Choose one of them.')
  if (flags.all && flags.profile !== undefined)
    throw usage('--all and --profile are both given.', 'Choose one of them.')
  const name = choiceFlag('profile', flags.profile ?? 'goal', suiteNames)
  const isGoal = name === 'goal' && flags.all !== true
  for (const option of ['rate', 'peak', 'for'] as const) {
    if (flags[option] !== undefined && (isGoal || flags.all)) {
      throw usage(
        `--${option} is for one profile: smoke, stress, spike or soak.`,
        isGoal ? 'The goal is told by --events and --within.' : 'Leave it out, or choose a --profile.',
      )
    }
  }
  if (flags.peak !== undefined && name !== 'stress' && name !== 'spike') {
    throw usage(`A profile '${name}' has no --peak.`, 'Leave it out, or choose stress or spike.')
  }
  const duration = (option: 'within' | 'for' | 'p99' | 'warm', standard: string, min: number) => {
    const ms = parseDuration(flags[option] ?? standard, `--${option}`)
    if (ms < min) throw usage(`--${option} reads '${flags[option]}'.`, `It takes ${min} ms or more.`)
    return ms
  }
  const rate = (option: 'rate' | 'peak') => {
    const text = flags[option]
    if (text === undefined) return null
    const value = rateFlag(option, text, 'events')
    if (value === Number.POSITIVE_INFINITY) throw usage(`--${option} max has no schedule.`, 'Give a number.')
    return value
  }
  return {
    suites: flags.all ? suiteNames : [name],
    short: flags.all === true,
    events: wholeFlag('events', flags.events ?? (flags.all ? '100000' : '400000'), 1),
    withinMs: duration('within', flags.all && flags.events === undefined ? '15s' : '60s', 2000),
    rate: rate('rate'),
    peak: rate('peak'),
    forMs: flags.for === undefined ? null : duration('for', '', 1000),
    p99Ms: duration('p99', '50ms', 1),
    warmMs: duration('warm', '10s', 0),
    replicas: wholeFlag('replicas', flags.replicas ?? String(replicasFor(cores)), 1, 64),
    partitions: wholeFlag('partitions', flags.partitions ?? '100', 1, 10_000),
    processes: wholeFlag('processes', flags.processes ?? '1', 1, 64),
    seed: flags.seed === undefined ? Math.floor(nowMs) : wholeFlag('seed', flags.seed, 0),
    duplicates: shareFlag('duplicates', flags.duplicates ?? '0.001'),
    poison: shareFlag('poison', flags.poison ?? '0.0005'),
    binary: shareFlag('binary', flags.binary ?? '0'),
    readers: flags.readers === true,
    report: flags.report ?? null,
    json: flags.json === true,
    fresh: flags.keep ? false : flags.fresh ? true : null,
  }
}
