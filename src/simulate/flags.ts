/** The options of `millrace simulate kafka`: what the help says of each, and what each text means. Light: the help is shown without loading a client. */
import { FatalError } from '../core/errors.ts'
import { choiceFlag, numberFlag, shareFlag, wholeFlag } from '../core/flag.ts'
import { type HelpRow, readSchedule, type ScheduleFlags, scheduleHelp } from './schedule-flags.ts'

const codecNames = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const

/** As the command line has them: text, checked here. The names are those of the options. */
export interface SimulateFlags extends ScheduleFlags {
  readonly topic?: string
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
export const simulateFlags: readonly HelpRow[] = [
  ['--topic <name>', 'the topic to send to', 'cloud-events'],
  ...scheduleHelp(
    'records',
    '6667',
    'of an event: 2KiB, or 200-20kB for all sizes between, small ones more often (default: about 466)',
  ),
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
const exponentMax = 5

/** Every flag checked, with its default; throws USAGE. */
export function readFlags(flags: SimulateFlags, now: () => number) {
  const { partitions, transactional, keySkew } = flags
  const acks = Number(choiceFlag('acks', flags.acks ?? '-1', ['-1', '0', '1'])) as -1 | 0 | 1
  const idempotent = flags.idempotent === true || transactional !== undefined
  if (idempotent && acks !== -1) {
    throw usage(`An idempotent producer waits for all replicas, and --acks reads '${flags.acks}'.`, 'Leave --acks out.')
  }
  const abort = shareFlag('abort', flags.abort ?? '0')
  if (abort > 0 && transactional === undefined) throw usage('--abort without --transactional.', 'Give both.')
  if (abort === 1) throw usage('--abort 1 would never send anything.', 'Give a smaller share.')
  const schedule = readSchedule(flags, 'records', '6667', now())
  return {
    topic: flags.topic ?? 'cloud-events',
    ...schedule,
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
