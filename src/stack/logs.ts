/** The servers' logs as one, each line under its server's name. */
import { closeSync, existsSync, openSync, readFileSync, readSync, statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { composeLogs } from './compose.ts'
import type { StackStatus } from './inspect.ts'
import type { ServerName } from './state.ts'

type Options = {
  status: StackStatus
  root: string
  servers: readonly ServerName[]
  lines: number
  follow: boolean
  write: (text: string) => void
  signal?: AbortSignal
}

export async function showLogs(options: Options): Promise<void> {
  const { status, servers, lines, follow, write, signal } = options
  if (status.mode === 'docker') return composeLogs({ ...options, name: status.name })
  const readers = servers.map((server) => {
    const path = status.servers[server].log
    const label = `${server.padEnd(8)} | `
    const text = existsSync(path) ? readFileSync(path, 'utf8') : ''
    const shown = lines === 0 ? [] : text.trimEnd().split('\n').slice(-lines)
    for (const line of shown) if (line) write(`${label}${line}\n`)
    return { path, label, offset: Buffer.byteLength(text), rest: '' }
  })
  while (follow && !signal?.aborted) {
    await sleep(200, undefined, signal ? { signal } : {}).catch(() => {})
    for (const reader of readers) {
      const size = statSync(reader.path, { throwIfNoEntry: false })?.size ?? 0
      // A log that was begun anew is read from its start.
      if (size < reader.offset) reader.offset = 0
      if (size === reader.offset) continue
      const chunk = Buffer.alloc(size - reader.offset)
      const file = openSync(reader.path, 'r')
      readSync(file, chunk, 0, chunk.length, reader.offset)
      closeSync(file)
      reader.offset = size
      const parts = (reader.rest + chunk.toString()).split('\n')
      reader.rest = parts.pop() ?? ''
      for (const line of parts) write(`${reader.label}${line}\n`)
    }
  }
}
