/**
 * Alerts from end to end: a real fleet, real servers, real Prometheus and Alertmanager with the committed rules at the quick pace, and a webhook. What is
 * broken is told within 30 s to the team concerned, and told to be over when it is mended. Then every dashboard is asked for its figures.
 */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { exporters } from '../../dashboards/exporters.ts'
import { boards } from '../../dashboards/generated.ts'
import { type Observing, startObserving } from '../../src/stack/observe.ts'
import { paces } from '../../src/stack/observe-config.ts'
import { type ReceivedAlert, receiveAlerts } from '../../src/start/alert-receiver.ts'
import { namedIn } from '../dashboards/promql.ts'
import { root, useStack, type World } from './harness.ts'
import { until } from './until.ts'

const servers = useStack()
const alertMs = 30_000
/** A tenth of the records may be bad here: the limit that stops a replica has tests of its own. */
const env = { MILLRACE_REJECT_PERCENT_MAX: '0', MILLRACE_REJECT_RUN_MAX: '0' }

interface Watched {
  readonly observing: Observing
  readonly told: readonly ReceivedAlert[]
  /** Until this alert fires, or is over, as told since now; answers it. */
  untilTold(name: string, firing: boolean, from: number, instance?: string): Promise<ReceivedAlert>
}

async function watch(t: TestContext, world: World): Promise<Watched> {
  const told: ReceivedAlert[] = []
  const receiver = await receiveAlerts((alert) => {
    told.push(alert)
    t.diagnostic(
      `${alert.firing ? 'fires' : 'over'}: ${alert.name} ${alert.severity} to ${alert.receiver}: ${alert.summary}`,
    )
  })
  t.after(() => receiver.close())
  const observing = await startObserving({
    root,
    folder: world.stack.folder,
    consumer: 'cloud-events',
    webhookUrl: receiver.url,
    postgresUrl: world.postgresUrl,
    redisUrl: world.stack.redis,
    pace: paces.quick,
    onDeath: (watcher, how) => t.diagnostic(`${watcher} ended: ${how}`),
  })
  t.after(() => observing.stop())
  const untilTold = (name: string, firing: boolean, from: number, instance?: string) =>
    until(`${name} to ${firing ? 'fire' : 'be over'}`, alertMs, () => {
      const isIt = (alert: ReceivedAlert) => alert.name === name && alert.firing === firing
      return told.slice(from).find((one) => isIt(one) && (!instance || one.labels.instance === instance)) ?? null
    })
  return { observing, told, untilTold }
}

interface Sample {
  readonly metric: Readonly<Record<string, string>>
  readonly value: readonly [number, string]
}

async function query(prometheus: string, expr: string): Promise<Sample[]> {
  const response = await fetch(`${prometheus}/api/v1/query`, {
    method: 'POST',
    body: new URLSearchParams({ query: expr }),
    signal: AbortSignal.timeout(10_000),
  })
  const { status, error, data } = (await response.json()) as {
    status: string
    error?: string
    data?: { result: Sample[] }
  }
  assert.equal(status, 'success', `${expr}: ${error}`)
  return data?.result ?? []
}

test('a replica, PostgreSQL, Redis and the producers break one after the other: each is told in time, and told to be over', {
  timeout: 300_000,
}, async (t) => {
  const world = await servers.world(t, { env })
  const first = await world.replica()
  const second = await world.replica()
  const { observing, told, untilTold } = await watch(t, world)
  observing.replica('one', first.adminUrl)
  observing.replica('two', second.adminUrl)
  const load = world.load({ rate: 300, poison: 0 })
  await world.untilServing()
  await until('both replicas to be scraped', alertMs, async () => {
    const up = await query(observing.prometheus, 'up{job="millrace"} == 1')
    return up.length === 2 ? true : null
  })
  for (const name of ['PostgresDown', 'RejectsRatio']) assert.ok(!told.some((alert) => alert.name === name), name)

  await t.test('a replica is killed', async () => {
    const from = told.length
    second.kill('SIGKILL')
    const alert = await untilTold('ReplicaDown', true, from, 'two')
    assert.deepEqual([alert.severity, alert.team, alert.labels.instance], ['warning', 'sre', 'two'])
    assert.equal(alert.summary, 'Replica two of cloud-events does not answer')
    assert.equal(alert.runbook, 'docs/runbooks/replica-down.md')
    const third = await world.replica()
    observing.replica('two', third.adminUrl)
    await untilTold('ReplicaDown', false, from, 'two')
  })

  await t.test('PostgreSQL is stopped', async () => {
    const from = told.length
    await world.stack.stopServer('postgres')
    const alert = await untilTold('PostgresDown', true, from)
    assert.deepEqual([alert.severity, alert.team], ['critical', 'database'])
    // Both are told; who is first is chance.
    assert.ok(['oncall', 'database'].includes(alert.receiver), alert.receiver)
    await world.stack.startServer('postgres')
    await untilTold('PostgresDown', false, from)
  })

  await t.test('Redis is stopped', async () => {
    const from = told.length
    await world.stack.stopServer('redis')
    const alert = await untilTold('RedisDown', true, from)
    assert.deepEqual([alert.severity, alert.team], ['critical', 'cache'])
    await world.stack.startServer('redis')
    await untilTold('RedisDown', false, from)
  })

  await t.test('producers send rubbish', async () => {
    const from = told.length
    const poison = world.load({ rate: 300, poison: 0.5 })
    const alert = await untilTold('RejectsRatio', true, from)
    assert.equal(alert.team, 'business')
    await poison.stop()
    // The warning may have been told before it became critical: both end.
    await until('RejectsRatio to be over in every severity', alertMs, () => {
      const own = told.slice(from).filter(({ name }) => name === 'RejectsRatio')
      return own.filter(({ firing }) => firing).length === own.filter(({ firing }) => !firing).length ? true : null
    })
  })

  await t.test('no text of an alert has failed to be filled in', () => {
    for (const { name, summary } of told) assert.doesNotMatch(summary, /<error|{{|<no value>/, name)
  })

  await t.test('every query of the dashboards is answered, with figures where this stack has them', async () => {
    const asked = Object.entries(boards).flatMap(([board, { rows }]) =>
      rows.flatMap(({ panels }) =>
        panels.flatMap(({ title, queries }) => queries.map(([expr]) => ({ where: `${board}: ${title}`, expr }))),
      ),
    )
    // Some figures are asked of Redis every 15 s only, and it has just been away.
    await until('every figure to be there', 60_000, async () => {
      const missing: string[] = []
      for (const { where, expr } of asked) {
        const found = await query(
          observing.prometheus,
          expr.replaceAll('$__rate_interval', '15s').replaceAll('$consumer', '.*'),
        )
        if (found.length === 0 && isExpected(expr)) missing.push(`${where}: ${expr}`)
      }
      if (missing.length > 0) throw new Error(missing.join('\n'))
      return true
    })
  })

  await load.stop()
  await world.untilDrained()
  await world.proof()
})

/** Not on a stack where nothing goes wrong for long, in a container of one file system, and without the exporters that only Docker has. */
const rare = new Set([
  'ALERTS',
  'millrace_keeper_actions_total',
  'millrace_keeper_failures_total',
  'millrace_lost_total',
  'millrace_retention_headroom_seconds',
  'millrace:disk_free:ratio',
  'bss_invoices_total',
  'pg_stat_user_tables_n_dead_tup',
])
const elsewhere = new Set(
  Object.values(exporters)
    .filter(({ local }) => !local)
    .flatMap(({ metrics }) => Object.keys(metrics)),
)

function isExpected(expr: string): boolean {
  return namedIn(expr).every(({ metric }) => !rare.has(metric) && !elsewhere.has(metric))
}
