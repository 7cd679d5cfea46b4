/** A topic of nothing but garbage: a real process stops and says why; what it leaves unstored is there when somebody has decided. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import kafkajs from 'kafkajs'
import { topic, useStack, type World } from './harness.ts'
import { within } from './until.ts'

const servers = useStack()

async function stored(world: World): Promise<number> {
  const { rows } = await world.sql.query('select count(*)::int from rejects')
  return rows[0].count
}

/** The code and the last words of a process that ends by itself. */
async function ending(world: World, env: Record<string, string>): Promise<{ code: number | null; said: string }> {
  // The limit may be met before the process says that it serves; then the start is what fails.
  try {
    const replica = await world.replica(env)
    replica.expectEnd()
    const { code } = await within('the process to stop', 30_000, replica.ended)
    return { code, said: replica.log.join('\n') }
  } catch (error) {
    return { code: 1, said: (error as Error).message }
  }
}

test('nothing but garbage: stopped within a limit, also when started again, and stored once the limits are off', async (t) => {
  const small = { MILLRACE_BATCH_ROWS_MAX: '100', MILLRACE_REJECT_WINDOW_RECORDS_MIN: '500' }
  const world = await servers.world(t, { env: small })
  const { poison } = await world.load({ rate: 20_000, events: 4000, poison: 1, duplicates: 0 }).done
  assert(poison > 3000, `${poison} bad records`)
  const first = await ending(world, {})
  assert.equal(first.code, 1)
  assert.match(first.said, /REJECT_LIMIT/)
  assert.match(first.said, /rejectPercentMax is 10/)
  assert.match(first.said, /Not stored, and next to be read: partition \d+ of cloud-events, offsets \d+ to \d+/)
  assert.match(first.said, /millrace rejects list --consumer cloud-events --by code/)
  const one = await stored(world)
  assert(one < 500, `${one} stored`)

  const second = await ending(world, {})
  assert.match(second.said, /REJECT_LIMIT/)
  const two = await stored(world)
  assert(two - one < 500, `${two - one} stored by the second`)

  const third = await ending(world, { MILLRACE_REJECT_PERCENT_MAX: '0', MILLRACE_REJECT_RUN_MAX: '50' })
  assert.match(third.said, /in a row of partition \d+ are bad, and rejectRunMax is 50/)

  await world.replica({ MILLRACE_REJECT_PERCENT_MAX: '0', MILLRACE_REJECT_RUN_MAX: '0' })
  await world.untilDrained()
  assert.equal(await stored(world), poison)
  await world.proof()
})

test('a run goes on from process to process: starting it again and again stores no more than one run', async (t) => {
  const world = await servers.world(t, { env: { MILLRACE_REJECT_PERCENT_MAX: '0', MILLRACE_REJECT_RUN_MAX: '60' } })
  const producer = world.kafka.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner })
  await producer.connect()
  t.after(() => producer.disconnect())
  const bad = (count: number) =>
    producer.send({ topic, messages: Array.from({ length: count }, () => ({ partition: 3, value: 'bad' })) })
  for (const count of [50, 9]) {
    await bad(count)
    const replica = await world.replica()
    await world.untilDrained()
    await replica.stop()
  }
  await bad(1)
  const { said } = await ending(world, {})
  assert.match(said, /REJECT_LIMIT: 60 records in a row of partition 3/)
  assert.equal(await stored(world), 59)
})

test('a good stream with bad records in it, far more than one in a thousand, is never stopped', async (t) => {
  const world = await servers.world(t)
  await world.replica()
  await world.load({ rate: 5000, events: 10_000, poison: 0.03 }).done
  await world.untilDrained()
  await world.proof()
})
