/** The options of `millrace simulate kafka`: what the help says of each, and what each text means. Light: the help is shown without loading a client. */
import { parseDuration } from '../core/duration.ts'
import { FatalError } from '../core/errors.ts'
import { bytesFlag, choiceFlag, numberFlag, rateFlag, shareFlag, wholeFlag } from '../core/flag.ts'
import { type ProfileName, type ProfilePlan, profileNames } from './profile.ts'

const codecNames = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const

/** As the command line has them: text, checked here. The names are those of the options. */
export interface SimulateFlags {
  readonly topic?: string
  readonly rate?: string
  readonly profile?: string
  readonly peak?: string
  readonly period?: string
  readonly for?: string
  readonly events?: string
  readonly seed?: string
  readonly size?: string
  readonly binary?: string
  readonly duplicates?: string
  readonly poison?: string
  readonly tenants?: string
  readonly tenantSkew?: string
  readonly keySkew?: string
  readonly hot?: string
  readonly hotPartitions?: string
  readonly codec?: string
  readonly acks?: string
  readonly idempotent?: boolean
  readonly transactional?: string | true
  readonly abort?: string
  readonly processes?: string
  readonly partitions?: string
  readonly replication?: string
  readonly create?: boolean
  readonly json?: boolean
}

/** For the command line's help, one row per option. */
export const simulateFlags: readonly (readonly [flag: string, help: string, standard?: string])[] = [
  ['--topic <name>', 'the topic to send to', 'cloud-events'],
  ['--rate <n>', 'records per second, or `max`', '6667'],
  ['--profile <name>', 'how the rate changes: constant, ramp, spike, sine or soak', 'constant'],
  ['--peak <n>', 'ramp, spike, sine: the highest rate (default: three times --rate)'],
  [
    '--period <duration>',
    'ramp: how long it rises; spike, sine: from one to the next; soak: how long it warms up',
    '20s',
  ],
  ['--for <duration>', 'stop after 30s, 5m, 1h30m'],
  ['--events <n>', 'stop after so many records'],
  ['--seed <n>', 'the same seed makes the same events (default: the time of the start)'],
  [
    '--size <bytes>',
    'of an event: 2KiB, or 200-20kB for all sizes between, small ones more often (default: about 466)',
  ],
  ['--binary <share>', "share of events in CloudEvents' binary mode", '0'],
  ['--duplicates <share>', "share of records sent twice, as a producer's retry", '0.001'],
  ['--poison <share>', 'share of bad records', '0.0005'],
  ['--tenants <n>', 'how many tenants there are', '20'],
  ['--tenant-skew <exponent>', "how unequal they are, by Zipf's law: 0 even, 1 usual, 2 steep", '1'],
  ['--key-skew <exponent>', 'the same for the keys (default: the first 1 % of them get 10 %)'],
  ['--hot <share>', 'share of records that go to the hot partitions', '0'],
  ['--hot-partitions <n>', 'how many are hot: the first ones', '1'],
  ['--codec <name>', 'none, gzip, snappy, lz4 or zstd', 'snappy'],
  ['--acks <n>', '-1 all replicas, 1 the leader, 0 none', '-1'],
  ['--idempotent', 'an idempotent producer: one request in flight'],
  ['--transactional [id]', 'every request is a transaction of this id (millrace-simulate)'],
  ['--abort <share>', 'with --transactional: share of transactions that are aborted, and sent again', '0'],
  ['--processes <n>', 'senders side by side: each has its share of the partitions of the same sequence', '1'],
  ['--partitions <n>', 'with --create: of the new topic; else: use only so many'],
  ['--replication <n>', 'with --create: replication factor', '1'],
  ['--create', 'create the topic when it is missing'],
  ['--json', 'one JSON line at the end'],
]

const usage = (what: string, remedy: string) => new FatalError('USAGE', what, remedy)
const rateMax = 10_000_000
const exponentMax = 5

/** Null for a constant rate, which needs none. */
export function readProfile(
  flags: Pick<SimulateFlags, 'profile' | 'peak' | 'period'>,
  rate: number,
): ProfilePlan | null {
  const name: ProfileName = choiceFlag('profile', flags.profile ?? 'constant', profileNames)
  const periodMs = parseDuration(flags.period ?? '20s', '--period')
  if (periodMs < 100) throw usage(`--period reads '${flags.period}'.`, 'It takes 100ms or more.')
  if (name === 'constant' || name === 'soak') {
    if (flags.peak !== undefined)
      throw usage(`A profile '${name}' has no --peak.`, 'Leave it out, or choose ramp, spike or sine.')
    if (name === 'constant') return null
  }
  if (rate === Number.POSITIVE_INFINITY) {
    throw usage(`A profile '${name}' needs a rate, not \`max\`.`, 'Give --rate as records per second.')
  }
  const peak = flags.peak === undefined ? rate * 3 : numberFlag('peak', flags.peak.replaceAll('_', ''), 0.001, rateMax)
  return { name, rate, peak, periodMs }
}

export function readSize(text: string): [number, number] {
  const [low, high = low] = text.split('-', 2) as [string, string?]
  const range = [bytesFlag('size', low, 150, 900_000), bytesFlag('size', high, 150, 900_000)] as [number, number]
  if (range[0] > range[1]) throw usage(`--size reads '${text}'.`, 'Write the smaller size first.')
  return range
}

/** Every flag checked, with its default; throws USAGE. */
export function readFlags(flags: SimulateFlags, now: () => number) {
  const { partitions, transactional, keySkew, size } = flags
  const acks = Number(choiceFlag('acks', flags.acks ?? '-1', ['-1', '0', '1'])) as -1 | 0 | 1
  const idempotent = flags.idempotent === true || transactional !== undefined
  if (idempotent && acks !== -1) {
    throw usage(`An idempotent producer waits for all replicas, and --acks reads '${flags.acks}'.`, 'Leave --acks out.')
  }
  const abort = shareFlag('abort', flags.abort ?? '0')
  if (abort > 0 && transactional === undefined) throw usage('--abort without --transactional.', 'Give both.')
  if (abort === 1) throw usage('--abort 1 would never send anything.', 'Give a smaller share.')
  const rate = rateFlag('rate', flags.rate ?? '6667', 'records')
  const profile = readProfile(flags, rate)
  return {
    topic: flags.topic ?? 'cloud-events',
    rate,
    ...(profile !== null && { profile }),
    ...(flags.for !== undefined && { forMs: parseDuration(flags.for, '--for') }),
    ...(flags.events !== undefined && { events: wholeFlag('events', flags.events, 1) }),
    seed: flags.seed === undefined ? Math.floor(now()) : wholeFlag('seed', flags.seed, 0),
    ...(size !== undefined && { size: readSize(size) }),
    codec: choiceFlag('codec', flags.codec ?? 'snappy', codecNames),
    duplicates: shareFlag('duplicates', flags.duplicates ?? '0.001'),
    poison: shareFlag('poison', flags.poison ?? '0.0005'),
    binary: shareFlag('binary', flags.binary ?? '0'),
    tenants: wholeFlag('tenants', flags.tenants ?? '20', 1, 100_000),
    tenantSkew: numberFlag('tenant-skew', flags.tenantSkew ?? '1', 0, exponentMax),
    ...(keySkew !== undefined && { keySkew: numberFlag('key-skew', keySkew, 0, exponentMax) }),
    hotShare: shareFlag('hot', flags.hot ?? '0'),
    hotPartitions: wholeFlag('hot-partitions', flags.hotPartitions ?? '1', 1),
    idempotent,
    ...(transactional !== undefined && {
      transactionalId: transactional === true ? 'millrace-simulate' : transactional,
    }),
    abort,
    processes: wholeFlag('processes', flags.processes ?? '1', 1, 64),
    ...(partitions !== undefined && { partitions: wholeFlag('partitions', partitions, 1) }),
    replicationFactor: wholeFlag('replication', flags.replication ?? '1', 1),
    acks,
    create: flags.create === true,
    json: flags.json === true,
  }
}
