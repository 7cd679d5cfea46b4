/** A replica of the fleet as a child process, watched from outside: its status by HTTP. */
import { spawn } from 'node:child_process'
import { openSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Status } from '../src/core/status.ts'
import { nodeFlags } from '../src/process/node-flags.mjs'

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url))

export interface Replica {
  readonly pid: number
  /** Its exit code; null after a signal. */
  readonly ended: Promise<number | null>
  status(): Promise<Status>
  stop(): Promise<void>
}

export async function startReplica(
  env: Record<string, string>,
  log: string,
  execArgv: readonly string[] = [],
): Promise<Replica> {
  const out = openSync(log, 'a')
  const child = spawn(process.execPath, [...nodeFlags, ...execArgv, main, 'consume', 'cloud-events'], {
    env: { ...process.env, ...env, MILLRACE_ADMIN_PORT: '0' },
    stdio: ['ignore', out, out, 'ipc'],
  })
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const wrong = (code: number | null) => new Error(`the replica ended with ${code}; see ${log}`)
  const adminUrl = await new Promise<string>((resolve, reject) => {
    void ended.then((code) => reject(wrong(code)))
    child.on('message', (message: { type: string; adminUrl: string }) => {
      if (message.type === 'ready') resolve(message.adminUrl)
    })
  })
  return {
    pid: child.pid as number,
    ended,
    status: async () => (await (await fetch(`${adminUrl}/status.json`)).json()) as Status,
    async stop() {
      child.kill('SIGTERM')
      const code = await ended
      if (code !== 0) throw wrong(code)
    },
  }
}
