/** A replica of the fleet as a child process, watched from outside: its status by HTTP, its memory and CPU from /proc. */
import { type ChildProcess, spawn } from 'node:child_process'
import { openSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Status } from '../src/core/status.ts'

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url))

export interface Replica {
  status(): Promise<Status>
  /** Highest resident memory so far, in MiB, and CPU seconds used so far. */
  usage(): { residentMiB: number; cpuSeconds: number }
  stop(): Promise<void>
}

export async function startReplica(
  env: Record<string, string>,
  log: string,
  execArgv: string[] = [],
): Promise<Replica> {
  const out = openSync(log, 'a')
  const child = spawn(process.execPath, [...execArgv, main, 'consume', 'cloud-events'], {
    env: { ...process.env, ...env, MILLRACE_ADMIN_PORT: '0' },
    stdio: ['ignore', out, out, 'ipc'],
  })
  const adminUrl = await serving(child, log)
  return {
    status: async () => (await (await fetch(`${adminUrl}/status.json`)).json()) as Status,
    usage: () => usageOf(child.pid as number),
    async stop() {
      const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
      child.kill('SIGTERM')
      const code = await ended
      if (code !== 0) throw new Error(`the replica ended with ${code}; see ${log}`)
    },
  }
}

function serving(child: ChildProcess, log: string): Promise<string> {
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the replica ended with ${code}; see ${log}`)))
    child.on('message', (message: { type: string; adminUrl: string }) => {
      if (message.type === 'ready') resolve(message.adminUrl)
    })
  })
}

function usageOf(pid: number): { residentMiB: number; cpuSeconds: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return {
    residentMiB: Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024,
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / 100,
  }
}
