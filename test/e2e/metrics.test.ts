/** What real replicas tell of themselves: every metric of the table, and events counted once for each row there is. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import definition from '../../consumers/cloud-events.ts'
import { fullName, type MetricName, metricRows, seriesNames } from '../../src/core/metrics.ts'
import { type Fate, startCommitProxy } from './commit-proxy.ts'
import { useStack, type World } from './harness.ts'
import { through } from './proxy.ts'
import { until } from './until.ts'

const servers = useStack()

const sumOf = async ({ replicas }: World, line: string) => {
  const living = replicas.filter(({ isAlive }) => isAlive)
  const values = await Promise.all(living.map((one) => one.metric(line)))
  return values.reduce((sum, value) => sum + value, 0)
}

test('two replicas and a load: every metric is told, under the labels of its row; what was counted is what is stored', async (t) => {
  const world = await servers.world(t)
  const first = await world.replica()
  await world.replica()
  const load = world.load({ rate: 1000 })
  await world.untilServing()
  await world.untilRows(5000)
  await load.stop()
  await world.untilDrained()

  const rows = await world.rows()
  assert.equal(await sumOf(world, 'bss_events_total'), rows)
  assert.equal(await sumOf(world, 'millrace_rows_total'), rows)
  assert.equal(await sumOf(world, 'bss_event_processing_duration_seconds_count'), rows)
  assert.equal(await sumOf(world, 'bss_event_size_bytes_count'), rows)
  const { rows: types } = await world.sql.query('select type, count(*)::int from cloud_events group by type')
  assert.ok(types.length > 5)
  for (const { type, count } of types)
    assert.equal(await sumOf(world, `bss_events_by_type_total{type="${type}"}`), count, type)
  const failed = types.find(({ type }) => type === 'com.bss.payment.failed')?.count ?? 0
  assert.equal(await sumOf(world, 'bss_payments_total{state="failed"}'), failed)

  // Redis is asked every 15 s, and replicas that would be of use are told after ten.
  const body = await until('everything to be told', 40_000, async () => {
    const { body } = await first.get('/metrics')
    for (const name of ['redis_memory_bytes', 'stream_entries', 'useful_replicas', 'event_loop_delay_seconds'])
      if (!new RegExp(`^millrace_${name}[ {]`, 'm').test(body)) throw new Error(`${name} is missing`)
    return body
  })
  // Told only when there is something to tell.
  const absent = [
    'keeper_actions_total',
    'keeper_failures_total',
    'lost_total',
    'retention_headroom_records',
    'retention_headroom_seconds',
    'retries_total',
    'room_stretch',
    'trace_spans_total',
  ]
  for (const [name, { type }] of Object.entries(metricRows)) {
    const full = fullName(name as MetricName)
    assert.match(body, new RegExp(`^# TYPE ${full} ${type}$`, 'm'))
    if (!absent.includes(name)) assert.match(body, new RegExp(`^${full}(_count)?[ {]`, 'm'), full)
  }
  const names = seriesNames(definition.metrics ?? [])
  for (const line of body.split('\n')) {
    const [, name = '', labels = ''] = /^((?:millrace|bss)_\w+)(?:\{(.*)\})? /.exec(line) ?? []
    if (name === '') continue
    const known = names.get(name)
    assert.ok(known !== undefined, line)
    for (const [, label = ''] of labels.matchAll(/(\w+)="/g)) assert.ok(known.labels.includes(label), line)
  }
  assert.equal(await sumOf(world, 'millrace_server_away'), 0)
  assert.equal(await sumOf(world, 'millrace_room_lag_records'), 0)
  await world.proof()
})

test('commits whose answers are lost, and a replica that is killed: never more is counted than there are rows', async (t) => {
  const world = await servers.world(t)
  const { random } = world
  let losing = true
  const proxy = await startCommitProxy(world.postgresUrl, () => {
    if (!losing || random.unit() > 0.3) return 'pass'
    return (['before', 'during', 'answer'] as const)[random.below(3)] as Fate
  })
  t.after(() => proxy.close())
  const env = { MILLRACE_POSTGRES: through(world.postgresUrl, proxy) }
  const doomed = await world.replica(env)
  await world.replica(env)
  const load = world.load({ rate: 1000 })
  await until('every fate to have come to pass', 120_000, () => {
    const { before, during, answer } = proxy.fates
    if (Math.min(before, during, answer) >= 5) return true
    throw new Error(JSON.stringify(proxy.fates))
  })
  const counted = await doomed.metric('bss_events_total')
  doomed.kill('SIGKILL')
  await doomed.ended
  await world.replica(env)
  await world.untilServing()
  losing = false
  await load.stop()
  await world.untilDrained()
  const rows = await world.rows()
  const all = counted + (await sumOf(world, 'bss_events_total'))
  t.diagnostic(`${all} of ${rows} rows were counted; fates: ${JSON.stringify(proxy.fates)}`)
  assert.ok(all <= rows && all > rows / 2, `${all} of ${rows}`)
  await world.proof()
})
