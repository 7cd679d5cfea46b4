/** The options of `millrace replay`: what the help says of each, and what each text means. Light: the help is shown without loading a client. */
import { resolve } from 'node:path'
import { parseDuration } from '../core/duration.ts'
import { FatalError } from '../core/errors.ts'
import { choiceFlag, type Flag, rateFlag, row, wrongFlag } from '../core/flag.ts'
import {
  type HttpMode,
  type OffsetRange,
  type ReplayDescription,
  rateDefault,
  type SourceName,
  sources,
  type Target,
} from './description.ts'
import type { Speed } from './pace.ts'

export interface ReplayFlags {
  readonly consumer: string
  readonly source: string
  readonly from?: string
  readonly to?: string
  readonly offsets?: readonly string[]
  readonly type?: readonly string[]
  readonly tenant?: readonly string[]
  readonly subject?: readonly string[]
  readonly eventSource?: readonly string[]
  readonly key?: readonly string[]
  readonly jsonpath?: string
  readonly into: string
  readonly format: string
  readonly httpMode: string
  readonly speed?: string
  readonly rate?: string
  readonly id?: string
  readonly dryRun?: boolean
  readonly resume?: string
  readonly discard?: string
  readonly list?: boolean
  readonly json?: boolean
}

export const replayFlags: readonly Flag[] = [
  row('--consumer <name>', 'whose topic and table', { standard: 'cloud-events' }),
  row(
    '--source <name>',
    'postgres: what is stored; kafka: what Kafka still holds; auto: what is stored, and from Kafka what is not yet',
    {
      standard: 'auto',
    },
  ),
  row('--from <when>', 'events of this time or later: 2026-11-21T09:30:00Z, 2026-11-21, so long ago (2h, 3d), or now'),
  row('--to <when>', 'events before this time; without it, all there are when the replay begins'),
  row(
    '--offsets <range>',
    'with --source kafka, in place of times: partition:from-to, say 3:100-200, 3:100- or 3; may be repeated',
    {
      many: true,
    },
  ),
  row('--type <type>', 'only this type; a * at the end stands for anything; may be repeated', { many: true }),
  row('--tenant <id>', 'only this tenant (the extension tenantid); may be repeated', { many: true }),
  row('--subject <subject>', 'only this subject, * as above; may be repeated', { many: true }),
  row('--event-source <source>', 'only this CloudEvents source, * as above; may be repeated', { many: true }),
  row('--key <key>', 'with --source kafka: only this key of the record; may be repeated', { many: true }),
  row(
    '--jsonpath <path>',
    "only where this finds something in data: '$.amount > 100'; PostgreSQL judges it, from any source",
  ),
  row(
    '--into <target>',
    'stdout, file:PATH, redis:replay:NAME (a stream), kafka:TOPIC, table:NAME, or http://... (a webhook)',
    { standard: 'stdout' },
  ),
  row('--format <format>', 'of a file: jsonl, or batch (one JSON array, as CloudEvents batches are)', {
    standard: 'jsonl',
  }),
  row('--http-mode <mode>', 'of a webhook: binary, structured or batch', { standard: 'structured' }),
  row('--speed <speed>', 'max, real (as far apart as they were), a factor such as 10x or 0.5x, or step (default: max)'),
  row(
    '--rate <n>',
    `so many events a second at most, for the live flow lives on the same servers, and fewer while the cores of this machine are full; max: no limit (default: ${rateDefault})`,
  ),
  row('--id <id>', 'what the extension replayid says (default: a new one)'),
  row('--dry-run', 'tell how many events and bytes it would be, and end'),
  row('--resume <id>', 'go on with a replay that was interrupted; --speed and --rate may be others'),
  row('--discard <id>', 'give an interrupted replay up: its unfinished file goes, its target is free'),
  row('--list', 'the replays there are, and how far they came'),
  row('--json', 'the result as one JSON line (on standard error, where events go to standard output)'),
]

export const replayHelp = `
  millrace replay --from 2h --type 'com.bss.order.*' --dry-run                   how much would it be
  millrace replay --from 2h --type 'com.bss.order.*' --into file:orders.jsonl
  millrace replay --from 2d --to 1d --speed 10x --into redis:replay:yesterday

A replay goes to its end or can be gone on with: kill it, and --resume <id> continues behind the last event that is safe. Into a stream of Redis, a table
or a file each event comes exactly once; to Kafka, a webhook or standard output the last second may come again, under the same ids.
Every event bears its replay in the extension replayid. Live consumers' offsets and marks are neither read nor moved.

On a terminal: space pauses and goes on, + and - double and halve the speed, 1 is real time, m as fast as it can, s one event, > and < a minute ahead
and back (back where an event may come twice), q ends.

Exit codes: 0 everything was replayed, 1 it failed or was interrupted (the last line says how to go on), 2 the command line is wrong.
`

/** 2026-11-21T09:30:00Z, 2026-11-21, 2h, now. */
export function readWhen(option: string, text: string, nowMs: number): number {
  if (text === 'now') return nowMs
  if (/^\d{4}-\d{2}-\d{2}$/.test(text) || /^\d{4}-\d{2}-\d{2}[Tt ].*([Zz]|[+-]\d{2}:\d{2})$/.test(text)) {
    const ms = Date.parse(text.length === 10 ? `${text}T00:00:00Z` : text)
    if (!Number.isNaN(ms)) return ms
  } else if (/^[\d.]+(ms|[dhms])/i.test(text)) return nowMs - parseDuration(text, `--${option}`)
  throw wrongFlag(
    option,
    text,
    'a time with its zone such as 2026-11-21T09:30:00Z, a day, how long ago (2h, 3d), or now',
  )
}

export function readSpeed(text: string): Speed {
  const trimmed = text.trim().toLowerCase()
  if (trimmed === 'max' || trimmed === 'step') return trimmed
  if (trimmed === 'real') return 1
  const [, factor] = /^(-?\d+(?:\.\d+)?)x?$/.exec(trimmed) ?? []
  const speed = Number(factor)
  if (factor === undefined || !(speed > 0 && speed <= 1e6))
    throw wrongFlag('speed', text, 'max, real, a factor above 0 such as 10x or 0.5x, or step')
  return speed
}

export function readRate(text: string): number | null {
  const rate = rateFlag('rate', text, 'events')
  return rate === Number.POSITIVE_INFINITY ? null : rate
}

export function readOffsets(text: string): OffsetRange {
  const [, partition, range, from, to] = /^(\d{1,7})(:(\d{0,15})-(\d{0,15}))?$/.exec(text.trim()) ?? []
  if (partition === undefined) throw wrongFlag('offsets', text, 'partition:from-to, say 3:100-200, 3:100- or 3')
  const offset = (digits: string | undefined) => (range === undefined || digits === '' ? null : Number(digits))
  return { partition: Number(partition), from: offset(from), to: offset(to) }
}

/** What is not passed over: an option that would change nothing. Of a new replay all options hold. */
export function checkTogether(flags: ReplayFlags): void {
  const [action, other] = (['resume', 'discard', 'list'] as const).filter((name) => flags[name] ?? false)
  if (action === undefined) return
  const remedy = action === 'resume' ? 'It goes on as it was begun; --speed and --rate may be others.' : 'Leave it out.'
  if (other !== undefined) throw new FatalError('USAGE', `--${other} does not go with --${action}.`, 'Choose one.')
  const allowed = [action, 'json', ...(action === 'resume' ? ['speed', 'rate'] : [])]
  for (const { flag, standard } of replayFlags) {
    const option = (flag.split(' ', 1)[0] as string).slice(2)
    const name = option.replaceAll(/-(\w)/g, (_, letter: string) => letter.toUpperCase())
    const given = flags[name as keyof ReplayFlags]
    if (allowed.includes(option) || given === undefined || given === standard) continue
    throw new FatalError('USAGE', `--${option} does not go with --${action}.`, remedy)
  }
}

/** A file is meant as seen from `directory`, also when it is gone on with from elsewhere. */
export function readTarget(
  { into, format, httpMode }: Pick<ReplayFlags, 'into' | 'format' | 'httpMode'>,
  directory: string,
): Target {
  if (into === 'stdout' || into === '-') return { kind: 'stdout' }
  if (/^https?:\/\//i.test(into))
    return {
      kind: 'webhook',
      url: into,
      mode: choiceFlag<HttpMode>('http-mode', httpMode, ['binary', 'structured', 'batch']),
    }
  const [, kind, name = ''] = /^(file|redis|kafka|table):(.*)$/s.exec(into) ?? []
  if (kind === 'file')
    return {
      kind,
      path: name === '' ? '' : resolve(directory, name),
      format: choiceFlag('format', format, ['jsonl', 'batch']),
    }
  if (kind === 'redis') return { kind, stream: name }
  if (kind === 'kafka') return { kind, topic: name }
  if (kind === 'table') return { kind, table: name }
  throw wrongFlag('into', into, 'stdout, file:PATH, redis:replay:NAME, kafka:TOPIC, table:NAME, or a URL of http')
}

export function readDescription(
  flags: ReplayFlags,
  { id, nowMs, directory }: { readonly id: string; readonly nowMs: number; readonly directory: string },
): ReplayDescription {
  if (flags.from !== undefined && flags.from === flags.to) {
    throw new FatalError('USAGE', `--from and --to are both ${flags.from}.`, 'The range is empty: --to is exclusive.')
  }
  const target = readTarget(flags, directory)
  if (flags.format !== 'jsonl' && target.kind !== 'file')
    throw new FatalError('USAGE', '--format is of a file.', 'Leave it out, or name a file: --into file:events.json.')
  if (flags.httpMode !== 'structured' && target.kind !== 'webhook')
    throw new FatalError(
      'USAGE',
      '--http-mode is of a webhook.',
      'Leave it out, or name a URL: --into http://host/path.',
    )
  return {
    id: flags.id ?? id,
    consumer: flags.consumer,
    source: choiceFlag<SourceName>('source', flags.source, sources),
    fromMs: flags.from === undefined ? null : readWhen('from', flags.from, nowMs),
    toMs: flags.to === undefined ? null : readWhen('to', flags.to, nowMs),
    offsets: (flags.offsets ?? []).map(readOffsets),
    select: {
      types: flags.type ?? [],
      tenants: flags.tenant ?? [],
      subjects: flags.subject ?? [],
      sources: flags.eventSource ?? [],
      keys: flags.key ?? [],
      jsonpath: flags.jsonpath ?? null,
    },
    target,
    speed: readSpeed(flags.speed ?? 'max'),
    ratePerSecond: readRate(flags.rate ?? String(rateDefault)),
  }
}
