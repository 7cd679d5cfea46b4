/** Brokers that die, sleep, are rolled and lose their leadership, and replicas that are cut off from them. */
import assert from 'node:assert/strict'
import type { Replica } from '../../e2e/replica.ts'
import { until } from '../../e2e/until.ts'
import type { Cut } from '../ground/kafka.ts'
import type { Scenario, World } from '../scenario.ts'

/** Who does what at this moment: for the log, and to choose whom to harm. */
async function roles(world: World, id: number): Promise<string> {
  const { kafka } = world.ground
  const leads = (await kafka.leads(world.topic)).get(id) ?? 0
  const more = [
    (await kafka.coordinator(world.group)) === id ? ', the coordinator of the group' : '',
    (await kafka.controller()) === id ? ', the active controller' : '',
  ]
  return `broker ${id} (leads ${leads} of ${world.partitions}${more.join('')})`
}

/** The brokers' own elections leave leaders where they fell; each round begins with everybody leading their share. */
async function evenLeaders(world: World): Promise<void> {
  await world.ground.kafka.untilHealthy()
  await world.ground.kafka.electPreferred(world.topic)
}

/** The coordinator of the group, then the controller, then whom `otherwise` says. */
async function chosen({ ground: { kafka }, group }: World, round: number, otherwise: () => number): Promise<number> {
  if (round === 1) return kafka.coordinator(group)
  return round === 2 ? kafka.controller() : (kafka.ids[otherwise()] as number)
}

const brokerKill: Scenario = {
  name: 'broker-kill',
  what: 'kill -9 of the broker that coordinates the group, of the active controller, of the others in turn; in sync again before the next',
  rounds: 4,
  recoveryMsMax: 30_000,
  needs: {},
  async round(world, round) {
    const { kafka } = world.ground
    await evenLeaders(world)
    const id = await chosen(world, round, () => (round - 1) % kafka.ids.length)
    const note = `killed ${await roles(world, id)}`
    await kafka.kill(id)
    world.healed()
    await world.sleep(world.random.below(6000))
    await kafka.start(id)
    await kafka.untilHealthy()
    return note
  },
}

const brokerRoll: Scenario = {
  name: 'broker-roll',
  what: 'all three brokers are ended in order and started again, one after the other, as an upgrade does',
  rounds: 2,
  recoveryMsMax: 20_000,
  needs: {},
  async round(world) {
    const { kafka } = world.ground
    for (const id of kafka.ids) {
      await evenLeaders(world)
      await kafka.kill(id, 'SIGTERM')
      await kafka.start(id)
    }
    await kafka.untilHealthy()
  },
}

const brokerStop: Scenario = {
  name: 'broker-stop',
  what: 'SIGSTOP of a broker until the others have taken over what it led, then SIGCONT: it wakes up believing that it leads',
  rounds: 3,
  recoveryMsMax: 30_000,
  needs: {},
  async round(world, round) {
    const { kafka } = world.ground
    await evenLeaders(world)
    const id = await chosen(world, round, () => world.random.below(kafka.ids.length))
    const note = `stopped ${await roles(world, id)}`
    await kafka.kill(id, 'SIGSTOP')
    try {
      await until('the others to lead', 60_000, async () => (await kafka.leads(world.topic)).get(id) === 0 || null)
      await world.sleep(3000 + world.random.below(3000))
    } finally {
      await kafka.kill(id, 'SIGCONT')
    }
    world.healed()
    await kafka.untilHealthy()
    return note
  },
}

const leadersMoved: Scenario = {
  name: 'leaders-moved',
  what: 'the leadership of every partition is moved to the next broker under load, again and again',
  rounds: 6,
  recoveryMsMax: 10_000,
  needs: {},
  async round(world) {
    const { kafka } = world.ground
    const before = await kafka.partitions(world.topic)
    await kafka.moveLeaders(world.topic)
    const leaderOf = (partition: number) => before.find((one) => one.partition === partition)?.leader
    await until('other leaders', 30_000, async () => {
      const now = await kafka.partitions(world.topic)
      const moved = now.filter(({ partition, leader }) => leader !== leaderOf(partition)).length
      if (moved === now.length) return true
      throw new Error(`${moved} of ${now.length} moved`)
    })
    world.healed()
    await kafka.untilHealthy()
  },
}

/** Which replica of a world reaches the brokers through the proxies. */
const far = new WeakMap<World, string>()
const farReplica = (world: World) => world.replicas.find(({ name }) => name === far.get(world)) as Replica

async function startFar(world: World): Promise<void> {
  const replica = await world.start({ MILLRACE_KAFKA: world.ground.kafka.via })
  far.set(world, replica.name)
  world.defer(() => world.ground.kafka.mend())
}

const partitionsOf = async (replica: Replica) => (await replica.status()).partitions.length

/** The others share all partitions, without the one that is cut off. */
async function untilTakenOver(world: World, without: Replica): Promise<void> {
  await until('the others to take over', 60_000, async () => {
    const others = world.replicas.filter(({ name }) => name !== without.name)
    const counts = await Promise.all(others.map(partitionsOf))
    if (counts.reduce((sum, one) => sum + one, 0) === world.partitions) return true
    throw new Error(`they have ${counts.join(', ')}`)
  })
}

const cuts: readonly Cut[] = ['silence', 'reset']

const cutKafka: Scenario = {
  name: 'cut-kafka',
  what: 'one replica is cut off from all brokers for longer than its session, by silence and by resets in turn, then reached again: a zombie; others take over',
  rounds: 4,
  recoveryMsMax: 45_000,
  needs: {},
  prepare: startFar,
  async round(world, round) {
    const { kafka } = world.ground
    const victim = farReplica(world)
    const how = cuts[round % 2]!
    kafka.cut(how)
    try {
      await untilTakenOver(world, victim)
      await world.sleep(world.random.below(6000))
    } finally {
      kafka.mend()
    }
    world.healed()
    await untilBack(world)
    return `${victim.name} cut off by ${how}`
  },
}

/** The replica that was cut off, or its successor, has its share again. */
async function untilBack(world: World): Promise<void> {
  await until('the one that was cut off to have its share again', 90_000, async () => {
    const replica = farReplica(world)
    return replica !== undefined && (await partitionsOf(replica)) > 0 ? true : null
  })
}

const cutCoordinator: Scenario = {
  name: 'cut-coordinator',
  what: 'one replica is cut off from one broker only, the one that coordinates its group (and leads a third of the partitions), by silence and by resets in turn',
  rounds: 4,
  recoveryMsMax: 30_000,
  needs: {},
  prepare: startFar,
  async round(world, round) {
    const { kafka } = world.ground
    await evenLeaders(world)
    const victim = farReplica(world)
    const how = cuts[round % 2]!
    const id = await kafka.coordinator(world.group)
    kafka.cut(how, [id])
    try {
      await untilTakenOver(world, victim)
      await world.sleep(world.random.below(6000))
    } finally {
      kafka.mend()
    }
    world.healed()
    await untilBack(world)
    return `${victim.name} cut off from broker ${id} by ${how}`
  },
}

const offsetsLie: Scenario = {
  name: 'offsets-lie',
  what: "somebody resets the group's offsets in Kafka, to the beginning, to the end or anywhere, while the fleet is stopped: the ledger wins, nothing is read that need not be",
  rounds: 3,
  recoveryMsMax: 20_000,
  needs: {},
  async round(world, round) {
    const count = world.replicas.length
    await Promise.all(world.replicas.map((replica) => world.end(replica)))
    const [ends, stored] = [await world.ends(), await world.ledger()]
    const lie = (partition: number) => {
      const end = ends.get(partition) ?? 0
      return [0, end, world.random.below(end + 1)][(round - 1) % 3] as number
    }
    const partitions = [...ends.keys()].map((partition) => ({ partition, offset: String(lie(partition)) }))
    await until('the offsets to be set', 20_000, async () => {
      await world.admin((admin) => admin.setOffsets({ groupId: world.group, topic: world.topic, partitions }))
      return true
    })
    await Promise.all(Array.from({ length: count }, () => world.start()))
    world.healed()
    await world.untilServing()
    const [row] = await world.sql<{ count: number }>('SELECT count(*)::int FROM ledger WHERE stopped IS NOT NULL')
    assert.equal(row?.count, 0, 'nothing stops for it')
    const back = [...stored].filter(([partition, next]) => lie(partition) < next).length
    return `offsets set to ${['the beginning', 'the end', 'anywhere'][(round - 1) % 3]} (${back} partitions back)`
  },
}

export const brokerScenarios: readonly Scenario[] = [
  brokerKill,
  brokerRoll,
  brokerStop,
  leadersMoved,
  cutKafka,
  cutCoordinator,
  offsetsLie,
]
