/** Waiting for something in a world of servers and processes: always bounded, and a wait that fails says what it waited for and what it saw last. */
import { setTimeout as sleep } from 'node:timers/promises'

const pauseMs = 50

/** Asks `probe` until it answers anything but null. What it throws counts as an answer not yet there, and is told when time is up. */
export async function until<T>(what: string, limitMs: number, probe: () => Promise<T | null> | T | null): Promise<T> {
  const startedMs = performance.now()
  for (let seen = 'nothing'; ; ) {
    try {
      const found = await probe()
      if (found !== null) return found
    } catch (error) {
      if (error instanceof Enough) throw error
      seen = error instanceof Error ? error.message : String(error)
    }
    if (performance.now() - startedMs > limitMs) throw new Error(`Waited ${limitMs} ms for ${what}; last seen: ${seen}`)
    await sleep(pauseMs)
  }
}

/** Thrown by a probe: what is awaited can never come. */
export class Enough extends Error {}

/** The promise's answer, or an error that says what did not come. */
export async function within<T>(what: string, limitMs: number, promise: Promise<T>): Promise<T> {
  const stop = new AbortController()
  try {
    return await Promise.race([
      promise,
      sleep(limitMs, undefined, { signal: stop.signal }).then(() => {
        throw new Error(`Waited ${limitMs} ms for ${what}`)
      }),
    ])
  } finally {
    stop.abort()
  }
}
