/** Child processes of the local stack, as promises: what a short command said, and whether a program is there at all. */
import { type SpawnOptions, spawn } from 'node:child_process'

export type Ran = { code: number | null; out: string; missing: boolean }

export type RunOptions = {
  cwd?: string
  /** Added to the environment. */
  env?: Record<string, string>
  input?: string
  signal?: AbortSignal | undefined
  onLine?: (line: string) => void
  uid?: number | undefined
  gid?: number | undefined
}

/** Never throws for a command that fails or is missing: the caller knows what that means. `out` holds both outputs. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  return new Promise((resolve) => {
    const { input, onLine, cwd, signal, uid, gid, env } = options
    const words = env ? ['env', ...Object.entries(env).map(([name, value]) => `${name}=${value}`), command] : [command]
    const spawnOptions: SpawnOptions = { cwd: cwd ?? '/', stdio: ['pipe', 'pipe', 'pipe'] }
    if (signal) spawnOptions.signal = signal
    if (uid !== undefined) spawnOptions.uid = uid
    if (gid !== undefined) spawnOptions.gid = gid
    const child = spawn(words[0]!, [...words.slice(1), ...args], spawnOptions)
    let out = ''
    let rest = ''
    const take = (chunk: string) => {
      out += chunk
      if (!onLine) return
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) onLine(line)
    }
    child.stdout?.setEncoding('utf8').on('data', take)
    child.stderr?.setEncoding('utf8').on('data', take)
    child.stdin?.on('error', () => {})
    child.stdin?.end(input ?? '')
    child.on('error', (error: NodeJS.ErrnoException) =>
      resolve({ code: null, out: `${out}${error.message}`, missing: error.code === 'ENOENT' }),
    )
    child.on('close', (code) => resolve({ code, out, missing: false }))
  })
}

/** The full path of a program, or nothing; for java, the one that JAVA_HOME names comes first. */
export async function which(program: string): Promise<string | undefined> {
  const find =
    program === 'java'
      ? '[ -x "$JAVA_HOME/bin/java" ] && echo "$JAVA_HOME/bin/java" || command -v java'
      : 'command -v "$1"'
  const { code, out } = await run('sh', ['-c', find, 'sh', program])
  return code === 0 ? out.trim() : undefined
}

export function lastLines(text: string, count: number): string {
  return text.trimEnd().split('\n').slice(-count).join('\n')
}
