/** What `--observe` adds to a run: Prometheus and Alertmanager beside the fleet, their alerts as sentences, and replicas made known to them. */
import { mkdirSync } from 'node:fs'
import { startObserving } from '../stack/observe.ts'
import type { Pace } from '../stack/observe-config.ts'
import type { OnProgress } from '../stack/progress.ts'
import { type ReceivedAlert, receiveAlerts } from './alert-receiver.ts'
import type { Servers } from './servers.ts'

export interface Observers {
  readonly addresses: readonly (readonly [name: string, address: string])[]
  replica(name: string, adminUrl: string): void
  close(): Promise<void>
}

export interface ObserversOptions {
  readonly root: string
  /** The stack's. */
  readonly folder: string
  readonly consumer: string
  readonly servers: Servers
  readonly pace: Pace
  readonly onProgress: OnProgress
  readonly onEvent: (text: string) => void
  readonly signal: AbortSignal
}

export async function openObservers(options: ObserversOptions): Promise<Observers> {
  const { root, folder, consumer, servers, pace, onProgress, onEvent, signal } = options
  const receiver = await receiveAlerts((alert) => onEvent(sentence(alert)))
  try {
    mkdirSync(folder, { recursive: true })
    // Exporters look into what this run has started; somebody's own servers have their own.
    const { MILLRACE_POSTGRES: postgresUrl = '', MILLRACE_REDIS: redisUrl = '' } = servers.env
    const observing = await startObserving({
      root,
      folder,
      consumer,
      webhookUrl: receiver.url,
      postgresUrl,
      redisUrl,
      pace,
      onProgress,
      onDeath: (watcher, how) => onEvent(`${watcher}, which watches, ended by itself (${how})`),
      signal,
    })
    return {
      addresses: [
        ['prometheus', observing.prometheus],
        ['alertmanager', observing.alertmanager],
      ],
      replica: observing.replica,
      async close() {
        await observing.stop()
        await receiver.close()
      },
    }
  } catch (error) {
    await receiver.close()
    throw error
  }
}

export function sentence({ name, severity, firing, summary, runbook }: ReceivedAlert): string {
  return firing ? `alert ${name} (${severity}): ${summary}; ${runbook}` : `alert ${name} is over`
}
