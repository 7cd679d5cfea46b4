/**
 * Keeps one replica running: a child process that says when it serves, and is started again, after a growing pause, whenever it ends unasked.
 *
 *   starting -> serving -> (died) -> waiting -> starting ...      stop(): -> stopping -> ended
 *
 * One that serves is asked for its health: a process that is stopped, or whose event loop is blocked, ends by nobody's doing but ours. What it answers
 * is its own affair, for it knows best when to end.
 *
 * A replica that ends before it has ever served is given up, with the last line of its log as the reason: whatever is wrong will be wrong again. The
 * child is in a process group of its own, so that Ctrl-C reaches it only through us; it holds a channel to us and drains by itself when that closes.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { appendFileSync, closeSync, existsSync, openSync, readSync, statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { FatalError } from '../core/errors.ts'

export type ReplicaState =
  | { readonly kind: 'starting' | 'stopping' | 'ended' }
  | { readonly kind: 'serving'; readonly adminUrl: string; readonly pid: number }
  | { readonly kind: 'waiting'; readonly untilMs: number }

export interface Replica {
  readonly name: string
  readonly log: string
  readonly state: ReplicaState
  /** How often it was started again. */
  readonly restarts: number
  /** Never resolves; rejects when it is given up. */
  readonly failed: Promise<never>
  /** SIGTERM, then SIGKILL after `withinMs`. Answers how it ended: null when in order. */
  stop(withinMs: number): Promise<string | null>
  /** At once. */
  kill(): void
}

export interface SupervisorOptions {
  readonly name: string
  readonly log: string
  readonly execPath: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  readonly now: () => number
  readonly onEvent: (text: string) => void
  /** Each time it begins to serve. */
  readonly onServing?: (adminUrl: string) => void
  /** So long without an answer, and it is killed and started again. */
  readonly silentMs?: number
}

const startMs = 60_000
const askEveryMs = 2000
const answerMs = 5000
/** As a liveness probe would have it, several times over: on busy cores an answer may take seconds. */
const silentMsDefault = 30_000
/** Serving for so long makes the next death a new story. */
const steadyMs = 10_000

/** The pause before it is started again: half a second, doubled with each death in a row, at most ten. */
export function restartDelayMs(deathsInRow: number): number {
  return Math.min(10_000, 500 * 2 ** Math.max(0, Math.min(deathsInRow, 20) - 1))
}

export function superviseReplica(options: SupervisorOptions): Replica {
  const { name, log, now, onEvent } = options
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => {})
  let state: ReplicaState = { kind: 'starting' }
  let child: ChildProcess | null = null
  let restarts = 0
  let deaths = 0
  let everServed = false
  let timer: NodeJS.Timeout | undefined
  let ended: PromiseWithResolvers<string | null> | null = null

  start()

  function start(): void {
    state = { kind: 'starting' }
    const out = openSync(log, 'a')
    const own = spawn(options.execPath, [...options.args], {
      env: options.env as NodeJS.ProcessEnv,
      stdio: ['ignore', out, out, 'ipc'],
      detached: true,
    })
    closeSync(out)
    child = own
    // Its own counters begin at zero; this one it cannot know.
    own.send({ type: 'restarts', count: restarts }, () => {})
    let servingMs: number | null = null
    const late = setTimeout(() => own.kill('SIGKILL'), startMs)
    const over = new AbortController()
    own.on('message', (message: { type?: string; adminUrl?: string; pid?: number }) => {
      if (message.type !== 'ready' || state.kind !== 'starting') return
      clearTimeout(late)
      servingMs = now()
      everServed = true
      state = { kind: 'serving', adminUrl: message.adminUrl ?? '', pid: message.pid ?? own.pid ?? 0 }
      options.onServing?.(state.adminUrl)
      if (restarts > 0) onEvent(`${name} serves again`)
      void listen(own, state.adminUrl, over.signal)
    })
    own.on('error', (error) => gone(error.message))
    own.on('exit', (code, signal) => gone(signal === null ? `exit code ${code}` : signal, code))

    function gone(how: string, code: number | null = null): void {
      if (child !== own) return
      clearTimeout(late)
      over.abort()
      child = null
      if (ended !== null) {
        state = { kind: 'ended' }
        ended.resolve(code === 0 ? null : how)
        return
      }
      deaths = servingMs !== null && now() - servingMs >= steadyMs ? 1 : deaths + 1
      if (!everServed) {
        giveUp(how)
        return
      }
      const delayMs = restartDelayMs(deaths)
      state = { kind: 'waiting', untilMs: now() + delayMs }
      onEvent(`${name} ended (${how}), starts again in ${delayMs / 1000} s`)
      timer = setTimeout(() => {
        restarts++
        start()
      }, delayMs)
    }
  }

  /** Only the time in which it could have answered counts, so that a machine that slept does not kill what slept with it. */
  async function listen(own: ChildProcess, adminUrl: string, signal: AbortSignal): Promise<void> {
    for (let silentMs = 0; silentMs < (options.silentMs ?? silentMsDefault); ) {
      const askedMs = now()
      const isHeard = await fetch(`${adminUrl}/healthz`, {
        signal: AbortSignal.any([signal, AbortSignal.timeout(answerMs)]),
      })
        .then((response) => response.text())
        .then(
          () => true,
          () => false,
        )
      await sleep(askEveryMs, undefined, { signal, ref: false }).catch(() => {})
      if (signal.aborted) return
      silentMs = isHeard ? 0 : silentMs + Math.min(now() - askedMs, askEveryMs + answerMs)
    }
    onEvent(`${name} does not answer: it is killed`)
    appendFileSync(log, 'millrace: NO_PROGRESS: no answer to /healthz for too long; killed by its supervisor.\n')
    own.kill('SIGKILL')
  }

  function giveUp(how: string): void {
    state = { kind: 'ended' }
    const error = new FatalError(
      'NO_PROGRESS',
      `${name} does not get as far as serving (${how}): ${lastLine(log) ?? 'its log is empty'}`,
      `Its log is ${log}.`,
    )
    failed.reject(error)
  }

  return {
    name,
    log,
    get state() {
      return state
    },
    get restarts() {
      return restarts
    },
    failed: failed.promise,
    stop(withinMs) {
      if (ended !== null) return ended.promise
      ended = Promise.withResolvers<string | null>()
      clearTimeout(timer)
      if (child === null) {
        state = { kind: 'ended' }
        ended.resolve(null)
        return ended.promise
      }
      state = { kind: 'stopping' }
      child.kill('SIGTERM')
      const late = setTimeout(() => child?.kill('SIGKILL'), withinMs)
      void ended.promise.finally(() => clearTimeout(late))
      return ended.promise
    },
    kill() {
      clearTimeout(timer)
      ended ??= Promise.withResolvers<string | null>()
      if (child !== null) child.kill('SIGKILL')
      else {
        state = { kind: 'ended' }
        ended.resolve(null)
      }
    },
  }
}

const tailBytes = 8192

/** The last line of a log that says something; of our own log lines, their message. */
export function lastLine(path: string): string | null {
  if (!existsSync(path)) return null
  const size = statSync(path).size
  const buffer = Buffer.alloc(Math.min(size, tailBytes))
  const file = openSync(path, 'r')
  readSync(file, buffer, 0, buffer.length, size - buffer.length)
  closeSync(file)
  const lines = buffer
    .toString('utf8')
    .split('\n')
    .filter((line) => line.trim() !== '')
  const said = lines.findLast((line) => line.startsWith('millrace: ')) ?? lines.at(-1)
  return said?.replace(/^millrace: /, '').slice(0, 400) ?? null
}
