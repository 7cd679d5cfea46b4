/**
 * Where the replicas are, asked again and again, for they come and go: the addresses that somebody gave, each name looked up anew (a service of
 * Kubernetes without an address of its own stands for all its pods), or what the fleet of `npm start` on this machine has left.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { readFleet } from '../stack/fleet.ts'
import { stackFolder } from '../stack/state.ts'
import { parseAddress } from './flags.ts'

export interface Found {
  readonly name: string
  readonly adminUrl: string
}

export interface Finder {
  /** For people: where it looks. */
  readonly where: string
  find(): Promise<readonly Found[]>
}

/** All addresses of a host, in words; throws when there are none. */
export type Lookup = (host: string) => Promise<readonly { readonly address: string; readonly family: number }[]>

export interface FinderOptions {
  readonly at: readonly string[]
  readonly root: string
  readonly stack: string | null
  /** Of a replica on this machine, by the settings. */
  readonly usualPort: number
  readonly lookup: Lookup
  readonly now: () => number
}

const lookupMs = 5000

export function openFinder(options: FinderOptions): Finder {
  const { at, root, stack, usualPort } = options
  if (at.length > 0) return findByAddress(at, options)
  const name = stack ?? runningStack(root)
  if (name !== null) {
    const folder = stackFolder(root, name)
    return { where: `the local fleet '${name}'`, find: async () => readFleet(folder)?.replicas ?? [] }
  }
  return findByAddress([`127.0.0.1:${usualPort}`], options)
}

/** `default` before others. */
function runningStack(root: string): string | null {
  const running = stacks(root).filter((name) => readFleet(stackFolder(root, name)) !== null)
  return running.includes('default') ? 'default' : (running[0] ?? null)
}

function stacks(root: string): string[] {
  try {
    return readdirSync(join(root, '.local', 'stacks')).sort()
  } catch {
    return []
  }
}

function findByAddress(at: readonly string[], { lookup, now }: FinderOptions): Finder {
  const known = new Map<string, readonly string[]>()
  let askedMs = Number.NEGATIVE_INFINITY
  return {
    where: at.join(', '),
    async find() {
      if (now() - askedMs >= lookupMs) {
        askedMs = now()
        await Promise.all(
          at.map(async (address) => {
            // A name server that is away for a moment takes nobody off the list.
            known.set(address, await resolve(address, lookup).catch(() => known.get(address) ?? [address]))
          }),
        )
      }
      return [...new Set(at.flatMap((address) => known.get(address) ?? []))].map((name) => ({
        name,
        adminUrl: `http://${name}`,
      }))
    },
  }
}

/** One machine has often an address of each family; it is still one machine. */
async function resolve(address: string, lookup: Lookup): Promise<string[]> {
  const { host, port } = parseAddress(address) ?? { host: address, port: 0 }
  const all = await lookup(host)
  const four = all.filter(({ family }) => family === 4)
  const chosen = four.length > 0 ? four : all
  return chosen.map((one) => (one.family === 6 ? `[${one.address}]:${port}` : `${one.address}:${port}`)).sort()
}
