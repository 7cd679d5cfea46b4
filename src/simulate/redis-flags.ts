/** The options of `millrace simulate redis`: what the help says of each, and what each text means. */
import { parseDuration } from '../core/duration.ts'
import { FatalError } from '../core/errors.ts'
import { shareFlag, wholeFlag } from '../core/flag.ts'
import { dataSizeHelp, type HelpRow, readSchedule, type ScheduleFlags, scheduleHelp } from './schedule-flags.ts'

export interface RedisFlags extends ScheduleFlags {
  readonly prefix?: string
  readonly read?: string
  readonly streams?: string
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

export const redisFlags: readonly HelpRow[] = [
  ['--prefix <name>', 'streams of its own are named <name>:{0}, <name>:{1}, ...', 'millrace-sim'],
  ['--read <family>', "add nothing: groups read existing streams, say the fleet's events:payment"],
  ['--streams <n>', 'how many', '10'],
  ...scheduleHelp('entries', '5000', dataSizeHelp),
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
  const { read, maxlen, ttl } = flags
  const schedule = readSchedule(flags, 'entries', '5000', nowMs)
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
    ...schedule,
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
