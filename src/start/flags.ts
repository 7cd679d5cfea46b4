/** The options of `millrace start`: what the help says of each, and what each text means. */
import { parseDuration } from '../core/duration.ts'
import { FatalError } from '../core/errors.ts'
import { rateFlag, shareFlag, wholeFlag, wrongFlag } from '../core/flag.ts'
import { type Pace, paces } from '../stack/observe-config.ts'

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
  readonly observe?: boolean
  readonly json?: boolean
  readonly keep?: boolean
  readonly fresh?: boolean
  readonly pagePort?: string
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
  ['--page-port <n>', 'where the fleet page is served on this machine (default: 4680, or any that is free)'],
  ['--observe', 'Prometheus and Alertmanager beside the fleet; alerts are shown as they come'],
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
  /** null: nobody watches but we. */
  readonly observe: Pace | null
  readonly json: boolean
  /** null: as is usual. */
  readonly fresh: boolean | null
  /** null: the usual one, or any that is free. */
  readonly pagePort: number | null
}

export function readStartFlags(flags: StartFlags, nowMs: number): StartOptions {
  if (flags.keep && flags.fresh) {
    throw new FatalError('USAGE', '--keep and --fresh are both given.', 'Choose one of them.')
  }
  return {
    forMs: flags.for === undefined ? null : positiveDuration(flags.for),
    rate: rateFlag('rate', flags.rate ?? '6667', 'events'),
    replicas: wholeFlag('replicas', flags.replicas ?? '2', 1, 64),
    partitions: wholeFlag('partitions', flags.partitions ?? '100', 1, 10_000),
    seed: flags.seed === undefined ? Math.floor(nowMs) : wholeFlag('seed', flags.seed, 0, Number.MAX_SAFE_INTEGER),
    duplicates: shareFlag('duplicates', flags.duplicates ?? '0.001'),
    poison: shareFlag('poison', flags.poison ?? '0.0005'),
    binary: shareFlag('binary', flags.binary ?? '0'),
    observe: flags.observe === true ? paces.usual : null,
    json: flags.json === true,
    fresh: flags.keep ? false : flags.fresh ? true : null,
    pagePort: flags.pagePort === undefined ? null : wholeFlag('page-port', flags.pagePort, 0, 65_535),
  }
}

function positiveDuration(text: string): number {
  const ms = parseDuration(text, '--for')
  if (ms < 1000) throw wrongFlag('for', text, 'a second or more')
  return ms
}
