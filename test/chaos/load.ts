/**
 * The load: the simulator in a thread of its own, so that nothing the runner does disturbs its schedule; every answer goes into the account, event by
 * event. Its producer is not idempotent on purpose: what its client sends again after a lost answer is in the topic twice, and must end as one row.
 */
import { Worker } from 'node:worker_threads'
import type { SimulateStats } from '../../src/simulate/kafka.ts'
import type { Account, Answer } from './account.ts'

export interface ChaosLoadOptions {
  readonly brokers: readonly string[]
  readonly topic: string
  readonly seed: number
  /** Records per second, in open loop. */
  readonly rate: number
  readonly duplicates: number
  readonly poison: number
  readonly binary: number
}

export type LoadMessage =
  | { readonly type: 'answer'; readonly answer: Answer }
  | { readonly type: 'stats' | 'done'; readonly stats: SimulateStats }

export interface ChaosLoad {
  readonly seed: number
  /** As of the last second. */
  readonly stats: SimulateStats | null
  /** Stops the schedule, awaits what is in flight; answers the last figures. */
  stop(): Promise<SimulateStats>
  /** Without awaiting anything. */
  end(): Promise<void>
}

export function startLoad(options: ChaosLoadOptions, account: Account): ChaosLoad {
  const worker = new Worker(new URL('./load-worker.ts', import.meta.url), { workerData: options })
  const done = Promise.withResolvers<SimulateStats>()
  done.promise.catch(() => {})
  let stats: SimulateStats | null = null
  worker.on('message', (message: LoadMessage) => {
    if (message.type === 'answer') account.add(message.answer)
    else stats = message.stats
    if (message.type === 'done') done.resolve(message.stats)
  })
  worker.on('error', (error) => done.reject(error))
  worker.on('exit', () => done.reject(new Error('the load ended without a word')))
  return {
    seed: options.seed,
    get stats() {
      return stats
    },
    stop() {
      worker.postMessage('stop')
      return done.promise
    },
    async end() {
      await worker.terminate()
    },
  }
}
