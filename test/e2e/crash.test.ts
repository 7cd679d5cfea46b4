/** Processes that die, stop for a while, or die at the worst moment: nothing is lost, nothing is there twice. */
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { useStack } from './harness.ts'

const servers = useStack()

test('kill -9 of a replica in the middle of the load, ten times', async (t) => {
  const world = await servers.world(t, { env: { MILLRACE_SESSION_TIMEOUT_MS: '2000', MILLRACE_HEARTBEAT_MS: '300' } })
  const { random } = world
  const alive = [await world.replica(), await world.replica()]
  const load = world.load({ rate: 1500 })
  for (let kills = 0; kills < 10; ) {
    await world.untilServing(alive)
    // What piled up during the rebalance is under way now: all rooms are busy.
    await sleep(random.below(200))
    // Now and then both die.
    const victims = random.unit() < 0.2 ? [0, 1] : [random.below(2)]
    for (const victim of victims) alive[victim]?.kill('SIGKILL')
    for (const victim of victims) alive[victim] = await world.replica()
    kills += victims.length
  }
  const { produced } = await load.stop()
  await world.untilDrained()
  await world.proof(produced)
})
