/** The other end of watchdog.sh: a small shell that ends our servers when this process dies, kill -9 included, because only this process holds its input open. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Identity } from './lock.mjs'

export type Watchdog = {
  add(server: Identity, signal: string): void
  drop(server: Identity): void
  /** A command to run when the owner is dead, for what is not a process of ours. */
  run(words: readonly string[]): void
  done(): void
}

export function startWatchdog(): Watchdog {
  const child = spawn('sh', [join(import.meta.dirname, 'watchdog.sh')], {
    stdio: ['pipe', 'ignore', 'ignore'],
    cwd: '/',
    // Ctrl-C in the terminal is for us alone.
    detached: true,
  })
  child.on('error', () => {})
  child.stdin.on('error', () => {})
  child.unref()
  ;(child.stdin as unknown as { unref?: () => void }).unref?.()
  // Start times are compared where the shell can read them.
  const startOf = ({ start }: Identity) => (existsSync('/proc/self/stat') ? start : '0')
  const say = (line: string) => {
    if (child.stdin.writable) child.stdin.write(`${line}\n`)
  }
  return {
    add: (server, signal) => say(`add ${server.pid} ${startOf(server)} ${signal}`),
    drop: (server) => say(`drop ${server.pid}`),
    run: (words) => say(`run ${words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ')}`),
    done: () => {
      say('done')
      child.stdin.end()
    },
  }
}
