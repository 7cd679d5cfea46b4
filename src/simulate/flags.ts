/** The options of `millrace simulate kafka`: what the help says of each, and what each text means. Light: the help is shown without loading a client. */
import { parseDuration } from '../core/duration.ts'
import { FatalError } from '../core/errors.ts'

const codecNames = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const

/** As the command line has them: text, checked here. The names are those of the options. */
export interface SimulateFlags {
  readonly topic?: string
  readonly rate?: string
  readonly for?: string
  readonly events?: string
  readonly seed?: string
  readonly codec?: string
  readonly duplicates?: string
  readonly poison?: string
  readonly binary?: string
  readonly partitions?: string
  readonly replication?: string
  readonly acks?: string
  readonly create?: boolean
  readonly json?: boolean
}

/** For the command line's help, one row per option. */
export const simulateFlags: readonly (readonly [flag: string, help: string, standard?: string])[] = [
  ['--topic <name>', 'the topic to send to', 'cloud-events'],
  ['--rate <n>', 'records per second, or `max`', '6667'],
  ['--for <duration>', 'stop after 30s, 5m, 1h30m'],
  ['--events <n>', 'stop after so many records'],
  ['--seed <n>', 'the same seed makes the same events (default: the time of the start)'],
  ['--codec <name>', 'none, gzip, snappy, lz4 or zstd', 'snappy'],
  ['--duplicates <share>', "share of records sent twice, as a producer's retry", '0.001'],
  ['--poison <share>', 'share of bad records', '0.0005'],
  ['--binary <share>', "share of events in CloudEvents' binary mode", '0'],
  ['--partitions <n>', 'with --create: of the new topic; else: use only so many'],
  ['--replication <n>', 'with --create: replication factor', '1'],
  ['--create', 'create the topic when it is missing'],
  ['--acks <n>', '-1 all replicas, 1 the leader, 0 none', '-1'],
  ['--json', 'one JSON line at the end'],
]

const usage = (option: string, text: string, expected: string) =>
  new FatalError('USAGE', `--${option} reads '${text}'.`, `It takes ${expected}.`)

function whole(option: string, text: string, min: number): number {
  const value = Number(text.replaceAll('_', ''))
  if (text.trim() === '' || !Number.isSafeInteger(value) || value < min) {
    throw usage(option, text, `a whole number of at least ${min}`)
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
    throw usage('rate', text, 'records per second, more than 0, or `max`')
  }
  return value
}

function oneOf<T extends string>(option: string, text: string, allowed: readonly T[]): T {
  if (!(allowed as readonly string[]).includes(text)) throw usage(option, text, `one of ${allowed.join(', ')}`)
  return text as T
}

/** Every flag checked, with its default; throws USAGE. */
export function readFlags(flags: SimulateFlags, now: () => number) {
  const { partitions } = flags
  const acks = Number(oneOf('acks', flags.acks ?? '-1', ['-1', '0', '1'])) as -1 | 0 | 1
  return {
    topic: flags.topic ?? 'cloud-events',
    rate: rateOf(flags.rate ?? '6667'),
    ...(flags.for !== undefined && { forMs: parseDuration(flags.for, '--for') }),
    ...(flags.events !== undefined && { events: whole('events', flags.events, 1) }),
    seed: flags.seed === undefined ? Math.floor(now()) : whole('seed', flags.seed, 0),
    codec: oneOf('codec', flags.codec ?? 'snappy', codecNames),
    duplicates: share('duplicates', flags.duplicates ?? '0.001'),
    poison: share('poison', flags.poison ?? '0.0005'),
    binary: share('binary', flags.binary ?? '0'),
    ...(partitions !== undefined && { partitions: whole('partitions', partitions, 1) }),
    replicationFactor: whole('replication', flags.replication ?? '1', 1),
    acks,
    create: flags.create === true,
    json: flags.json === true,
  }
}
