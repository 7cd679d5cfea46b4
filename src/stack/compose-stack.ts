/** A stack whose servers are containers, as the same object that native servers make. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { composeDown, composeStop, composeUp, composeWords, runningServices } from './compose.ts'
import { addressOf } from './inspect.ts'
import { identify } from './lock.mjs'
import { choosePorts } from './ports.ts'
import type { Stack, StackOptions } from './stack.ts'
import { readState, type ServerName, type State, serverNames, stackFolder, writeState } from './state.ts'
import { removeFolder } from './sweep.ts'
import { startWatchdog } from './watchdog.ts'

/** Under the stack's lock. */
export async function startComposeStack(options: StackOptions): Promise<Stack> {
  const { root, name, signal } = options
  const onProgress = options.onProgress ?? (() => {})
  const asked = options.servers ?? serverNames
  const folder = stackFolder(root, name)
  const before = readState(folder)
  const running = before?.mode === 'docker' ? await runningServices(root, name) : new Set<ServerName>()
  const adopted = before?.owner === null && running.size > 0
  if (before?.mode === 'docker' && (options.fresh || !adopted)) await composeDown(root, name, options.fresh ?? false)
  if (options.fresh) removeFolder(folder)
  mkdirSync(folder, { recursive: true })

  const detached = options.detached || adopted
  const ports = await choosePorts(
    name,
    serverNames,
    before,
    options.ports ?? {},
    (server) => adopted && running.has(server),
  )
  const state: State = {
    version: 1,
    name,
    mode: 'docker',
    owner: detached ? null : (identify(process.pid) ?? null),
    temporary: options.temporary ?? false,
    ports,
    servers: {},
  }
  writeState(folder, state)
  const watchdog = detached ? undefined : startWatchdog()
  watchdog?.run(composeWords(root, name, ['down']))
  const settings = { kafka: options.kafka ?? {}, postgres: options.postgres ?? {}, redis: options.redis ?? {} }
  const up = (servers: readonly ServerName[]) =>
    composeUp({
      root,
      name,
      servers,
      ports: ports as Required<typeof ports>,
      settings,
      onLine: (text) => onProgress({ part: 'Docker', text, done: false }),
      signal,
    })
  const down = async (remove: boolean) => {
    await composeDown(root, name, remove)
    writeState(folder, { ...state, owner: null })
    if (remove) removeFolder(folder)
    watchdog?.done()
  }
  try {
    await up(asked)
  } catch (error) {
    await down(state.temporary).catch(() => {})
    throw error
  }
  onProgress({ part: 'Docker', text: `${asked.join(', ')} answer`, done: true })

  let stopping: Promise<void> | undefined
  const stop = () => {
    stopping ??= detached ? Promise.resolve() : down(state.temporary)
    return stopping
  }
  const stopServer: Stack['stopServer'] = (server, how = {}) => composeStop(root, name, server, how.signal)
  return {
    name,
    folder,
    kafka: addressOf('kafka', state),
    postgres: addressOf('postgres', state),
    redis: addressOf('redis', state),
    logs: {
      kafka: join(folder, 'kafka.log'),
      postgres: join(folder, 'postgres.log'),
      redis: join(folder, 'redis.log'),
    },
    pids: {},
    adopted,
    startServer: (server) => up([server]),
    stopServer,
    async restart(server, how) {
      await stopServer(server, how)
      await up([server])
    },
    stop,
    remove: () => down(true),
    [Symbol.asyncDispose]: stop,
  }
}
