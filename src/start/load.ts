/** The simulator in a thread of its own: it keeps its schedule whatever the view does, and ends with this process however that ends. */
import { Worker } from 'node:worker_threads'
import type { Code } from '../core/errors.ts'
import { FatalError } from '../core/errors.ts'
import type { Settings } from '../core/settings.ts'
import type { SimulateStats } from '../simulate/kafka.ts'

export interface LoadOptions {
  readonly settings: Settings
  readonly topic: string
  readonly rate: number
  readonly forMs: number | null
  /** At most so many records. */
  readonly events?: number
  readonly seed: number
  readonly duplicates: number
  readonly poison: number
  readonly binary: number
}

export type LoadMessage =
  | { readonly type: 'stats'; readonly stats: SimulateStats }
  | { readonly type: 'done'; readonly stats: SimulateStats }
  | { readonly type: 'failed'; readonly code: Code; readonly message: string; readonly remedy: string }

export interface Load {
  readonly stats: SimulateStats | null
  /** What is in flight is awaited. */
  stop(): void
  /** The last figures, once nothing more will be sent. */
  readonly done: Promise<SimulateStats>
}

export function startLoad(options: LoadOptions, onStats: (stats: SimulateStats) => void = () => {}): Load {
  const worker = new Worker(new URL('./load-worker.ts', import.meta.url), { workerData: options })
  const done = Promise.withResolvers<SimulateStats>()
  done.promise.catch(() => {})
  let stats: SimulateStats | null = null
  worker.on('message', (message: LoadMessage) => {
    if (message.type === 'failed') {
      done.reject(new FatalError(message.code, message.message, message.remedy))
      return
    }
    stats = message.stats
    onStats(stats)
    if (message.type === 'done') done.resolve(stats)
  })
  worker.on('error', (error) => done.reject(error))
  worker.on('exit', () =>
    done.reject(new FatalError('BUG', 'The simulator ended without a word.', 'Please report it.')),
  )
  return {
    get stats() {
      return stats
    },
    stop: () => worker.postMessage('stop'),
    done: done.promise,
  }
}
