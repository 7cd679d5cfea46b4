/**
 * Prometheus and Alertmanager beside a stack and its fleet, with the exporters of what runs here: the rules and routes of dashboards/, on free ports.
 *
 * Promises: both answer when this resolves; what was started ends with stop(), and with this process however it ends; a replica that is told is
 * scraped, and one that is down stays a target, so that somebody notices.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { PrometheusParts } from './install-prometheus.ts'
import {
  alertmanagerConfig,
  type Pace,
  prometheusConfig,
  quicken,
  receiverPattern,
  replicaTargets,
} from './observe-config.ts'
import { launchWatcher, observeFolder, observeMarkers, type Watcher, watchers } from './observe-programs.ts'
import { installObservers } from './parts.ts'
import { freePort } from './ports.ts'
import type { OnProgress } from './progress.ts'
import { awaitReady, endProcess, findMarked, PortTakenError, type Running, spawnServer } from './server.ts'
import { writeWhole } from './state.ts'
import { startWatchdog } from './watchdog.ts'

export interface ObserveOptions {
  /** Of the project: dashboards/ and .local/ lie there. */
  readonly root: string
  /** The stack's. */
  readonly folder: string
  readonly consumer: string
  /** Every receiver's alerts are posted here, under its name. */
  readonly webhookUrl: string
  /** Servers of this machine, which exporters look into. */
  readonly postgresUrl?: string
  readonly redisUrl?: string
  readonly pace: Pace
  readonly onProgress?: OnProgress
  /** One of the watchers ended by itself: nobody else does because of it. */
  readonly onDeath?: (watcher: Watcher, how: string) => void
  readonly signal?: AbortSignal
}

export interface Observing {
  readonly prometheus: string
  readonly alertmanager: string
  readonly pids: Readonly<Partial<Record<Watcher, number>>>
  /** Serves at this address from now on. */
  replica(name: string, adminUrl: string): void
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

const readyMs = 60_000
const portTriesMax = 5

export async function startObserving(options: ObserveOptions): Promise<Observing> {
  const { root, folder, signal } = options
  const onProgress = options.onProgress ?? (() => {})
  const part = 'Prometheus'
  const parts = await installObservers(root, onProgress, signal)
  // What a run left that was killed together with its watchdog.
  await Promise.all(findMarked(observeMarkers(folder)).map((one) => endProcess(one, 'SIGTERM')))
  const watchdog = startWatchdog()
  const running = new Map<Watcher, Running>()
  const stop = async () => {
    const all = [...running.values()]
    running.clear()
    await Promise.all(all.map(({ identity }) => endProcess(identity, 'SIGTERM', 10_000)))
    watchdog.done()
  }
  try {
    for (let tries = 1; ; tries += 1) {
      try {
        return await start(parts)
      } catch (error) {
        if (!(error instanceof PortTakenError) || tries === portTriesMax) throw error
        const all = [...running.values()]
        running.clear()
        await Promise.all(all.map(({ identity }) => endProcess(identity, 'SIGKILL')))
      }
    }
  } catch (error) {
    await stop()
    throw error
  }

  async function start(parts: PrometheusParts): Promise<Observing> {
    const own = observeFolder(folder)
    rmSync(own, { recursive: true, force: true })
    mkdirSync(own, { recursive: true })
    const ports = await choosePorts()
    const { postgresUrl = '', redisUrl = '' } = options
    const wanted = watchers.filter(
      (watcher) => (watcher !== 'postgres' || postgresUrl !== '') && (watcher !== 'redis' || redisUrl !== ''),
    )
    const replicasFile = join(own, 'replicas.json')
    const replicas = new Map<string, string>()
    const tell = () => writeWhole(replicasFile, replicaTargets(options.consumer, replicas))
    tell()
    writeConfig(own, ports, wanted, replicasFile, options)
    onProgress({ part, text: 'starts', done: false })
    const results = await Promise.allSettled(
      wanted.map(async (watcher) => {
        const launch = launchWatcher(watcher, { parts, folder, ports, postgresUrl, redisUrl })
        await launch.prepare(signal)
        const one = spawnServer(launch, join(own, `${watcher}.log`))
        running.set(watcher, one)
        watchdog.add(one.identity, launch.abandonSignal)
        await awaitReady(watcher, launch, one, readyMs, signal)
        void one.exited.then((how) => {
          watchdog.drop(one.identity)
          if (running.get(watcher) === one) options.onDeath?.(watcher, how)
        })
      }),
    )
    // Any of them may have found its port taken; what else went wrong says more.
    const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []))
    const failure = failures.find((reason) => !(reason instanceof PortTakenError)) ?? failures[0]
    if (failure !== undefined) throw failure
    onProgress({ part, text: `answers on port ${ports.prometheus}, Alertmanager on ${ports.alertmanager}`, done: true })
    return {
      prometheus: `http://127.0.0.1:${ports.prometheus}`,
      alertmanager: `http://127.0.0.1:${ports.alertmanager}`,
      get pids() {
        return Object.fromEntries([...running].map(([watcher, { identity }]) => [watcher, identity.pid]))
      },
      replica(name, adminUrl) {
        if (replicas.get(name) === adminUrl) return
        replicas.set(name, adminUrl)
        tell()
      },
      stop,
      [Symbol.asyncDispose]: stop,
    }
  }
}

async function choosePorts(): Promise<Record<Watcher, number>> {
  const taken = new Set<number>()
  for (const _ of watchers) taken.add(await freePort(taken))
  const ports = [...taken]
  return Object.fromEntries(watchers.map((watcher, index) => [watcher, ports[index]])) as Record<Watcher, number>
}

function writeConfig(
  own: string,
  ports: Readonly<Record<Watcher, number>>,
  wanted: readonly Watcher[],
  replicasFile: string,
  { root, webhookUrl, pace }: ObserveOptions,
): void {
  const dashboards = join(root, 'dashboards')
  const ruleFiles = ['recording.yml', 'alerts.yml'].map((name) => {
    const file = join(own, name)
    writeFileSync(file, quicken(readFileSync(join(dashboards, 'prometheus', name), 'utf8'), pace))
    return file
  })
  const address = (watcher: Watcher) => `127.0.0.1:${ports[watcher]}`
  const jobs = Object.fromEntries(wanted.map((watcher) => [watcher, address(watcher)]))
  const targets = { jobs, alertmanager: address('alertmanager'), ruleFiles, replicasFile }
  writeFileSync(join(own, 'prometheus.yml'), prometheusConfig(targets, pace))
  const routes = readFileSync(join(dashboards, 'alertmanager', 'alertmanager.yml'), 'utf8')
  const receivers = join(own, 'receivers')
  mkdirSync(receivers, { recursive: true })
  for (const [, name] of routes.matchAll(receiverPattern))
    writeFileSync(join(receivers, name!), `${webhookUrl}/${name}`)
  writeFileSync(join(own, 'alertmanager.yml'), alertmanagerConfig(routes, receivers, pace))
}
