/**
 * One server of a stack as a process: started with its output in a log file, awaited until it answers, ended without leaving anything.
 * Servers run in sessions of their own, so Ctrl-C in the owner's terminal reaches the owner only and the fleet can drain first.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, fstatSync, openSync, readdirSync, readFileSync, renameSync, statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { FatalError } from '../core/errors.ts'
import { diskFull } from './install.ts'
import { type Identity, identify, isAlive } from './lock.mjs'
import { lastLines } from './run.ts'

/** What a technology knows about running itself. */
export type Launch = {
  /** The command and its arguments. A function: what `prepare` found out is in it. */
  words(): string[]
  uid?: () => { uid: number; gid: number } | undefined
  prepare(signal?: AbortSignal): Promise<void>
  /** Resolves when the server answers, rejects only by the signal. */
  ready(signal: AbortSignal): Promise<void>
  stopSignal: NodeJS.Signals
  /** For the watchdog, when the owner is dead; without SIG. */
  abandonSignal: string
  /** Arguments, one after the other, that only this stack's process of this kind has. */
  marker: string[]
}

export type Running = {
  identity: Identity
  child: ChildProcess
  exited: Promise<string>
  log: string
  /** Where this run's lines begin in the log. */
  logFrom: number
}

const logBytesMax = 50_000_000

export function spawnServer(launch: Launch, log: string): Running {
  if ((statSync(log, { throwIfNoEntry: false })?.size ?? 0) > logBytesMax) renameSync(log, `${log}.1`)
  const out = openSync(log, 'a')
  try {
    const logFrom = fstatSync(out).size
    const [command, ...args] = launch.words()
    const child = spawn(command!, args, { stdio: ['ignore', out, out], cwd: '/', detached: true, ...launch.uid?.() })
    child.unref()
    const exited = new Promise<string>((resolve) => {
      child.once('error', (error) => resolve(error.message))
      child.once('exit', (code, signal) => resolve(signal ? `ended by ${signal}` : `exit code ${code}`))
    })
    const pid = child.pid ?? 0
    return { identity: identify(pid) ?? { pid, start: '' }, child, exited, log, logFrom }
  } finally {
    closeSync(out)
  }
}

/** Throws what the server's own log says when it ends, or does not answer in time. `signal` is the caller's, to give up early. */
export async function awaitReady(
  name: string,
  launch: Launch,
  running: Running,
  limitMs: number,
  signal?: AbortSignal,
): Promise<void> {
  const stop = new AbortController()
  const limit = AbortSignal.timeout(limitMs)
  const until = AbortSignal.any([stop.signal, limit, ...(signal ? [signal] : [])])
  running.child.ref()
  try {
    await Promise.race([
      launch.ready(until),
      running.exited.then((how) => {
        throw startFailed(name, how, running)
      }),
    ])
  } catch (error) {
    signal?.throwIfAborted()
    if (limit.aborted) throw startFailed(name, `no answer within ${limitMs / 1000} s`, running)
    throw error
  } finally {
    stop.abort()
    running.child.unref()
  }
}

export class PortTakenError extends Error {}
export class StillClosingError extends Error {}

function startFailed(name: string, how: string, { log, logFrom }: Running): Error {
  const text = readFileSync(log).subarray(logFrom).toString().slice(-20_000)
  const tail = lastLines(text, 40)
  if (/Address already in use|could not bind|BindException/i.test(tail)) return new PortTakenError(name)
  // The children of a killed postmaster hold its shared memory until they notice.
  if (tail.includes('pre-existing shared memory block')) return new StillClosingError(name)
  if (/No space left on device/i.test(tail)) return diskFull(log)
  // The first complaints name the cause, the later ones its consequences.
  const why = tail.split('\n').filter((line) => /FATAL|ERROR|Exception|[Ee]rror|unrecognized|invalid/.test(line))
  const said = (why.length > 0 ? why.slice(0, 2).join(' / ') : lastLines(text, 1)).trim().slice(0, 400)
  return new FatalError(
    'STACK_FAILED',
    `${name} did not start: ${how}${said ? `; it said: ${said}` : ''}.`,
    `Read ${log}, mend the cause and try again.`,
  )
}

/** Ends a process, by force when it has not ended in time. Works on processes that are not our children. */
export async function endProcess(identity: Identity, signal: NodeJS.Signals, limitMs = 20_000): Promise<void> {
  const send = (name: NodeJS.Signals) => {
    try {
      process.kill(identity.pid, name)
    } catch {
      // it ended between the look and the signal
    }
  }
  if (!isAlive(identity)) return
  send(signal)
  // A process that was stopped by SIGSTOP must wake up to end in order.
  send('SIGCONT')
  const waits = Math.ceil(limitMs / 20)
  for (let wait = 0; isAlive(identity); wait += 1) {
    if (wait === waits) send('SIGKILL')
    if (wait > waits * 2) {
      throw new FatalError(
        'STACK_FAILED',
        `Process ${identity.pid} does not end, even by SIGKILL.`,
        'It hangs in the kernel: look at the disk, or restart the machine.',
      )
    }
    await sleep(20)
  }
}

/** The processes that carry one of these sequences of arguments (Linux; elsewhere the state file alone must do). */
export function findMarked(markers: readonly string[][]): Identity[] {
  const found: Identity[] = []
  let pids: string[] = []
  try {
    pids = readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))
  } catch {
    return found
  }
  const sequences = markers.map((marker) => `\0${marker.join('\0')}\0`)
  for (const pid of pids) {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
      const identity = sequences.some((sequence) => words.includes(sequence)) ? identify(Number(pid)) : undefined
      if (identity && identity.pid !== process.pid) found.push(identity)
    } catch {
      // it ended while we looked
    }
  }
  return found
}
