/** `millrace rejects ...` as a real child process, and one that dies by SIGKILL at a chosen step of a redrive. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { cleanEnv } from '../e2e/replica.ts'

const root = join(import.meta.dirname, '../..')

export interface Ran {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly out: string
  readonly bytes: Buffer
  readonly err: string
}

export interface Running {
  readonly child: ChildProcess
  readonly ended: Promise<Ran>
}

export function start(env: Readonly<Record<string, string>>, script: string, args: readonly string[]): Running {
  const child = spawn(process.execPath, [join(root, script), ...args], {
    cwd: root,
    env: cleanEnv(env),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const out: Buffer[] = []
  let err = ''
  child.stdout.on('data', (bytes: Buffer) => out.push(bytes))
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text
  })
  const ended = once(child, 'close').then(([code, signal]) => {
    const bytes = Buffer.concat(out)
    return { code, signal, bytes, out: bytes.toString(), err }
  })
  return { child, ended }
}

export const rejects = (env: Readonly<Record<string, string>>, ...args: string[]): Promise<Ran> =>
  start(env, 'src/main.ts', ['rejects', ...args]).ended

/** A redrive that stops at a step of its nth batch: by `KILL` it dies there, by `STOP` it freezes. */
export const redriveUntil = (
  env: Readonly<Record<string, string>>,
  step: string,
  nth: number,
  signal: 'KILL' | 'STOP',
  partition: number,
): Running => start(env, 'test/rejects/redrive-until.ts', [step, String(nth), signal, String(partition)])
