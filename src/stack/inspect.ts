/** What runs of a stack, and where; changes nothing. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { runningServices } from './compose.ts'
import { isAlive } from './lock.mjs'
import { postgresUrl } from './postgres.ts'
import { run } from './run.ts'
import { readState, type ServerName, type State, serverNames, stackFolder } from './state.ts'

export type ServerStatus = {
  running: boolean
  /** As its MILLRACE_ setting wants it; empty when it never ran. */
  address: string
  pid?: number
  dataBytes?: number
  log: string
}

export type StackStatus = {
  name: string
  mode: State['mode']
  /** The pid of the process that the stack ends with. */
  owner: number | null
  servers: Record<ServerName, ServerStatus>
}

export async function inspectStack(root: string, name: string): Promise<StackStatus> {
  const folder = stackFolder(root, name)
  const state = readState(folder)
  const mode = state?.mode ?? 'native'
  const services = mode === 'docker' ? await runningServices(root, name) : undefined
  const status = async (server: ServerName): Promise<ServerStatus> => {
    const identity = state?.servers[server]
    const running = services ? services.has(server) : isAlive(identity)
    const dataBytes = await sizeOf(join(folder, server))
    return {
      running,
      address: addressOf(server, state),
      ...(running && identity ? { pid: identity.pid } : {}),
      ...(dataBytes === undefined ? {} : { dataBytes }),
      log: join(folder, `${server}.log`),
    }
  }
  const [kafka, postgres, redis] = await Promise.all(serverNames.map(status))
  return {
    name,
    mode,
    owner: state?.owner && isAlive(state.owner) ? state.owner.pid : null,
    servers: { kafka: kafka!, postgres: postgres!, redis: redis! },
  }
}

export function addressOf(server: ServerName, state: Pick<State, 'ports'> | undefined): string {
  const port = state?.ports[server]
  if (port === undefined) return ''
  if (server === 'kafka') return `127.0.0.1:${port}`
  return server === 'postgres' ? postgresUrl(port) : `redis://127.0.0.1:${port}`
}

async function sizeOf(folder: string): Promise<number | undefined> {
  if (!existsSync(folder)) return undefined
  const kilobytes = Number.parseInt((await run('du', ['-sk', folder])).out, 10)
  return Number.isNaN(kilobytes) ? undefined : kilobytes * 1024
}
