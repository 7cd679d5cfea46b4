/** A replica of the fleet as a real child process: started, asked over HTTP, stopped in any way, and never left behind. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Status } from '../../src/core/status.ts'
import { identify } from '../../src/stack/lock.mjs'
import { startWatchdog, type Watchdog } from '../../src/stack/watchdog.ts'
import { within } from './until.ts'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const startMs = 90_000
const logLinesKept = 2000

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface Replica {
  readonly name: string
  readonly pid: number
  readonly adminUrl: string
  /** Resolves when the process is gone. */
  readonly ended: Promise<Ended>
  readonly isAlive: boolean
  /** Its end is wanted: an end of any other replica fails whoever waits for the fleet. */
  expectEnd(): void
  readonly endIsExpected: boolean
  kill(signal: NodeJS.Signals): void
  /** SIGTERM, and how long the end took. */
  stop(limitMs?: number): Promise<Ended & { ms: number }>
  status(): Promise<Status>
  /** HTTP status and body of a path of the admin port. */
  get(path: string): Promise<{ code: number; body: string }>
  /** The value of a metric, summed over its labels. */
  metric(name: string): Promise<number>
  /** Everything it has written so far, at most the last lines. */
  readonly log: readonly string[]
  untilLogged(pattern: RegExp, limitMs: number): Promise<string>
  /** Closes the channel over which it notices that its parent died. */
  disconnect(): void
}

/** Settings of this machine's user are none of the tests'. */
export function cleanEnv(env: Readonly<Record<string, string>>): Record<string, string | undefined> {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('MILLRACE_'))
  return { ...Object.fromEntries(inherited), ...env }
}

let watchdog: Watchdog | undefined

/** A process that was stopped by SIGSTOP notices nothing, not even that we died: the watchdog ends it. */
export function guard(child: Pick<ChildProcess, 'pid' | 'once'>): void {
  const identity = child.pid === undefined ? undefined : identify(child.pid)
  if (identity === undefined) return
  watchdog ??= startWatchdog()
  const { add, drop } = watchdog
  add(identity, 'KILL')
  child.once('exit', () => drop(identity))
}

export function endWatchdog(): void {
  watchdog?.done()
  watchdog = undefined
}

export async function startReplica(
  name: string,
  env: Readonly<Record<string, string>>,
  options: { readonly cwd: string; readonly consumer?: string },
): Promise<Replica> {
  const child = spawn(process.execPath, [main, 'consume', options.consumer ?? 'cloud-events'], {
    cwd: options.cwd,
    env: cleanEnv({ ...env, MILLRACE_REPLICA: name }),
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  guard(child)
  const log: string[] = []
  const listeners = new Set<(line: string) => void>()
  for (const stream of [child.stdout, child.stderr]) {
    let rest = ''
    stream?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        log.push(line)
        if (log.length > logLinesKept) log.shift()
        for (const listener of listeners) listener(line)
      }
    })
  }
  let isAlive = true
  let endIsExpected = false
  const ended = new Promise<Ended>((resolve) => {
    // Not at `close`, which never comes once the channel was closed from here.
    child.once('exit', (code, signal) => {
      isAlive = false
      const lastWords = [child.stdout, child.stderr].map((stream) => stream !== null && once(stream, 'close'))
      void Promise.race([Promise.all(lastWords), sleep(1000)]).then(() => resolve({ code, signal }))
    })
    child.once('error', (error) => {
      log.push(error.message)
      isAlive = false
      resolve({ code: -1, signal: null })
    })
  })
  const adminUrl = await within(
    `replica ${name} to serve`,
    startMs,
    new Promise<string>((resolve, reject) => {
      child.on('message', (message: { type?: string; adminUrl?: string }) => {
        if (message.type === 'ready') resolve(message.adminUrl as string)
      })
      void ended.then(({ code, signal }) =>
        reject(new Error(`replica ${name} ended by ${signal ?? code} before it served:\n${log.join('\n')}`)),
      )
    }),
  ).catch((error: unknown) => {
    child.kill('SIGKILL')
    throw error
  })

  const get = async (path: string) => {
    const response = await fetch(adminUrl + path, { signal: AbortSignal.timeout(5000) })
    return { code: response.status, body: await response.text() }
  }
  return {
    name,
    pid: child.pid as number,
    adminUrl,
    ended,
    log,
    get isAlive() {
      return isAlive
    },
    get endIsExpected() {
      return endIsExpected
    },
    expectEnd() {
      endIsExpected = true
    },
    kill(signal) {
      if (signal === 'SIGKILL' || signal === 'SIGTERM') endIsExpected = true
      child.kill(signal)
    },
    async stop(limitMs = 30_000) {
      endIsExpected = true
      const startedMs = performance.now()
      child.kill('SIGTERM')
      const how = await within(`replica ${name} to end after SIGTERM`, limitMs, ended)
      return { ...how, ms: performance.now() - startedMs }
    },
    status: async () => JSON.parse((await get('/status.json')).body) as Status,
    get,
    async metric(wanted) {
      const { body } = await get('/metrics')
      return body
        .split('\n')
        .filter((line) => line.startsWith(`${wanted} `) || line.startsWith(`${wanted}{`))
        .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
    },
    untilLogged(pattern, limitMs) {
      const { promise, resolve } = Promise.withResolvers<string>()
      const listener = (line: string) => {
        if (pattern.test(line)) resolve(line)
      }
      listeners.add(listener)
      for (const line of log) listener(line)
      return within(`replica ${name} to log ${pattern}`, limitMs, promise).finally(() => listeners.delete(listener))
    },
    disconnect() {
      child.disconnect()
    },
  }
}
