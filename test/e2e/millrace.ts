/** Runs a command of the command line as a process, to its end. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { cleanEnv } from './replica.ts'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

export function millrace(
  env: Readonly<Record<string, string>>,
  ...args: string[]
): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    const options = { env: cleanEnv(env) as NodeJS.ProcessEnv, timeout: 600_000 }
    execFile(process.execPath, [main, ...args], options, (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), out, err }),
    )
  })
}
