/** A simulator's command as the command line calls it, in this process: its exit code, what it told people, its JSON line. */
import { fileURLToPath } from 'node:url'
import { loadSettings } from '../../src/process/load-settings.ts'
import type { SimulateIo } from '../../src/simulate/io.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

export async function runCommand<Flags extends { readonly json?: boolean }>(
  command: (flags: Flags, io: SimulateIo) => Promise<number>,
  flags: Flags,
  env: Readonly<Record<string, string>>,
  signal: AbortSignal,
) {
  const results: string[] = []
  const told: string[] = []
  const { settings } = loadSettings({ env, directory: root, needs: [] })
  const code = await command(
    { json: true, ...flags },
    {
      settings,
      signal,
      now: Date.now,
      write: (text) => told.push(text),
      writeResult: (text) => results.push(text),
      terminal: false,
    },
  )
  return { code, told: told.join(''), result: results.length === 0 ? null : JSON.parse(results[0] as string) }
}
