/** Partitions that stop, because Kafka no longer has what the ledger counts on, while the others go on; and what an operator decides about them. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { topic, useStack, type World } from './harness.ts'
import { millrace } from './millrace.ts'
import { until } from './until.ts'

const servers = useStack()

async function offsets(world: World, ...args: string[]) {
  const answer = await millrace(world.env, 'offsets', ...args)
  return { ...answer, json: () => JSON.parse(answer.out) }
}

/** The proof as an operator has it, against the servers. */
async function verified(t: TestContext, world: World) {
  const { code, out, err } = await millrace(world.env, 'verify', '--to-end', '--json')
  const result = JSON.parse(out)
  t.diagnostic(`verify: ${out.trim()} ${err.trim()}`)
  assert.equal(code, 0, out)
  return result
}

const stoppedOf = async (world: World) =>
  (await Promise.all(world.replicas.filter(({ isAlive }) => isAlive).map((one) => one.status()))).flatMap(
    ({ stopped }) => stopped.map(({ partition, code }) => `${partition} ${code}`),
  )

const untilStopped = (world: World, ...wanted: string[]) =>
  until(`${wanted.join(', ')} to stop`, 45_000, async () => {
    const found = (await stoppedOf(world)).sort()
    if (found.join() === wanted.join()) return true
    throw new Error(found.join())
  })

test('retention overtakes two partitions: they stop, the others go on; rebalances do not wake them; one decision does', async (t) => {
  const world = await servers.world(t)
  const first = await world.replica()
  await world.load({ rate: 2000, events: 1200 }).done
  await world.untilDrained()
  assert.equal((await first.stop()).code, 0)
  await world.load({ rate: 2000, events: 1200 }).done
  const ends = await world.ends()
  const stored = await world.ledger()
  // All of partition 3 is gone, and half of what waits in partition 7.
  const half = Math.floor(((stored.get(7) as number) + (ends.get(7) as number)) / 2)
  const lows = new Map([
    [3, ends.get(3) as number],
    [7, half],
  ])
  await world.admin.deleteTopicRecords({
    topic,
    partitions: [...lows].map(([partition, low]) => ({ partition, offset: String(low) })),
  })
  const second = await world.replica()
  await untilStopped(world, '3 RETENTION_OVERTOOK', '7 RETENTION_OVERTOOK')
  const line = await second.untilLogged(/"partition":3.*RETENTION_OVERTOOK|RETENTION_OVERTOOK.*"partition":3/, 10_000)
  assert.match(line, /offsets set --consumer cloud-events --partition 3 --to earliest/)
  assert.match(line, /--to latest/)
  await until('/readyz to tell it', 10_000, async () => {
    const { code, body } = await second.get('/readyz')
    if (code === 503 && /partition 3 is stopped: RETENTION_OVERTOOK/.test(body)) return true
    throw new Error(body)
  })
  assert.equal((await second.get('/healthz')).code, 200)
  assert.match((await second.get('/metrics')).body, /^millrace_partitions_stopped\{code="RETENTION_OVERTOOK"\} 2$/m)
  await until('the others', 45_000, async () => {
    const now = await world.ledger()
    return [...ends].every(([partition, end]) => lows.has(partition) || now.get(partition) === end) || null
  })
  assert.equal((await world.ledger()).get(3), stored.get(3), 'nothing was reset')

  // Whoever gets them stops them again, and tells it.
  const third = await world.replica()
  await until('the third to have its share', 45_000, async () =>
    (await third.status()).partitions.length > 0 ? true : null,
  )
  await untilStopped(world, '3 RETENTION_OVERTOOK', '7 RETENTION_OVERTOOK')

  const shown = (await offsets(world, 'show', '--json')).json().partitions
  assert.equal(shown[3].state, 'stopped')
  assert.equal(shown[3].stopped.code, 'RETENTION_OVERTOOK')
  assert.equal(shown[7].headroomRecords, (stored.get(7) as number) - half)
  assert.equal(shown[0].state, 'ok')
  assert.equal(shown[0].lagRecords, 0)

  const dry = await offsets(world, 'set', '--partition', '3,7', '--to', 'earliest')
  assert.equal(dry.code, 0, dry.err)
  assert.match(dry.out, /left out, and counted as skips[\s\S]*add --yes/)
  assert.deepEqual((await world.ledger()).get(7), stored.get(7), 'a dry run does nothing')
  const served = await offsets(world, 'set', '--partition', '0', '--to', 'earliest', '--yes')
  assert.equal(served.code, 1)
  assert.match(served.out, /REFUSED: it is not stopped.*--force/)

  const done = await offsets(world, 'set', '--partition', '3,7', '--to', 'earliest', '--yes')
  assert.equal(done.code, 0, done.out + done.err)
  await untilStopped(world)
  await world.untilDrained(30_000)
  const ok = await until('/readyz', 10_000, async () => ((await second.get('/readyz')).code === 200 ? true : null))
  assert.ok(ok)
  const { rows: audit } = await world.sql.query(
    "SELECT target, detail FROM audit WHERE action = 'offsets set' ORDER BY id",
  )
  assert.deepEqual(
    audit.map(({ target, detail }) => [target, detail.after.nextOffset]),
    [
      [`cloud-events ${topic}/3`, lows.get(3)],
      [`cloud-events ${topic}/7`, half],
    ],
  )
  await verified(t, world)
})

test('set forward over records that Kafka still holds: skips, told by the proof; set back: nothing is doubled', async (t) => {
  const world = await servers.world(t)
  const first = await world.replica()
  await world.load({ rate: 2000, events: 1200 }).done
  await world.untilDrained()
  assert.equal((await first.stop()).code, 0)
  await world.load({ rate: 2000, events: 1200 }).done
  const [stored, ends] = [await world.ledger(), await world.ends()]
  const set = async (partition: string, to: string) => {
    const done = await offsets(world, 'set', '--partition', partition, '--to', to, '--yes', '--json')
    assert.equal(done.code, 0, done.out + done.err)
    return done.json().plans[0]
  }
  // The records between, but for the last five.
  const goal = (ends.get(2) as number) - 5
  const skipped = goal - (stored.get(2) as number)
  assert.deepEqual([(await set('2', String(goal))).skipped > 0, skipped > 0], [true, true])
  const before = (await world.sql.query('SELECT start_offset::int AS start FROM ledger WHERE partition = 5')).rows[0]
    .start
  assert.equal((await set('5', String(before + 10))).again, (stored.get(5) as number) - before - 10)
  const rowsBefore = await world.rows()
  const next = await world.replica()
  await world.untilDrained()
  const { rows: counted } = await world.sql.query('SELECT duplicated::int FROM ledger WHERE partition = 5')
  assert.ok(counted[0].duplicated >= (stored.get(5) as number) - before - 10, 'read again is counted as duplicates')
  const result = await verified(t, world)
  assert.equal(result.skips, skipped)
  assert.equal(result.duplicated, 0)
  assert.ok((await world.rows()) > rowsBefore)
  const refused = await offsets(world, 'set', '--partition', '2', '--to', String(stored.get(2)), '--yes', '--force')
  assert.match(refused.out, /REFUSED: some of these records were left out before/)
  // While it runs, fenced and gone on from the new place.
  const load = world.load({ rate: 500 })
  await world.untilServing()
  const forced = await offsets(world, 'set', '--partition', 'all', '--to', String(before + 10), '--yes', '--force')
  if (forced.code !== 0) assert.match(forced.out + forced.err, /moved on meanwhile|REFUSED/)
  await load.stop()
  const at = new Date(Date.now() - 3_600_000).toISOString()
  await next.stop()
  assert.equal((await offsets(world, 'set', '--partition', '9', '--to', at)).code <= 1, true)
  await set('9', String((await world.ledger()).get(9)))
  await set('1', String(((await world.ledger()).get(1) as number) - 3))
  await world.replica()
  await world.untilDrained()
  assert.equal((await verified(t, world)).duplicated, 0)
})

test('a topic made anew that has outgrown the ledger: every partition with something stored stops; a fresh start keeps the old rows', async (t) => {
  const world = await servers.world(t)
  const first = await world.replica()
  await world.load({ rate: 2000, events: 1200 }).done
  await world.untilDrained()
  assert.equal((await first.stop()).code, 0)
  const [stored, rows] = [await world.ledger(), await world.rows()]
  await world.admin.deleteTopics({ topics: [topic] })
  await until('a new topic', 30_000, () =>
    world.admin.createTopics({ topics: [{ topic, numPartitions: stored.size }], waitForLeaders: true }),
  )
  const most = Math.max(...stored.values())
  await until('leaders', 30_000, () => world.admin.fetchTopicOffsets(topic))
  await world.load({ rate: 20_000, events: Math.ceil(most * stored.size * 1.5), poison: 0, duplicates: 0 }).done
  const ends = await world.ends()
  assert.ok(
    [...stored].every(([partition, offset]) => (ends.get(partition) as number) > offset),
    'it has outgrown the ledger',
  )
  await world.replica()
  await untilStopped(world, ...[...stored.keys()].map((partition) => `${partition} TOPIC_RECREATED`).sort())
  assert.deepEqual(await world.ledger(), stored)
  const refused = await offsets(world, 'set', '--partition', 'all', '--to', 'earliest', '--yes')
  assert.equal(refused.code, 1)
  assert.match(refused.out, /REFUSED: ids beyond 0 are taken in events:/)
  await world.redis.del(...(await world.redis.keys('events:*')))
  const done = await offsets(world, 'set', '--partition', 'all', '--to', 'earliest', '--yes')
  assert.equal(done.code, 0, done.out + done.err)
  await world.untilDrained()
  await verified(t, world)
  const { rows: kept } = await world.sql.query('SELECT count(*)::int FROM cloud_events WHERE kafka_topic <> $1', [
    topic,
  ])
  assert.equal(kept[0].count, rows)
})
