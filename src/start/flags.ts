/** The options of `millrace start`: what the help says of each, and what each text means. */
import { parseDuration } from '../core/duration.ts'
import { FatalError } from '../core/errors.ts'

/** As the command line has them: text, checked here. */
export interface StartFlags {
  readonly for?: string
  readonly rate?: string
  readonly replicas?: string
  readonly partitions?: string
  readonly seed?: string
  readonly duplicates?: string
  readonly poison?: string
  readonly binary?: string
  readonly json?: boolean
  readonly keep?: boolean
  readonly fresh?: boolean
}

export const startFlags: readonly (readonly [flag: string, help: string, standard?: string])[] = [
  ['--for <duration>', 'stop after 30s, 5m, 1h30m (default: until Ctrl-C)'],
  ['--rate <n>', 'events per second, or `max`', '6667'],
  ['--replicas <n>', 'processes of the fleet', '2'],
  ['--partitions <n>', 'of the topic, when it is made', '100'],
  ['--seed <n>', 'the same seed makes the same events (default: the time of the start)'],
  ['--duplicates <share>', "share of records sent twice, as a producer's retry", '0.001'],
  ['--poison <share>', 'share of bad records', '0.0005'],
  ['--binary <share>', "share of events in CloudEvents' binary mode", '0'],
  ['--json', 'one JSON line on standard output at the end, everything else on standard error'],
  ['--keep', "go on with the last run's data"],
  ['--fresh', 'begin with empty servers (the default, unless `millrace stack up` left them running)'],
]

export interface StartOptions {
  /** null: until somebody stops it. */
  readonly forMs: number | null
  readonly rate: number
  readonly replicas: number
  readonly partitions: number
  readonly seed: number
  readonly duplicates: number
  readonly poison: number
  readonly binary: number
  readonly json: boolean
  /** null: as is usual. */
  readonly fresh: boolean | null
}

export function readStartFlags(flags: StartFlags, nowMs: number): StartOptions {
  if (flags.keep && flags.fresh) {
    throw new FatalError('USAGE', '--keep and --fresh are both given.', 'Choose one of them.')
  }
  return {
    forMs: flags.for === undefined ? null : positiveDuration(flags.for),
    rate: rateOf(flags.rate ?? '6667'),
    replicas: whole('replicas', flags.replicas ?? '2', 1, 64),
    partitions: whole('partitions', flags.partitions ?? '100', 1, 10_000),
    seed: flags.seed === undefined ? Math.floor(nowMs) : whole('seed', flags.seed, 0, Number.MAX_SAFE_INTEGER),
    duplicates: share('duplicates', flags.duplicates ?? '0.001'),
    poison: share('poison', flags.poison ?? '0.0005'),
    binary: share('binary', flags.binary ?? '0'),
    json: flags.json === true,
    fresh: flags.keep ? false : flags.fresh ? true : null,
  }
}

const usage = (option: string, text: string, expected: string) =>
  new FatalError('USAGE', `--${option} reads '${text}'.`, `It takes ${expected}.`)

function positiveDuration(text: string): number {
  const ms = parseDuration(text, '--for')
  if (ms < 1000) throw usage('for', text, 'a second or more')
  return ms
}

function whole(option: string, text: string, min: number, max: number): number {
  const value = Number(text.replaceAll('_', ''))
  if (text.trim() === '' || !Number.isSafeInteger(value) || value < min || value > max) {
    throw usage(option, text, `a whole number from ${min} to ${max}`)
  }
  return value
}

function share(option: string, text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !(value >= 0 && value <= 1)) throw usage(option, text, 'a share from 0 to 1')
  return value
}

function rateOf(text: string): number {
  if (text === 'max') return Number.POSITIVE_INFINITY
  const value = Number(text.replaceAll('_', ''))
  if (text.trim() === '' || !(value > 0) || !Number.isFinite(value)) {
    throw usage('rate', text, 'events per second, more than 0, or `max`')
  }
  return value
}
