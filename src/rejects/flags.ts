/** The options of `millrace rejects ...`: what the help says of each. Light: the help is shown without loading a client. */
import { type Flag, row } from '../core/flag.ts'

const consumer = row('--consumer <name>', 'whose rejects', { standard: 'cloud-events' })
const which: readonly Flag[] = [
  consumer,
  row('--code <code>', 'why it was rejected; may be repeated', { many: true }),
  row('--since <when>', 'rejected at or after: 2026-11-21T09:30:00Z, or so long ago: 2h, 3d'),
  row('--until <when>', 'rejected before'),
  row('--topic <name>', 'the topic it came from'),
  row('--partition <n>', 'the partition it came from'),
  row('--type <type>', 'type of the event, where one could be read'),
  row('--tenant <id>', 'tenant of the event, where one could be read'),
  row('--id <id>', 'this reject; may be repeated', { many: true }),
]
const state = (allowed: string) => row('--state <state>', allowed, { standard: 'open' })
const json = row('--json', 'as JSON')
const dryRun = row('--dry-run', 'tell what would be done, which is what happens without --yes')
const yes = row('--yes', 'do it')

export const groupings = ['code', 'type', 'tenant', 'partition'] as const

export const rejectsCommands = {
  list: {
    summary: 'the newest rejects, or how many there are of each kind',
    flags: [
      ...which,
      state('open, redriving, redriven, discarded or all'),
      row('--by <what>', `counts in place of rejects: ${groupings.join(', ')}`),
      row('--limit <n>', 'so many rejects at most', { standard: '50' }),
      json,
    ],
  },
  show: {
    argument: '<id>',
    summary: 'everything about one reject: why, from where, its key, headers and value',
    flags: [row('--raw', "only the value's bytes, as they came"), json],
  },
  export: {
    summary:
      'rejects as JSON Lines, oldest first; bytes in base64, headers as pairs: enough to produce them again by hand',
    flags: [
      ...which,
      state('open, redriving, redriven, discarded or all'),
      row('--output <file>', 'into this file, which must not exist, instead of standard output'),
    ],
  },
  discard: {
    summary: 'judge rejects as not worth another attempt; their rows stay, with your reason',
    flags: [...which, row('--reason <text>', 'why; kept in the audit'), dryRun, yes, json],
  },
  redrive: {
    summary:
      'send rejects to their topic again, each once, whatever happens on the way; the fleet then judges them anew',
    flags: [
      ...which,
      state('open or discarded'),
      row('--rate <n>', 'so many records a second at most', { standard: '1000' }),
      row('--limit <n>', 'so many rejects at most'),
      row('--attempts-max <n>', 'leave out what was redriven so often already', { standard: '3' }),
      row('--resume', 'go on with the last redrive, which was interrupted, with its own filter'),
      row(
        '--in-doubt <fate>',
        "sent or open: decide for yourself, where Kafka's memory of an old, interrupted redrive is gone",
      ),
      dryRun,
      yes,
      json,
    ],
  },
} as const satisfies Record<string, { argument?: string; summary: string; flags: readonly Flag[] }>

export type RejectsAction = keyof typeof rejectsCommands
