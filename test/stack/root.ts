/** Where the tests' stacks live, and names that no other test file uses. */
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '')

export function uniqueName(what: string): string {
  return `test-${what}-${process.pid}`
}

export async function eventually(
  what: string,
  holds: () => boolean | Promise<boolean>,
  limitMs = 15_000,
): Promise<void> {
  for (const end = Date.now() + limitMs; ; ) {
    if (await holds()) return
    if (Date.now() > end) throw new Error(`after ${limitMs} ms still not: ${what}`)
    await sleep(20)
  }
}
