/** The options of `millrace simulate postgres`: what the help says of each, and what each text means. */
import { FatalError } from '../core/errors.ts'
import { rateFlag, wholeFlag } from '../core/flag.ts'
import { dataSizeHelp, type HelpRow, readSchedule, type ScheduleFlags, scheduleHelp } from './schedule-flags.ts'

export interface PostgresFlags extends ScheduleFlags {
  readonly schema?: string
  readonly read?: string
  readonly workers?: string
  readonly batch?: string
  readonly days?: string
  readonly readers?: string
  readonly reads?: string
  readonly mix?: string
  readonly clean?: boolean
  readonly json?: boolean
}

export const postgresFlags: readonly HelpRow[] = [
  ['--schema <name>', 'works in a schema of its own, with the tables of this version', 'millrace_sim'],
  ['--read <table>', "store nothing: queries read an existing table, say the fleet's public.cloud_events"],
  ...scheduleHelp('events', '5000', dataSizeHelp),
  ['--workers <n>', 'connections that COPY, each straight into the partitions of the days', '2'],
  ['--batch <n>', 'rows of one transaction, at most; it takes what is due', '5000'],
  ['--days <n>', 'days, back from today, that the events are spread over', '1'],
  ['--readers <n>', 'connections that read', '2'],
  ['--reads <n>', 'queries per second, all readers together; 0 for none', '50'],
  ['--mix <weights>', 'how often by key, by type and time, and the last of a subject', '5:3:2'],
  ['--clean', 'drop the schema at the end; without --for and --events, do only that'],
  ['--json', 'one JSON line at the end'],
]

const usage = (what: string, remedy: string) => new FatalError('USAGE', what, remedy)

function readMix(text: string): readonly [key: number, time: number, last: number] {
  const weights = text.split(':').map(Number)
  const [key = Number.NaN, time = Number.NaN, last = Number.NaN] = weights
  if (weights.length !== 3 || weights.some((weight) => !(weight >= 0)) || !(key + time + last > 0)) {
    throw usage(`--mix reads '${text}'.`, 'It takes three weights like 5:3:2, not all of them zero.')
  }
  return [key, time, last]
}

export function readPostgresFlags(flags: PostgresFlags, nowMs: number) {
  const { read } = flags
  const schedule = readSchedule(flags, 'events', '5000', nowMs)
  const schema = flags.schema ?? 'millrace_sim'
  if (!/^[a-z_][a-z0-9_]{0,40}$/.test(schema)) {
    throw usage(`--schema reads '${schema}'.`, 'It takes a name of lower-case letters, digits and underscores.')
  }
  const reads = flags.reads === '0' ? 0 : rateFlag('reads', flags.reads ?? '50', 'queries')
  if (reads === Number.POSITIVE_INFINITY) throw usage('--reads max has no schedule.', 'Give a number.')
  if (read !== undefined && reads === 0) throw usage('--read without --reads does nothing.', 'Give --reads a rate.')
  const runs = flags.for !== undefined || flags.events !== undefined
  return {
    schema,
    ...(read !== undefined && { read }),
    ...schedule,
    workers: wholeFlag('workers', flags.workers ?? '2', 1, 64),
    batch: wholeFlag('batch', flags.batch ?? '5000', 1, 100_000),
    days: wholeFlag('days', flags.days ?? '1', 1, 400),
    readers: wholeFlag('readers', flags.readers ?? '2', 1, 64),
    reads,
    mix: readMix(flags.mix ?? '5:3:2'),
    clean: flags.clean === true,
    onlyClean: flags.clean === true && !runs && read === undefined,
    json: flags.json === true,
  }
}

export type PostgresPlan = Omit<ReturnType<typeof readPostgresFlags>, 'json' | 'onlyClean'>
