/**
 * Senders in processes of their own, which keep their schedule whatever this one does, and share one sequence out among them. All begin at the same
 * moment, once every one of them is connected. They end with this process, however that ends.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Code, FatalError } from '../core/errors.ts'
import type { Settings } from '../core/settings.ts'
import { loadFlags } from '../process/node-flags.mjs'
import type { SimulatePlan } from './kafka.ts'
import { mergeStats, type SimulateStats } from './stats.ts'

export type SenderOrder =
  | { readonly type: 'work'; readonly settings: Settings; readonly plan: SimulatePlan }
  | { readonly type: 'begin'; readonly startedMs: number }
  | { readonly type: 'stop' }

export type SenderMessage =
  | { readonly type: 'ready' }
  | { readonly type: 'stats' | 'done'; readonly stats: SimulateStats }
  | { readonly type: 'failed'; readonly code: Code; readonly message: string; readonly remedy: string }

export interface SendersOptions {
  readonly settings: Settings
  readonly plan: SimulatePlan
  readonly processes: number
  readonly now: () => number
  readonly onStats?: (stats: SimulateStats) => void
}

export interface Senders {
  readonly stats: SimulateStats | null
  readonly pids: readonly number[]
  /** When the first record is due; rejects when that never comes. */
  readonly begun: Promise<number>
  /** What is in flight is awaited. */
  stop(): void
  /** At once; `done` then rejects. */
  kill(): void
  /** The last figures, once nothing more will be sent and the processes are gone. */
  readonly done: Promise<SimulateStats>
}

interface Sender {
  readonly child: ChildProcess
  readonly ready: PromiseWithResolvers<void>
  readonly done: PromiseWithResolvers<SimulateStats>
  readonly gone: Promise<void>
  stats: SimulateStats | null
}

const main = fileURLToPath(new URL('./sender.ts', import.meta.url))
/** For the order to reach everybody before the first record is due. */
const leadMs = 20

export function startSenders(options: SendersOptions): Senders {
  const { processes, settings, plan, now, onStats = () => {} } = options
  let stopped = false
  const senders = Array.from({ length: processes }, (_, index): Sender => {
    // Not in the terminal's group: Ctrl-C reaches it through us.
    const child = fork(main, [], {
      execArgv: [...loadFlags],
      serialization: 'advanced',
      detached: true,
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    const sender: Sender = {
      child,
      ready: Promise.withResolvers(),
      done: Promise.withResolvers(),
      gone: new Promise((resolve) => child.once('exit', () => resolve())),
      stats: null,
    }
    sender.ready.promise.catch(() => {})
    sender.done.promise.catch(() => {})
    const failed = (error: Error) => {
      sender.ready.reject(error)
      sender.done.reject(error)
    }
    child.on('message', (message: SenderMessage) => {
      if (message.type === 'ready') return sender.ready.resolve()
      if (message.type === 'failed') return failed(new FatalError(message.code, message.message, message.remedy))
      sender.stats = message.stats
      if (message.type === 'done') sender.done.resolve(message.stats)
      if (senders.every(({ stats }) => stats !== null)) onStats(merged() as SimulateStats)
    })
    child.on('error', failed)
    child.on('exit', (code, signal) => {
      const how = signal === null ? `exit code ${code}` : signal
      failed(
        new FatalError(
          'NO_PROGRESS',
          `A sender ended without a word (${how}).`,
          'Run it again; if it was killed, see whether memory is short.',
        ),
      )
    })
    const share = processes === 1 ? {} : { share: { index, of: processes } }
    tell(child, { type: 'work', settings, plan: { ...plan, ...share } })
    return sender
  })

  function tell(child: ChildProcess, order: SenderOrder): void {
    // One that is gone has said so.
    if (child.connected) child.send(order, () => {})
  }

  function merged(): SimulateStats | null {
    const told = senders.flatMap(({ stats }) => (stats === null ? [] : [stats]))
    return told.length === 0 ? null : mergeStats(told)
  }

  const kill = () => {
    for (const { child } of senders) child.kill('SIGKILL')
  }

  async function begin(): Promise<number> {
    await Promise.all(senders.map(({ ready }) => ready.promise))
    const startedMs = now() + leadMs
    for (const { child } of senders) tell(child, { type: 'begin', startedMs })
    await sleep(leadMs)
    return startedMs
  }

  async function finish(): Promise<SimulateStats> {
    try {
      await begun
      return mergeStats(await Promise.all(senders.map(({ done }) => done.promise)))
    } catch (error) {
      // One of them cannot: the others must not go on alone.
      kill()
      throw error
    } finally {
      await Promise.all(senders.map(({ gone }) => gone))
    }
  }

  const begun = begin()
  begun.catch(() => {})
  const done = finish()
  done.catch(() => {})
  return {
    get stats() {
      return merged()
    },
    pids: senders.flatMap(({ child }) => (child.pid === undefined ? [] : [child.pid])),
    begun,
    stop() {
      if (stopped) return
      stopped = true
      for (const { child } of senders) tell(child, { type: 'stop' })
    },
    kill,
    done,
  }
}
