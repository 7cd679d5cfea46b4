/** Processes that die, stop, come and go. */
import type { Replica } from '../../e2e/replica.ts'
import type { Scenario, World } from '../scenario.ts'

/** So many different ones, at random. */
function some(world: World, count: number): Replica[] {
  const left = [...world.replicas]
  return Array.from(
    { length: Math.min(count, left.length) },
    () => left.splice(world.random.below(left.length), 1)[0] as Replica,
  )
}

const names = (replicas: readonly Replica[]) => replicas.map(({ name }) => name).join(' and ')

/** Timed from the kill: starting the successors is part of the recovery. */
async function killAndReplace(world: World, victims: readonly Replica[]): Promise<void> {
  for (const victim of victims) victim.kill('SIGKILL')
  world.healed()
  await Promise.all(victims.map((victim) => world.replace(victim)))
}

const kill: Scenario = {
  name: 'kill',
  what: 'kill -9 of a random replica in the middle of its work, now and then of two at once; replaced at once',
  rounds: 10,
  recoveryMsMax: 15_000,
  needs: {},
  shortRounds: 2,
  async round(world) {
    const victims = some(world, world.random.unit() < 0.25 ? 2 : 1)
    await killAndReplace(world, victims)
    return `killed ${names(victims)}`
  },
}

export const processScenarios: readonly Scenario[] = [kill]
