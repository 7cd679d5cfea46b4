/** The options that every simulator has: when events are due, how many, which, and how large. */
import { parseDuration } from '../core/duration.ts'
import { FatalError } from '../core/errors.ts'
import { bytesFlag, choiceFlag, numberFlag, rateFlag, wholeFlag } from '../core/flag.ts'
import { type ProfileName, type ProfilePlan, profileNames } from './profile.ts'

export interface ScheduleFlags {
  readonly rate?: string
  readonly profile?: string
  readonly peak?: string
  readonly period?: string
  readonly for?: string
  readonly events?: string
  readonly seed?: string
  readonly size?: string
}

/** What a simulator's help says of one option; `standard` is its default. */
export type HelpRow = readonly [flag: string, help: string, standard?: string]

/** `things` are what the simulator makes: records, entries, events. */
export const scheduleHelp = (things: string, rate: string, size: string): readonly HelpRow[] => [
  ['--rate <n>', `${things} per second, or \`max\``, rate],
  ['--profile <name>', 'how the rate changes: constant, ramp, spike, sine or soak', 'constant'],
  ['--peak <n>', 'ramp, spike, sine: the highest rate (default: three times --rate)'],
  [
    '--period <duration>',
    'ramp: how long it rises; spike, sine: from one to the next; soak: how long it warms up',
    '20s',
  ],
  ['--for <duration>', 'stop after 30s, 5m, 1h30m'],
  ['--events <n>', `stop after so many ${things}`],
  ['--seed <n>', 'the same seed makes the same events (default: the time of the start)'],
  ['--size <bytes>', size],
]

/** Of the stores that know no records. */
export const dataSizeHelp =
  'of the data of an event and what is usual around it: 2KiB, or 200-20kB (default: about 466)'

const usage = (what: string, remedy: string) => new FatalError('USAGE', what, remedy)
const rateMax = 10_000_000

export function readSchedule(flags: ScheduleFlags, things: string, standardRate: string, nowMs: number) {
  const rate = rateFlag('rate', flags.rate ?? standardRate, things)
  const profile = readProfile(flags, rate)
  return {
    rate,
    ...(profile !== null && { profile }),
    ...(flags.for !== undefined && { forMs: parseDuration(flags.for, '--for') }),
    ...(flags.events !== undefined && { events: wholeFlag('events', flags.events, 1) }),
    seed: flags.seed === undefined ? Math.floor(nowMs) : wholeFlag('seed', flags.seed, 0),
    ...(flags.size !== undefined && { size: readSize(flags.size) }),
  }
}

/** Null for a constant rate, which needs none. */
function readProfile(flags: ScheduleFlags, rate: number): ProfilePlan | null {
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

function readSize(text: string): [number, number] {
  const [low, high = low] = text.split('-', 2) as [string, string?]
  const range = [bytesFlag('size', low, 150, 900_000), bytesFlag('size', high, 150, 900_000)] as [number, number]
  if (range[0] > range[1]) throw usage(`--size reads '${text}'.`, 'Write the smaller size first.')
  return range
}
