/**
 * Where the run's servers are: whatever the settings name is used as it is, and what they leave open is started as the local stack. Data is only ever
 * deleted of servers that were started here.
 */
import { FatalError } from '../core/errors.ts'
import type { Settings } from '../core/settings.ts'
import { hidePassword } from '../core/settings-kinds.ts'
import { loadSettings } from '../process/load-settings.ts'
import { isAlive } from '../stack/lock.mjs'
import { type Stack, type StackOptions, startStack } from '../stack/stack.ts'
import { readState, type ServerName, stackFolder } from '../stack/state.ts'

export interface ServersOptions {
  readonly root: string
  readonly stackName: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly directory: string
  readonly cores: number
  readonly fresh: boolean | null
  readonly stack?: Partial<StackOptions>
}

export interface Servers {
  readonly settings: Settings
  /** For the replicas, over the environment of this process. */
  readonly env: Readonly<Record<string, string>>
  readonly addresses: readonly (readonly [name: string, address: string])[]
  /** Whether everything in them was made by this run. */
  readonly empty: boolean
  /** None of them is local. */
  readonly foreign: boolean
  /** Of the local ones. */
  readonly pids: Partial<Record<ServerName, number>>
  stop(): Promise<void>
}

const variables = { kafka: 'MILLRACE_KAFKA', postgres: 'MILLRACE_POSTGRES', redis: 'MILLRACE_REDIS' } as const

export async function openServers(options: ServersOptions): Promise<Servers> {
  const { root, stackName, directory, cores } = options
  const given = loadSettings({ env: options.env, directory, cores, needs: [] })
  const isGiven = {
    kafka: given.settings.kafkaBrokers.length > 0,
    postgres: given.settings.postgresUrl !== '',
    // `off` is an answer too.
    redis: given.origins.redisUrls !== 'default',
  }
  const local = (['kafka', 'postgres', 'redis'] as const).filter((server) => !isGiven[server])
  const foreign = local.length === 0
  if (options.fresh === true && local.length < 3) {
    throw new FatalError(
      'USAGE',
      '--fresh would delete data of servers that the settings name.',
      'Leave --fresh out, or unset MILLRACE_KAFKA, MILLRACE_POSTGRES and MILLRACE_REDIS to run on local servers.',
    )
  }
  let stack: Stack | null = null
  let empty = false
  if (!foreign) {
    const fresh = options.fresh ?? (local.length === 3 && !isUp(root, stackName))
    stack = await startStack({ ...options.stack, root, name: stackName, servers: local, fresh })
    empty = fresh
  }
  const env = Object.fromEntries(local.map((server) => [variables[server], (stack as Stack)[server]]))
  const { settings } = loadSettings({ env: { ...options.env, ...env }, directory, cores })
  return {
    settings,
    env,
    addresses: addressesOf(settings, isGiven),
    empty,
    foreign,
    get pids() {
      return stack?.pids ?? {}
    },
    stop: async () => {
      await stack?.stop()
    },
  }
}

/** Left running by `millrace stack up`: somebody's, and not to be emptied unasked. */
function isUp(root: string, name: string): boolean {
  const state = readState(stackFolder(root, name))
  return state?.owner === null && Object.values(state.servers).some((server) => isAlive(server))
}

/** To be copied into psql and redis-cli: the local servers' whole, somebody's own without the password. */
function addressesOf(settings: Settings, isGiven: Readonly<Record<ServerName, boolean>>): [string, string][] {
  const redis = settings.redisUrls.map((url) => (isGiven.redis ? hidePassword(url) : url)).join(',')
  return [
    ['kafka', settings.kafkaBrokers.join(',')],
    ['redis', redis === '' ? 'off' : redis],
    ['postgres', isGiven.postgres ? hidePassword(settings.postgresUrl) : settings.postgresUrl],
  ]
}
