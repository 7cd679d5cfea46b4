/** Rows that PostgreSQL refuses, though the decoder let them through: the fleet finds them, rejects their records, and stores all others. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { useStack } from './harness.ts'

const servers = useStack()

test('a check that somebody added refuses every fiftieth record, under load and across a kill', async (t) => {
  const world = await servers.world(t)
  await world.sql.query('alter table cloud_events add constraint whim check (kafka_offset % 50 <> 7)')
  const first = await world.replica()
  const load = world.load({ rate: 600, duplicates: 0, poison: 0 })
  await world.untilRows(2000)
  first.expectEnd()
  first.kill('SIGKILL')
  await world.replica()
  await world.untilServing()
  await world.untilRows(6000)
  await load.stop()
  await world.untilDrained()

  const { rows: refused } = await world.sql.query(
    `select reason, kafka_offset % 50 = 7 as expected, length(value) > 0 as whole, attempts from rejects where code = 'refused'`,
  )
  assert(refused.length > 50, `${refused.length} refused`)
  assert(refused.every(({ expected, whole }) => expected && whole))
  assert.match(refused[0].reason, /SQLSTATE 23514: .*whim/)
  await world.proof({ events: -refused.length, poison: refused.length })
})
