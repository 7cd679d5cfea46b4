/**
 * The local stack: Kafka, PostgreSQL and Redis, real ones, beside each other under one name.
 *
 * Promises: a returned stack answers on all three addresses; it is owned by this process, and ends with it however it ends, unless it is `detached`;
 * a start that fails leaves nothing running; ports stay the same while the stack lives, and where they are free over its lives.
 */
import { mkdirSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { FatalError } from '../core/errors.ts'
import { hasEngine } from './compose.ts'
import { startComposeStack } from './compose-stack.ts'
import { inspectStack } from './inspect.ts'
import { diskFull } from './install.ts'
import { withLock } from './lock.mjs'
import { startNativeStack } from './native-stack.ts'
import { installParts, type Parts } from './parts.ts'
import type { OnProgress } from './progress.ts'
import { type Ports, readState, type ServerName, serverNames, stackFolder } from './state.ts'
import { endStack, lockPath, refuseIfOwned, sweepStacks } from './sweep.ts'

export type StackOptions = {
  root: string
  name: string
  /** All three unless named. */
  servers?: readonly ServerName[]
  /** Start with empty servers. */
  fresh?: boolean
  /** The data goes when the stack stops or its owner dies: for tests. */
  temporary?: boolean
  /** The servers stay when this process ends; `down` ends them. */
  detached?: boolean
  /** Less memory, a sooner start, less throughput: for tests. */
  quick?: boolean
  /** The broker's second compiler too: it takes a third of a core for a minute, and then a quarter less for good. For runs of many minutes. */
  lasting?: boolean
  /** Through Docker Compose, also where the servers could run natively. */
  docker?: boolean
  /** Ports that must be these; the others are chosen. */
  ports?: Partial<Ports>
  /** Settings of the servers' own, over ours. */
  kafka?: Record<string, string>
  postgres?: Record<string, string>
  redis?: Record<string, string>
  onProgress?: OnProgress
  /** A server ended that nobody asked to end. */
  onDeath?: (server: ServerName, how: string) => void
  signal?: AbortSignal
}

export type Stack = {
  name: string
  folder: string
  /** host:port */
  kafka: string
  /** postgres://... */
  postgres: string
  /** redis://... */
  redis: string
  logs: Record<ServerName, string>
  readonly pids: Partial<Record<ServerName, number>>
  /** Found running because of an earlier `up`; stop() then leaves it as it was. */
  adopted: boolean
  /** Starts again what was stopped, on the same port, and waits until it answers. */
  startServer(server: ServerName): Promise<void>
  /** Ends in order, or by the signal; resolves when the process is gone. */
  stopServer(server: ServerName, options?: { signal?: NodeJS.Signals }): Promise<void>
  restart(server: ServerName, options?: { signal?: NodeJS.Signals }): Promise<void>
  stop(): Promise<void>
  /** Stops, even an adopted stack, and deletes its data. */
  remove(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** Kafka's and PostgreSQL's first files; a database that is not for tests begins with a gigabyte of WAL. */
const bytesFreeMin = { quick: 500_000_000, usual: 2_000_000_000 }

export async function startStack(options: StackOptions): Promise<Stack> {
  const { root, name, signal } = options
  if (!/^[a-z0-9][a-z0-9._-]{0,62}$/.test(name)) {
    throw new FatalError(
      'USAGE',
      `"${name}" is no name for a stack.`,
      'Use lower-case letters, digits, dots and hyphens, at most 63.',
    )
  }
  const asked = options.servers ?? serverNames
  const onProgress = options.onProgress ?? (() => {})
  const folder = stackFolder(root, name)
  mkdirSync(join(root, '.local', 'stacks'), { recursive: true })
  const { bavail, bsize } = statfsSync(join(root, '.local'))
  if (bavail * bsize < bytesFreeMin[options.quick ? 'quick' : 'usual']) throw diskFull(root)
  await sweepStacks(root)
  const parts = await chooseParts(options, asked)
  const start = async () => {
    const state = readState(folder)
    refuseIfOwned(state, name)
    // Ports and data are not shared between the two ways to run.
    if (state && state.mode !== (parts ? 'native' : 'docker')) await endStack(root, folder, state, false)
    return parts ? startNativeStack(options, asked, folder, parts) : startComposeStack(options)
  }
  return withLock(lockPath(folder), start, {
    signal,
    onWait: (pid) =>
      onProgress({
        part: name,
        text: `waits for process ${pid}, which is starting or stopping this stack`,
        done: false,
      }),
  })
}

/** Natively where the parts are there or can be had; nothing means through Docker Compose. */
async function chooseParts(options: StackOptions, asked: readonly ServerName[]): Promise<Parts | undefined> {
  const { root, docker, signal } = options
  const onProgress = options.onProgress ?? (() => {})
  if (docker) {
    if (await hasEngine()) return undefined
    throw new FatalError(
      'SETUP_FAILED',
      'No Docker engine with the compose plugin answers.',
      'Start one, or leave out --docker.',
    )
  }
  try {
    return await installParts(root, asked, onProgress, signal)
  } catch (error) {
    signal?.throwIfAborted()
    if (!(error instanceof FatalError) || error.code !== 'SETUP_FAILED' || !(await hasEngine())) throw error
    onProgress({ part: 'Docker', text: `${error.message} Docker Compose takes over.`, done: false })
    return undefined
  }
}

/** Ends the servers of a stack that `up` left running, or that a dead owner left; says whether there were any. */
export async function stopStack(options: { root: string; name: string; remove?: boolean }): Promise<boolean> {
  const folder = stackFolder(options.root, options.name)
  return withLock(lockPath(folder), async () => {
    const state = readState(folder)
    refuseIfOwned(state, options.name)
    const status = await inspectStack(options.root, options.name)
    await endStack(options.root, folder, state, options.remove ?? false)
    return serverNames.some((server) => status.servers[server].running)
  })
}
