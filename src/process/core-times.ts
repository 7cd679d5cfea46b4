/** How long the main thread has run, and how long it has waited for a core, since it began. Null where the system does not tell: Linux does. */
import { readFileSync } from 'node:fs'

export function coreTimes(): { readonly ranMs: number; readonly waitedMs: number } | null {
  try {
    const [ran, waited] = readFileSync('/proc/self/schedstat', 'utf8').split(' ').map(Number)
    return ran === undefined || waited === undefined ? null : { ranMs: ran / 1e6, waitedMs: waited / 1e6 }
  } catch {
    return null
  }
}
