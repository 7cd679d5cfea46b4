/** Prometheus's and Alertmanager's own tools on the committed files, and on those that the local stack makes of them. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { boards } from '../../dashboards/generated.ts'
import type { PrometheusParts, WatcherProgram } from '../../src/stack/install-prometheus.ts'
import { alertmanagerConfig, paces, prometheusConfig, quicken, replicaTargets } from '../../src/stack/observe-config.ts'
import { installObservers } from '../../src/stack/parts.ts'
import { run } from '../../src/stack/run.ts'
import { promtoolTests } from './promtool-tests.ts'

const root = join(import.meta.dirname, '../..')
const dashboards = join(root, 'dashboards')
const prometheus = join(dashboards, 'prometheus')
const ruleFiles = ['recording.yml', 'alerts.yml'].map((name) => join(prometheus, name))
const routes = join(dashboards, 'alertmanager/alertmanager.yml')

let parts: PrometheusParts
before(async () => {
  parts = await installObservers(root, () => {})
})

async function passes(program: WatcherProgram, ...args: string[]): Promise<string> {
  const [command, ...words] = parts.command(program)
  const { code, out } = await run(command!, [...words, ...args])
  assert.equal(code, 0, out)
  return out
}

function inFolder(t: { after(work: () => void): void }): string {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-promtool-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

test('promtool takes the configuration and the rules', async () => {
  await passes('promtool', 'check', 'config', join(prometheus, 'prometheus.yml'))
  assert.match(await passes('promtool', 'check', 'rules', '--lint=all', '--lint-fatal', ...ruleFiles), /SUCCESS/)
})

test('every alert fires when it should and is quiet when it should', { timeout: 240_000 }, async (t) => {
  const file = join(inFolder(t), 'tests.json')
  writeFileSync(file, promtoolTests(ruleFiles))
  await passes('promtool', 'test', 'rules', file)
})

test('the autoscalers are told the right number of replicas', async () => {
  await passes('promtool', 'check', 'rules', join(dashboards, 'kubernetes/rules.yml'))
  await passes('promtool', 'test', 'rules', join(import.meta.dirname, 'scaling.yml'))
})

test('promtool takes every query of the dashboards', async (t) => {
  const queries = Object.entries(boards).flatMap(([board, { rows }]) =>
    rows.flatMap(({ panels }) => panels.flatMap(({ queries }) => queries.map(([expr]) => ({ board, expr })))),
  )
  const rules = queries.map(({ board, expr }, index) => ({
    record: `${board.replaceAll('-', '_')}:query:q${index}`,
    expr: expr.replaceAll('$__rate_interval', '1m').replaceAll('$consumer', '.*'),
  }))
  const file = join(inFolder(t), 'queries.json')
  writeFileSync(file, JSON.stringify({ groups: [{ name: 'queries', rules }] }))
  assert.match(await passes('promtool', 'check', 'rules', file), new RegExp(`SUCCESS: ${queries.length} rules`))
})

test('amtool takes the routes, and they lead where they should', async () => {
  await passes('amtool', 'check-config', routes)
  const led = async (...labels: string[]) => {
    const out = await passes('amtool', 'config', 'routes', 'test', `--config.file=${routes}`, ...labels)
    return out.split('\n').filter((line) => /^[a-z,]+$/.test(line.trim()))
  }
  assert.deepEqual(await led('severity=warning', 'team=database'), ['database'])
  assert.deepEqual(await led('severity=critical', 'team=cache'), ['oncall,cache'])
  assert.deepEqual(await led('severity=warning', 'team=streaming'), ['streaming'])
  assert.deepEqual(await led('severity=critical', 'team=business'), ['oncall,business'])
  assert.deepEqual(await led('severity=warning', 'team=nobody'), ['sre'])
})

for (const [name, pace] of Object.entries(paces)) {
  test(`what the local stack makes of them at the ${name} pace is taken too`, async (t) => {
    const folder = inFolder(t)
    const rules = ruleFiles.map((file, index) => {
      const own = join(folder, `rules-${index}.yml`)
      writeFileSync(own, quicken(readFileSync(file, 'utf8'), pace))
      return own
    })
    const replicasFile = join(folder, 'replicas.json')
    writeFileSync(replicasFile, replicaTargets('cloud-events', new Map([['replica-1', 'http://127.0.0.1:4711']])))
    const config = join(folder, 'prometheus.yml')
    const jobs = { postgres: '127.0.0.1:4712', alertmanager: '127.0.0.1:4713' }
    const targets = { jobs, alertmanager: '127.0.0.1:4713', ruleFiles: rules, replicasFile }
    writeFileSync(config, prometheusConfig(targets, pace))
    await passes('promtool', 'check', 'config', config)
    const receivers = join(folder, 'receivers {1}')
    mkdirSync(receivers)
    const alertmanager = join(folder, 'alertmanager.yml')
    const text = alertmanagerConfig(readFileSync(routes, 'utf8'), receivers, pace)
    assert.ok(!text.includes('/etc/'))
    writeFileSync(alertmanager, text)
    await passes('amtool', 'check-config', alertmanager)
  })
}
