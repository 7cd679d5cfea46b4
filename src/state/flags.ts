/** The options of `millrace state ...`: what the help says of each. */
import type { Flag } from '../core/flag.ts'

export type StateAction = 'show' | 'timeline' | 'diff' | 'snapshot' | 'snapshots' | 'restore' | 'debug'

export interface StateFlags {
  readonly consumer: string
  readonly reducer?: string
  readonly at?: string
  readonly from?: string
  readonly to?: string
  readonly known?: string
  readonly full?: boolean
  readonly states?: boolean
  readonly limit?: string
  readonly after?: string
  readonly check?: boolean
  readonly drop?: boolean
  readonly yes?: boolean
  readonly type?: readonly string[]
  readonly break?: readonly string[]
  readonly json?: boolean
}

const time = '2026-11-21T09:30:00Z, a date, how long ago (2h), or now'
const consumer: Flag = { flag: '--consumer <name>', help: 'whose table of events', standard: 'cloud-events' }
const reducer: Flag = {
  flag: '--reducer <name>',
  help: 'a file of reducers/; by default the one whose subjects begin like this',
}
const known: Flag = {
  flag: '--known <time>',
  help: 'what was known then: only events that were stored by that time. Uses no snapshot',
}
const json: Flag = { flag: '--json', help: 'as one JSON value' }

/** Told below the help of every command. */
export const stateNotes = `
Events count in the order of their own time, then of their key. A sealed day finds a subject by its index.
A day that is not sealed (today, and the last one until sealAfterHours) has none: all its rows are read, which
takes as long as it takes; the command says how many before it does. docs/state.md says what helps.`

export const stateCommands: readonly {
  readonly action: StateAction
  readonly usage: string
  readonly description: string
  readonly flags: readonly Flag[]
}[] = [
  {
    action: 'show',
    usage: 'show <subject>',
    description: 'what a subject was at an instant, from its events up to and with it',
    flags: [
      { flag: '--at <time>', help: time, standard: 'now' },
      known,
      { flag: '--full', help: 'fold all events, use no snapshot' },
      reducer,
      consumer,
      json,
    ],
  },
  {
    action: 'timeline',
    usage: 'timeline <subject>',
    description: 'the events of a subject, in order',
    flags: [
      { flag: '--from <time>', help: `${time}; by default from the beginning` },
      { flag: '--to <time>', help: time, standard: 'now' },
      { flag: '--states', help: 'with what each event changed; with --json the state before and after it' },
      { flag: '--limit <n>', help: 'so many', standard: '100' },
      { flag: '--after <place>', help: 'go on where the page before ended, as it says' },
      known,
      reducer,
      consumer,
      json,
    ],
  },
  {
    action: 'diff',
    usage: 'diff <subject>',
    description: 'what changed in a subject between two instants',
    flags: [
      { flag: '--from <time>', help: `${time} (required)` },
      { flag: '--to <time>', help: time, standard: 'now' },
      known,
      reducer,
      consumer,
      json,
    ],
  },
  {
    action: 'snapshot',
    usage: 'snapshot <subject...>',
    description: 'keep what subjects were at an instant, so that later questions need only the events behind it',
    flags: [{ flag: '--at <time>', help: time, standard: 'now' }, reducer, consumer, json],
  },
  {
    action: 'snapshots',
    usage: 'snapshots [subject]',
    description: 'list snapshots, newest first, and whether each still has all events up to its instant',
    flags: [
      { flag: '--check', help: 'compare each with a fold of all its events; exit 1 when one is wrong' },
      {
        flag: '--drop',
        help: 'tell which are of no use: late, or of a reducer that has changed; with --yes drop them',
      },
      { flag: '--yes', help: 'do it' },
      { flag: '--limit <n>', help: 'so many', standard: '100' },
      consumer,
      json,
    ],
  },
  {
    action: 'restore',
    usage: 'restore <subject>',
    description: 'give back the newest snapshot up to an instant, as it was kept, also of days that are gone',
    flags: [
      { flag: '--at <time>', help: time, standard: 'now' },
      { flag: '--check', help: 'compare it with a fold of all its events first' },
      reducer,
      consumer,
      json,
    ],
  },
  {
    action: 'debug',
    usage: 'debug [subject]',
    description:
      'step through the events of a subject, or of all in a range, with the state before and after each: by keys at a terminal, else as text or JSON lines',
    flags: [
      { flag: '--from <time>', help: `${time}; by default from the beginning, which takes a subject` },
      { flag: '--to <time>', help: time, standard: 'now' },
      { flag: '--type <type>', help: 'events of this type only; may be repeated', many: true },
      {
        flag: '--break <what>',
        help: 'stop at type:com.bss.order.*, subject:ord_1, or a condition: "data.amount > 100 and after.status changes"; may be repeated',
        many: true,
      },
      { flag: '--limit <n>', help: 'so many at most, where there is no terminal', standard: '1000' },
      reducer,
      consumer,
      { flag: '--json', help: 'a JSON value a line' },
    ],
  },
]
