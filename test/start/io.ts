/** What `npm start` and `npm run load` are told of the machine, in a test: two cores, a stack of its own that does not last, nothing of the settings here. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { StartIo } from '../../src/start/start.ts'
import { root } from '../stack/root.ts'

export function makeIo(stackName: string) {
  const out: string[] = []
  const err: string[] = []
  const stop = new AbortController()
  const output = (into: string[]) => ({
    write: (text: string) => void into.push(text),
    columns: 80,
    rows: 24,
    isTerminal: false,
  })
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('MILLRACE_'))
  const io: StartIo = {
    root,
    env: { ...Object.fromEntries(own), TEST_STACK: stackName },
    directory: join(root, '.local'),
    cores: 2,
    execPath: process.execPath,
    mainPath: join(root, 'src/main.ts'),
    stdout: output(out),
    stderr: output(err),
    now: Date.now,
    signal: stop.signal,
    kill: new AbortController().signal,
    stackName,
    stack: { quick: true, temporary: true },
  }
  return { io, out, err, stop }
}

/** Command lines of processes that mention this stack, or were started with its `io.env`. */
export function leftovers(stackName: string): string[] {
  if (!existsSync('/proc')) return []
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      try {
        const environment = readFileSync(`/proc/${pid}/environ`, 'latin1')
        const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ')
        const isOurs = command.includes(`/stacks/${stackName}`) || environment.includes(`TEST_STACK=${stackName}`)
        return isOurs ? [`${pid} ${command}`] : []
      } catch {
        return []
      }
    })
}
