/** Cleans up after owners that died without stopping their stacks, and ends the servers of a stack whoever started them. */
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { FatalError } from '../core/errors.ts'
import { kafkaMarker } from './kafka.ts'
import { type Identity, isAlive, tryWithLock } from './lock.mjs'
import { postgresMarker } from './postgres.ts'
import { redisMarker } from './redis.ts'
import { endProcess, findMarked } from './server.ts'
import { readState, type ServerName, type State, serverNames, stackFolder, writeState } from './state.ts'

const stopSignals: Record<ServerName, NodeJS.Signals> = { kafka: 'SIGTERM', postgres: 'SIGINT', redis: 'SIGTERM' }

export function lockPath(folder: string): string {
  return `${folder}.lock`
}

/** Everything of that stack that runs: what the state file names, and what was started just before its owner died. */
export function findServers(
  folder: string,
  state: State | undefined,
): Map<number, { identity: Identity; signal: NodeJS.Signals }> {
  const found = new Map<number, { identity: Identity; signal: NodeJS.Signals }>()
  const markers: Record<ServerName, string[]> = {
    kafka: kafkaMarker(folder),
    postgres: postgresMarker(folder),
    redis: redisMarker(folder),
  }
  for (const server of serverNames) {
    const known = state?.servers[server]
    const marked = findMarked([markers[server]])
    for (const identity of known && isAlive(known) ? [known, ...marked] : marked) {
      found.set(identity.pid, { identity, signal: stopSignals[server] })
    }
  }
  return found
}

export async function endServers(folder: string, state: State | undefined): Promise<void> {
  const servers = [...findServers(folder, state).values()]
  await Promise.all(servers.map(({ identity, signal }) => endProcess(identity, signal)))
}

/** Returns the names of the stacks that it cleaned. A stack that somebody is just working on is left to that somebody. */
export async function sweepStacks(root: string): Promise<string[]> {
  const home = join(root, '.local', 'stacks')
  const cleaned: string[] = []
  if (!existsSync(home)) return cleaned
  for (const entry of readdirSync(home, { withFileTypes: true })) {
    const folder = join(home, entry.name)
    const isOrphaned = () => {
      const state = readState(folder)
      return state?.mode === 'native' && state.owner && !isAlive(state.owner) ? state : undefined
    }
    if (!entry.isDirectory() || !isOrphaned()) continue
    await tryWithLock(lockPath(folder), async () => {
      const state = isOrphaned()
      if (!state) return
      await endServers(folder, state)
      if (state.temporary) removeFolder(folder)
      else writeState(folder, { ...state, owner: null, servers: {} })
      cleaned.push(entry.name)
    })
  }
  return cleaned
}

export function removeFolder(folder: string): void {
  try {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'EACCES' && code !== 'EPERM') throw error
    throw new FatalError(
      'STACK_FAILED',
      `${folder} holds files of another user.`,
      'Remove it as that user (it was made by root if you once ran this as root).',
      error,
    )
  }
}

export function stackNames(root: string): string[] {
  const home = join(root, '.local', 'stacks')
  return existsSync(home)
    ? readdirSync(home).filter((name) => existsSync(join(stackFolder(root, name), 'state.json')))
    : []
}
