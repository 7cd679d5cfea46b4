/** The keeper in real processes: one is killed in the middle of a sealing, the next makes it good; the horizon is told where it is looked for. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dayOf, dayText, partitionName } from '../../src/core/day.ts'
import { isSealed } from '../../src/keeper/plan.ts'
import { readPartitions } from '../../src/schema/partitions.ts'
import { makeDays } from '../keeper/world.ts'
import { useStack } from './harness.ts'
import { until } from './until.ts'

const servers = useStack()

test('killed -9 while it seals: the server ends its session, another process seals; readiness and metrics tell the horizon', async (t) => {
  const world = await servers.world(t)
  const { sql } = world
  const day = dayOf(Date.now()) - 3
  await makeDays(sql, [day], 1000)
  // Somebody writes to the day and does not commit: CREATE INDEX CONCURRENTLY waits.
  await sql.query(`begin; lock table ${partitionName('cloud_events', day)} in row exclusive mode`)
  const first = await world.replica()
  const invalid = async () => (await sql.query('select 1 from pg_index where not indisvalid')).rows.length > 0
  await until('an index half made', 30_000, async () => (await invalid()) || null)
  first.expectEnd()
  first.kill('SIGKILL')
  await first.ended
  await until('its turn to be free', 30_000, async () => {
    const { rows } = await sql.query("select 1 from pg_locks where locktype = 'advisory'")
    return rows.length === 0 || null
  })
  assert.ok(await invalid())
  await sql.query('commit')

  const second = await world.replica()
  await second.untilLogged(new RegExp(`"day":"${dayText(day)}".*partition: sealed`), 30_000)
  const { partitions } = await readPartitions(sql, 'cloud_events')
  assert.ok(partitions.some((one) => one.day === day && isSealed(one)))
  const horizon = await until('the days ahead', 30_000, async () => {
    const { code, body } = await second.get('/readyz')
    const ready = JSON.parse(body)
    return code === 200 && ready.partitionHorizonDays === 7 ? ready : null
  })
  assert.deepEqual(horizon, { ok: true, reasons: [], partitionHorizonDays: 7 })
  assert.equal(await second.metric('millrace_partition_horizon_days'), 7)
  assert.equal((await second.stop()).code, 0)
})
