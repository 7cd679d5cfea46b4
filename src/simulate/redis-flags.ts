/** The options of `millrace simulate redis`: what the help says of each, and what each text means. */
import { parseDuration } from '../core/duration.ts'
import { FatalError } from '../core/errors.ts'
import { rateFlag, shareFlag, wholeFlag } from '../core/flag.ts'
import { readProfile, readSize } from './flags.ts'

export interface RedisFlags {
  readonly prefix?: string
  readonly read?: string
  readonly streams?: string
  readonly rate?: string
  readonly profile?: string
  readonly peak?: string
  readonly period?: string
  readonly for?: string
  readonly events?: string
  readonly seed?: string
  readonly size?: string
  readonly pipeline?: string
  readonly groups?: string
  readonly consumers?: string
  readonly count?: string
  readonly work?: string
  readonly abandon?: string
  readonly claimIdle?: string
  readonly maxlen?: string
  readonly ttl?: string
  readonly clean?: boolean
  readonly json?: boolean
}

export const redisFlags: readonly (readonly [flag: string, help: string, standard?: string])[] = [
  ['--prefix <name>', 'streams of its own are named <name>:{0}, <name>:{1}, ...', 'millrace-sim'],
  ['--read <family>', "add nothing: groups read existing streams, say the fleet's events:payment"],
  ['--streams <n>', 'how many', '10'],
  ['--rate <n>', 'entries per second, or `max`', '5000'],
  ['--profile <name>', 'how the rate changes: constant, ramp, spike, sine or soak', 'constant'],
  ['--peak <n>', 'ramp, spike, sine: the highest rate (default: three times --rate)'],
  [
    '--period <duration>',
    'ramp: how long it rises; spike, sine: from one to the next; soak: how long it warms up',
    '20s',
  ],
  ['--for <duration>', 'stop after 30s, 5m, 1h30m'],
  ['--events <n>', 'stop after so many entries'],
  ['--seed <n>', 'the same seed makes the same events (default: the time of the start)'],
  ['--size <bytes>', 'of the data of an event and what is usual around it: 2KiB, or 200-20kB (default: about 466)'],
  ['--pipeline <n>', 'XADDs in one pipeline, at most', '100'],
  ['--groups <names>', 'consumer groups, comma-separated; `none` for none', 'payment-service'],
  ['--consumers <n>', 'consumers of each group, each with a connection of its own', '2'],
  ['--count <n>', 'entries of one XREADGROUP, at most', '100'],
  ['--work <duration>', 'how long a consumer takes for what it has read, before it acknowledges', '0s'],
  ['--abandon <share>', 'share of entries that are read and never acknowledged, until they are claimed', '0.001'],
  ['--claim-idle <duration>', 'XAUTOCLAIM takes over what has been idle for so long', '2s'],
  ['--maxlen <n>', 'trim streams to about so many entries'],
  ['--ttl <duration>', 'streams expire so long after their last entries'],
  ['--clean', 'delete what runs under this prefix have made; without --for and --events, do only that'],
  ['--json', 'one JSON line at the end'],
]

const usage = (what: string, remedy: string) => new FatalError('USAGE', what, remedy)

export function readRedisFlags(flags: RedisFlags, nowMs: number) {
  const { read, maxlen, ttl, size } = flags
  const rate = rateFlag('rate', flags.rate ?? '5000', 'entries')
  const profile = readProfile(flags, rate)
  const prefix = flags.prefix ?? 'millrace-sim'
  if (prefix === '' || /[{}*?[\]\\\s]/.test(prefix)) {
    throw usage(
      `--prefix reads '${prefix}'.`,
      'It takes a name without spaces, braces, brackets, stars and question marks.',
    )
  }
  const names = flags.groups ?? 'payment-service'
  const groups = names === 'none' ? [] : names.split(',').map((name) => name.trim())
  if (groups.some((name) => name === '') || new Set(groups).size < groups.length) {
    throw usage(`--groups reads '${names}'.`, 'It takes names, each once, separated by commas, or `none`.')
  }
  if (read !== undefined && groups.length === 0) throw usage('--read without a group reads nothing.', 'Name --groups.')
  if (read !== undefined && (maxlen !== undefined || ttl !== undefined)) {
    throw usage(
      "--read leaves streams as they are, and --maxlen and --ttl are for the simulator's own.",
      'Leave them out.',
    )
  }
  const runs = flags.for !== undefined || flags.events !== undefined
  return {
    prefix,
    ...(read !== undefined && { read }),
    streams: wholeFlag('streams', flags.streams ?? '10', 1, 10_000),
    rate,
    ...(profile !== null && { profile }),
    ...(flags.for !== undefined && { forMs: parseDuration(flags.for, '--for') }),
    ...(flags.events !== undefined && { events: wholeFlag('events', flags.events, 1) }),
    seed: flags.seed === undefined ? Math.floor(nowMs) : wholeFlag('seed', flags.seed, 0),
    ...(size !== undefined && { size: readSize(size) }),
    pipeline: wholeFlag('pipeline', flags.pipeline ?? '100', 1, 10_000),
    groups,
    consumers: wholeFlag('consumers', flags.consumers ?? '2', 1, 256),
    count: wholeFlag('count', flags.count ?? '100', 1, 10_000),
    workMs: parseDuration(flags.work ?? '0s', '--work'),
    abandon: shareFlag('abandon', flags.abandon ?? '0.001'),
    claimIdleMs: parseDuration(flags.claimIdle ?? '2s', '--claim-idle'),
    ...(maxlen !== undefined && { maxlen: wholeFlag('maxlen', maxlen, 1) }),
    ...(ttl !== undefined && { ttlMs: parseDuration(ttl, '--ttl') }),
    clean: flags.clean === true,
    onlyClean: flags.clean === true && !runs && read === undefined,
    json: flags.json === true,
  }
}

export type RedisPlan = Omit<ReturnType<typeof readRedisFlags>, 'json' | 'onlyClean'>
