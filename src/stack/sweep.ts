/** Cleans up after owners that died without stopping their stacks, and ends the servers of a stack whoever started them. */
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { FatalError } from '../core/errors.ts'
import { composeDown } from './compose.ts'
import { kafkaMarker } from './kafka.ts'
import { type Identity, isAlive, tryWithLock } from './lock.mjs'
import { observeMarkers } from './observe-programs.ts'
import { postgresMarker } from './postgres.ts'
import { redisMarker } from './redis.ts'
import { endProcess, findMarked } from './server.ts'
import { readState, type ServerName, type State, serverNames, writeState } from './state.ts'

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
  for (const identity of findMarked(observeMarkers(folder))) found.set(identity.pid, { identity, signal: 'SIGTERM' })
  return found
}

export async function endServers(folder: string, state: State | undefined): Promise<void> {
  const servers = [...findServers(folder, state).values()]
  await Promise.all(servers.map(({ identity, signal }) => endProcess(identity, signal)))
}

/** Whatever runs it, and whoever started it. */
export async function endStack(root: string, folder: string, state: State | undefined, remove: boolean): Promise<void> {
  if (state?.mode === 'docker') await composeDown(root, state.name, remove)
  await endServers(folder, state)
  if (remove) removeFolder(folder)
  else if (state) writeState(folder, { ...state, owner: null, servers: {} })
}

export function refuseIfOwned(state: State | undefined, name: string): void {
  if (!state?.owner || !isAlive(state.owner)) return
  throw new FatalError(
    'STACK_FAILED',
    `The stack ${name} belongs to process ${state.owner.pid}, which is running.`,
    'End that process first, or use another name (--name).',
  )
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
      return state?.owner && !isAlive(state.owner) ? state : undefined
    }
    if (!entry.isDirectory() || !isOrphaned()) continue
    await tryWithLock(lockPath(folder), async () => {
      const state = isOrphaned()
      if (!state) return
      await endStack(root, folder, state, state.temporary)
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
