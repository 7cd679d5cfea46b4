/** A contender as a child process: its output in a log, its messages to us, its end. */
import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import type { Started } from './contender.ts'

export interface Child extends Started {
  /** The latest thing it has told over the channel; undefined before. */
  told(): unknown
}

/** `words`: the program and its arguments. With a channel it must be Node. */
export function startChild(
  words: readonly [string, ...string[]],
  log: string,
  { env = {}, channel = false }: { env?: Record<string, string>; channel?: boolean } = {},
): Child {
  const [program, ...args] = words
  const out = openSync(log, 'w')
  const child = spawn(program, args, {
    env: { ...process.env, ...env },
    stdio: channel ? ['ignore', out, out, 'ipc'] : ['ignore', out, out],
  })
  closeSync(out)
  let told: unknown
  child.on('message', (message) => {
    told = message
  })
  const ended = new Promise<number | null>((resolve) => {
    child.once('exit', resolve)
    child.once('error', () => resolve(null))
  })
  const started: Started = {
    pids: [child.pid ?? 0],
    log,
    ended,
    async stop() {
      child.kill('SIGTERM')
      const late = setTimeout(() => child.kill('SIGKILL'), 15_000)
      await ended
      clearTimeout(late)
    },
  }
  return Object.assign(started, { told: () => told })
}
