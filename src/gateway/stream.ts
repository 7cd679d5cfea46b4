/** Server-sent events: what a job says of itself, whenever it has changed, until it has come to its end or whoever listens has gone. */
import { Readable } from 'node:stream'
import { ownFault, problemOf } from './problem.ts'

export interface Told<T> {
  /** Null: there is no such thing any more. */
  look(): Promise<T | null>
  isLast(value: T): boolean
  sleep(ms: number, signal: AbortSignal): Promise<unknown>
}

const lookEveryMs = 500
/** A line that says nothing keeps proxies from ending what is silent. */
const breathEveryMs = 15_000

export function eventStream<T>({ look, isLast, sleep }: Told<T>, gone: AbortSignal): Readable {
  return Readable.from(told(), { objectMode: false, highWaterMark: 16 * 1024 })

  async function* told() {
    // Whoever lost the line asks again in two seconds.
    yield 'retry: 2000\n\n'
    let before = ''
    let silentMs = 0
    while (!gone.aborted) {
      let value: T | null
      try {
        value = await look()
      } catch (error) {
        yield `event: problem\ndata: ${JSON.stringify(problemOf(error)?.problem ?? ownFault)}\n\n`
        return
      }
      if (value === null) return
      const data = JSON.stringify(value)
      const last = isLast(value)
      if (data !== before || last) {
        yield `event: ${last ? 'end' : 'progress'}\ndata: ${data}\n\n`
        before = data
        silentMs = 0
      } else if (silentMs >= breathEveryMs) {
        yield ': still here\n\n'
        silentMs = 0
      }
      if (last) return
      await sleep(lookEveryMs, gone).catch(() => {})
      silentMs += lookEveryMs
    }
  }
}
