/** A simulator in the test's own process: events with a known seed, a few duplicates and bad records among them, until it is stopped. */
import { FatalError } from '../../src/core/errors.ts'
import { type SimulateOptions, type SimulateStats, simulate } from '../../src/simulate/kafka.ts'

export interface Load {
  readonly seed: number
  readonly done: Promise<SimulateStats>
  stop(): Promise<SimulateStats>
}

export type LoadOptions = Partial<SimulateOptions> & Pick<SimulateOptions, 'rate'>

export function startLoad(options: LoadOptions & Pick<SimulateOptions, 'kafka' | 'topic' | 'seed'>): Load {
  const stop = new AbortController()
  const done = simulate({
    duplicates: 0.001,
    poison: 0.005,
    binary: 0.2,
    ...options,
    signal: stop.signal,
    now: Date.now,
    // Whatever it is, it costs the records of a request, not the run.
    explain: (error) => new FatalError('KAFKA_UNREACHABLE', String(error), '', error),
  })
  done.catch(() => {})
  return {
    seed: options.seed,
    done,
    stop() {
      stop.abort()
      return done
    },
  }
}
