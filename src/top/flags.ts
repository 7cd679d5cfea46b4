/** The options of `millrace top`: what the help says of each, and what each text means. */
import { parseDuration } from '../core/duration.ts'
import { wrongFlag } from '../core/flag.ts'

export interface TopFlags {
  readonly at?: readonly string[]
  readonly stack?: string
  readonly every?: string
  readonly once?: boolean
  readonly json?: boolean
}

export const topFlags: readonly (readonly [flag: string, help: string, standard?: string])[] = [
  [
    '--at <addresses...>',
    'admin ports as host:port; a name that stands for several hosts is all of them (default: MILLRACE_REPLICA_ADDRESSES, else the fleet of npm start, else this machine)',
  ],
  ['--stack <name>', 'the local stack whose fleet is meant, where several run'],
  ['--every <duration>', 'how often to look', '1s'],
  ['--once', 'look for a second, print what there is, and end'],
  ['--json', 'a JSON line for each look'],
]

export interface TopOptions {
  /** Empty: to be found. */
  readonly at: readonly string[]
  readonly stack: string | null
  readonly everyMs: number
  readonly once: boolean
  readonly json: boolean
}

const everyMsMin = 200

export function readTopFlags(flags: TopFlags): TopOptions {
  const at = (flags.at ?? []).flatMap((text) => text.split(',')).map((text) => text.trim())
  const wrong = at.find((address) => parseAddress(address) === null)
  if (wrong !== undefined) throw wrongFlag('at', wrong, 'host:port, several separated by commas or spaces')
  const everyMs = parseDuration(flags.every ?? '1s', '--every')
  if (everyMs < everyMsMin) throw wrongFlag('every', flags.every ?? '', `${everyMsMin} ms or more`)
  return { at, stack: flags.stack ?? null, everyMs, once: flags.once === true, json: flags.json === true }
}

/** Also [::1]:9464; the brackets are not part of the host. */
export function parseAddress(address: string): { readonly host: string; readonly port: number } | null {
  const [, bracketed, plain, digits] = /^(?:\[([0-9a-f:.]+)\]|([\w.-]+)):(\d{1,5})$/i.exec(address) ?? []
  const port = Number(digits)
  return port >= 1 && port <= 65_535 ? { host: bracketed ?? (plain as string), port } : null
}
