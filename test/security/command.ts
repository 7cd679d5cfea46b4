/** A command as a person or a supervisor runs it: its arguments, its whole output, its exit code. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { cleanEnv } from '../e2e/replica.ts'
import { within } from '../e2e/until.ts'

const main = join(import.meta.dirname, '../../src/main.ts')

export interface Ran {
  readonly exit: number | null
  readonly said: string
  readonly ms: number
}

export async function millrace(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  cwd: string,
): Promise<Ran> {
  const startedMs = performance.now()
  const child = spawn(process.execPath, [main, ...args], { cwd, env: cleanEnv(env), stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
  }
  try {
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
    const exit = await within(`millrace ${args[0]} to end`, 60_000, ended)
    return { exit, said, ms: performance.now() - startedMs }
  } finally {
    child.kill('SIGKILL')
  }
}
