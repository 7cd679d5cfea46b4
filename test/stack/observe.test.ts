/** Prometheus, Alertmanager and an exporter by themselves: they answer, take the rules, find replicas that are told, and leave nothing behind. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { alerts } from '../../dashboards/alerts/rules.ts'
import { identify } from '../../src/stack/lock.mjs'
import { startObserving } from '../../src/stack/observe.ts'
import { paces } from '../../src/stack/observe-config.ts'
import { stackFolder } from '../../src/stack/state.ts'
import { eventually, root, uniqueName } from './root.ts'

const running = (pids: readonly number[]) => pids.filter((pid) => identify(pid))

async function ask<T>(url: string): Promise<T> {
  const response = await fetch(url, { signal: AbortSignal.timeout(10_000) })
  return ((await response.json()) as { data: T }).data
}

test('watchers answer, know all alerts, follow a replica to another port, and end with stop()', async (t) => {
  const folder = stackFolder(root, uniqueName('observe'))
  mkdirSync(folder, { recursive: true })
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const observing = await startObserving({
    root,
    folder,
    consumer: 'cloud-events',
    webhookUrl: 'http://127.0.0.1:1',
    pace: paces.quick,
  })
  t.after(() => observing.stop())
  const pids = Object.values(observing.pids)
  // Without PostgreSQL and Redis of ours there is nobody to look into.
  assert.deepEqual(Object.keys(observing.pids).sort(), ['alertmanager', 'node', 'prometheus'])

  type Rules = { groups: { rules: { name: string; type: string; lastError?: string; health: string }[] }[] }
  const { groups } = await ask<Rules>(`${observing.prometheus}/api/v1/rules`)
  const rules = groups.flatMap((group) => group.rules)
  assert.equal(rules.filter(({ type }) => type === 'alerting').length, alerts.length)
  const status = (await (await fetch(`${observing.alertmanager}/api/v2/status`)).json()) as {
    cluster: { status: string }
  }
  assert.equal(status.cluster.status, 'disabled')

  const serve = async () => {
    const server = createServer((_, response) => response.end('millrace_lag_seconds 7\n'))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    t.after(() => server.close())
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }
  type Vector = { result: { metric: Record<string, string>; value: [number, string] }[] }
  const lags = async () => {
    const { result } = await ask<Vector>(`${observing.prometheus}/api/v1/query?query=millrace_lag_seconds`)
    return result.map(({ metric }) => `${metric.job} ${metric.consumer} ${metric.instance}`)
  }
  for (const _ of ['first', 'second']) {
    observing.replica('replica-1', await serve())
    await eventually('the replica is scraped under its name', async () => {
      return (await lags()).join() === 'millrace cloud-events replica-1'
    })
  }
  await eventually('every rule has been evaluated without an error', async () => {
    const told = await ask<Rules>(`${observing.prometheus}/api/v1/rules`)
    return told.groups.every((group) => group.rules.every(({ health }) => health === 'ok'))
  })
  await observing.stop()
  assert.deepEqual(running(pids), [])
})

test('kill -9 of the owner ends all watchers within seconds', async (t) => {
  const name = uniqueName('observe-killed')
  const folder = stackFolder(root, name)
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const owner = spawn(process.execPath, [join(import.meta.dirname, 'observe-owner.ts'), root, name], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.after(() => owner.kill('SIGKILL'))
  let pids: number[] = []
  for await (const line of createInterface({ input: owner.stdout })) {
    pids = Object.values(JSON.parse(line) as Record<string, number>)
    break
  }
  assert.equal(running(pids).length, 3)
  assert.ok(existsSync(folder))
  owner.kill('SIGKILL')
  await eventually('all watchers are gone', () => running(pids).length === 0, 8000)
})
