/** Kafka away, and a topic taken from under a running fleet. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { topic, useStack } from './harness.ts'
import { millrace } from './millrace.ts'
import { until } from './until.ts'

const servers = useStack()

test('Kafka is away: not ready, and said so, within seconds; alive; ready again when it is back', async (t) => {
  const world = await servers.world(t)
  const replica = await world.replica()
  await world.load({ rate: 2000, events: 600 }).done
  await world.untilDrained()
  const untilReady = (code: number, says: RegExp) =>
    until(`/readyz to answer ${code}`, 45_000, async () => {
      const ready = await replica.get('/readyz')
      if (ready.code === code && says.test(ready.body)) return true
      throw new Error(`${ready.code} ${ready.body}`)
    })
  await untilReady(200, /"ok":true/)
  await world.stack.stopServer('kafka', { signal: 'SIGKILL' })
  const startedMs = performance.now()
  await untilReady(503, /kafka is down/)
  t.diagnostic(`told after ${Math.round(performance.now() - startedMs)} ms`)
  assert.equal((await replica.get('/healthz')).code, 200)
  await world.stack.startServer('kafka')
  await untilReady(200, /"ok":true/)
  await world.load({ rate: 2000, events: 600 }).done
  await world.untilDrained()
  await world.proof()
})

// The last test of the file: it takes the topic away.
test('a topic is made anew under a running fleet, and nothing or little comes in: partitions stop, the process lives', async (t) => {
  const world = await servers.world(t)
  const replica = await world.replica()
  await world.load({ rate: 2000, events: 1200 }).done
  await world.untilDrained()
  const stored = await world.ledger()
  await world.admin.deleteTopics({ topics: [topic] })
  await until('a new topic', 30_000, () =>
    world.admin.createTopics({ topics: [{ topic, numPartitions: stored.size }], waitForLeaders: true }),
  )
  await until('every partition to stop', 60_000, async () => {
    const { stopped } = await replica.status()
    if (stopped.length === stored.size && stopped.every(({ code }) => /^TOPIC_(RECREATED|TRUNCATED)$/.test(code)))
      return true
    throw new Error(JSON.stringify(stopped))
  })
  await world.load({ rate: 2000, events: 600, poison: 0, duplicates: 0 }).done
  assert.deepEqual(await world.ledger(), stored, 'nothing was reset')
  assert.equal((await replica.get('/healthz')).code, 200)
  assert.ok(replica.isAlive)
  await world.redis.del(...(await world.redis.keys('events:*')))
  const done = await millrace(world.env, 'offsets', 'set', '--partition', 'all', '--to', 'earliest', '--yes')
  assert.equal(done.code, 0, done.out + done.err)
  await world.untilDrained()
  const verified = await millrace(world.env, 'verify', '--to-end', '--json')
  assert.equal(verified.code, 0, verified.out)
  assert.equal(JSON.parse(verified.out).rows, 600)
})
