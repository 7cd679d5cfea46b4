/** A stack whose servers are this machine's own processes: started side by side, watched, each startable and stoppable by itself. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { FatalError } from '../core/errors.ts'
import { launchKafka } from './kafka.ts'
import { type Identity, identify, isAlive } from './lock.mjs'
import type { Parts } from './parts.ts'
import { choosePorts, freePort, portTaken } from './ports.ts'
import { launchPostgres, postgresUrl } from './postgres.ts'
import { launchRedis } from './redis.ts'
import {
  awaitReady,
  endProcess,
  type Launch,
  PortTakenError,
  type Running,
  StillClosingError,
  spawnServer,
} from './server.ts'
import type { Stack, StackOptions } from './stack.ts'
import { type Ports, readState, type ServerName, type State, serverNames, writeState } from './state.ts'
import { endServers, removeFolder } from './sweep.ts'
import { startWatchdog } from './watchdog.ts'

/** Recovery after a crash may take a while; a server that ends is noticed at once. */
const readyMs = 120_000

/** Under the stack's lock. */
export async function startNativeStack(
  options: StackOptions,
  asked: readonly ServerName[],
  folder: string,
  parts: Parts,
): Promise<Stack> {
  const { name, signal } = options
  const onProgress = options.onProgress ?? (() => {})
  let before = readState(folder)
  const isRunning = (state: State | undefined) => serverNames.some((server) => isAlive(state?.servers[server]))
  // Left running by `up`: stays so, also when its data is asked to be fresh.
  const adopted = before?.owner === null && isRunning(before)
  if (options.fresh || !adopted) await endServers(folder, before)
  if (options.fresh) {
    removeFolder(folder)
    before = before && { ...before, servers: {} }
  }
  mkdirSync(folder, { recursive: true })

  const detached = options.detached || adopted
  const state: State = {
    version: 1,
    name,
    mode: 'native',
    owner: detached ? null : (identify(process.pid) ?? null),
    temporary: options.temporary ?? false,
    ports: await choosePorts(name, asked, before, options.ports ?? {}, (server) => isAlive(before?.servers[server])),
    servers: adopted && !options.fresh ? { ...before?.servers } : {},
  }
  writeState(folder, state)
  const watchdog = detached ? undefined : startWatchdog()
  const logs = Object.fromEntries(serverNames.map((server) => [server, join(folder, `${server}.log`)])) as Record<
    ServerName,
    string
  >
  const launches = new Map<ServerName, Launch>()
  const expected = new Set<ServerName>()

  const relaunch = (server: ServerName) =>
    launches.set(server, makeLaunch(server, options, folder, parts, state.ports as Ports))
  for (const server of asked) relaunch(server)

  const forget = (server: ServerName, identity: Identity) => {
    watchdog?.drop(identity)
    if (state.servers[server]?.pid !== identity.pid) return
    delete state.servers[server]
    writeState(folder, state)
  }
  const spawnOne = (server: ServerName, launch: Launch): Running => {
    const running = spawnServer(launch, logs[server])
    watchdog?.add(running.identity, launch.abandonSignal)
    state.servers[server] = running.identity
    writeState(folder, state)
    expected.delete(server)
    return running
  }

  /** `keepPort`: clients know the port by now, so wait for it rather than take another. */
  const startServer = async (server: ServerName, keepPort: boolean): Promise<void> => {
    if (isAlive(state.servers[server])) return
    for (let tries = 1; ; tries += 1) {
      const launch = launches.get(server)
      if (!launch)
        throw new FatalError('USAGE', `The stack ${name} was started without ${server}.`, 'Name it in `servers`.')
      await launch.prepare(signal)
      const running = spawnOne(server, launch)
      try {
        await awaitReady(server, launch, running, readyMs, signal)
        void running.exited.then((how) => {
          if (state.servers[server]?.pid !== running.identity.pid) return
          const known = expected.has(server)
          forget(server, running.identity)
          if (!known) options.onDeath?.(server, how)
        })
        return
      } catch (error) {
        expected.add(server)
        await endProcess(running.identity, 'SIGKILL')
        forget(server, running.identity)
        if (error instanceof StillClosingError && tries < 50) await sleep(100)
        else if (error instanceof PortTakenError && tries < 10) {
          if (keepPort || options.ports?.[server] !== undefined) await sleep(500)
          else await movePort(server)
        } else if (error instanceof PortTakenError) throw portTaken(name, server, state.ports[server])
        else throw error
      }
    }
  }
  const movePort = async (server: ServerName) => {
    const taken = new Set(Object.values(state.ports))
    state.ports[server] = await freePort(taken)
    if (server === 'kafka') state.ports.controller = await freePort(taken)
    relaunch(server)
  }
  const stopServer = async (server: ServerName, { signal: by }: { signal?: NodeJS.Signals } = {}): Promise<void> => {
    const identity = state.servers[server]
    if (!identity) return
    expected.add(server)
    await endProcess(identity, by ?? launches.get(server)?.stopSignal ?? 'SIGTERM')
    forget(server, identity)
  }
  const stopAll = async (by?: NodeJS.Signals) => {
    await Promise.all(serverNames.map((server) => stopServer(server, by ? { signal: by } : {})))
    state.owner = null
    writeState(folder, state)
    watchdog?.done()
  }

  const began = performance.now()
  const startedHere: ServerName[] = []
  const start = async (server: ServerName) => {
    if (isAlive(state.servers[server])) return
    startedHere.push(server)
    onProgress({ part: server, text: 'starts', done: false })
    await startServer(server, adopted)
    const seconds = ((performance.now() - began) / 1000).toFixed(1)
    onProgress({ part: server, text: `answers on port ${state.ports[server]} after ${seconds} s`, done: true })
  }
  const failed = (await Promise.allSettled(asked.map(start))).find((result) => result.status === 'rejected')
  if (failed) {
    await Promise.all(startedHere.map((server) => stopServer(server, { signal: 'SIGKILL' })))
    if (!adopted) await stopAll('SIGKILL')
    if (state.temporary) removeFolder(folder)
    throw failed.reason
  }

  const remove = async () => {
    await stopAll()
    removeFolder(folder)
  }
  let stopping: Promise<void> | undefined
  const stop = () => {
    stopping ??= detached ? Promise.resolve() : state.temporary ? remove() : stopAll()
    return stopping
  }
  return {
    name,
    folder,
    kafka: `127.0.0.1:${state.ports.kafka}`,
    postgres: postgresUrl(state.ports.postgres ?? 0),
    redis: `redis://127.0.0.1:${state.ports.redis}`,
    logs,
    adopted,
    get pids() {
      return Object.fromEntries(Object.entries(state.servers).map(([server, { pid }]) => [server, pid]))
    },
    startServer: (server) => startServer(server, true),
    stopServer,
    async restart(server, how) {
      await stopServer(server, how)
      await startServer(server, true)
    },
    stop,
    remove,
    [Symbol.asyncDispose]: stop,
  }
}

function makeLaunch(server: ServerName, options: StackOptions, folder: string, parts: Parts, ports: Ports): Launch {
  const quick = options.quick ?? false
  if (server === 'kafka') return launchKafka(parts.kafka!, folder, ports, options.kafka ?? {}, options)
  if (server === 'postgres')
    return launchPostgres(parts.postgres!, folder, ports.postgres, options.postgres ?? {}, quick)
  return launchRedis(parts.redis!, folder, ports.redis, options.redis ?? {})
}
