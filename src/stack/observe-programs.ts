/** How each of the programs that watch is started, and when it is ready. Each has an argument that only this stack's process of its kind has. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { PrometheusParts, WatcherProgram } from './install-prometheus.ts'
import type { Launch } from './server.ts'

export const watchers = ['prometheus', 'alertmanager', 'postgres', 'redis', 'node'] as const
export type Watcher = (typeof watchers)[number]

const programs: Readonly<Record<Watcher, WatcherProgram>> = {
  prometheus: 'prometheus',
  alertmanager: 'prometheus-alertmanager',
  postgres: 'prometheus-postgres-exporter',
  redis: 'prometheus-redis-exporter',
  node: 'prometheus-node-exporter',
}

/** `folder` is the stack's. */
export function observeFolder(folder: string): string {
  return join(folder, 'observe')
}

function markerOf(watcher: Watcher, stackFolder: string): string {
  const folder = observeFolder(stackFolder)
  if (watcher === 'prometheus') return `--storage.tsdb.path=${folder}/prometheus`
  if (watcher === 'alertmanager') return `--storage.path=${folder}/alertmanager`
  if (watcher === 'postgres') return `--config.file=${folder}/postgres-exporter.yml`
  if (watcher === 'redis') return `-redis.password-file=${folder}/redis-passwords.json`
  return `--collector.textfile.directory=${folder}/node`
}

export function observeMarkers(stackFolder: string): string[][] {
  return watchers.map((watcher) => [markerOf(watcher, stackFolder)])
}

export interface WatcherPlan {
  readonly parts: PrometheusParts
  /** The stack's. */
  readonly folder: string
  readonly ports: Readonly<Record<Watcher, number>>
  readonly postgresUrl: string
  readonly redisUrl: string
}

export function launchWatcher(watcher: Watcher, { parts, folder, ports, postgresUrl, redisUrl }: WatcherPlan): Launch {
  const own = observeFolder(folder)
  const marker = markerOf(watcher, folder)
  const listen = `web.listen-address=127.0.0.1:${ports[watcher]}`
  const words = [...parts.command(programs[watcher]), marker]
  const launches: Record<Watcher, () => string[]> = {
    prometheus: () => [
      ...words,
      `--${listen}`,
      `--config.file=${own}/prometheus.yml`,
      '--storage.tsdb.retention.time=1d',
    ],
    // Without its cluster's port, which would be a fixed one.
    alertmanager: () => [...words, `--${listen}`, `--config.file=${own}/alertmanager.yml`, '--cluster.listen-address='],
    postgres: () => ['env', `DATA_SOURCE_NAME=${withoutTls(postgresUrl)}`, ...words, `--${listen}`],
    redis: () => [...words, `-${listen}`, `-redis.addr=${redisUrl}`],
    node: () => [...words, `--${listen}`],
  }
  const path = watcher === 'prometheus' || watcher === 'alertmanager' ? '/-/ready' : '/'
  return {
    words: launches[watcher],
    stopSignal: 'SIGTERM',
    abandonSignal: 'TERM',
    marker: [marker],
    async prepare() {
      mkdirSync(join(own, watcher), { recursive: true })
      if (watcher === 'postgres') writeFileSync(join(own, 'postgres-exporter.yml'), '{}\n')
      if (watcher === 'redis') writeFileSync(join(own, 'redis-passwords.json'), '{}\n')
    },
    async ready(signal) {
      while (!(await answers(`http://127.0.0.1:${ports[watcher]}${path}`, signal))) {
        await sleep(50, undefined, { signal })
      }
    },
  }
}

function answers(url: string, signal: AbortSignal): Promise<boolean> {
  return fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(2000)]) }).then(
    async (response) => {
      await response.body?.cancel()
      return response.ok
    },
    () => false,
  )
}

/** The exporter's driver wants TLS unless told otherwise; the local server has none. */
function withoutTls(url: string): string {
  const own = new URL(url)
  own.searchParams.set('sslmode', 'disable')
  return own.href
}
