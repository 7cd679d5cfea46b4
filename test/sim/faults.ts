/** The faults: a table of what may happen to a world. Each seed takes some of them, so that a run may also be long in calm water with one sort of harm. */
import type { Member } from './member.ts'
import { type ServerName, type Stage, serverNames } from './wire.ts'
import type { World } from './world.ts'

type Fault = (world: World) => void

const stages: readonly Stage[] = ['departure', 'effect', 'answer']

const some = <T>({ random }: World, all: readonly T[]): T | undefined => all[random.below(all.length)]
const aMember = (world: World): Member | undefined => some(world, world.alive)
const aPartition = ({ random, kafka }: World) => random.below(kafka.partitions)
const aServer = (world: World) => some(world, serverNames) as ServerName
/** Mostly short, sometimes long. */
const aWhile = ({ random }: World, shortMs: number, longMs: number) =>
  random.unit() < 0.7 ? random.unit() * shortMs : shortMs + random.unit() * (longMs - shortMs)

/** At once, or when one of its next calls has come to some stage. */
function strike(world: World, spring: (member: Member) => void): void {
  const member = aMember(world)
  if (member === undefined) return
  if (world.random.below(4) === 0) spring(member)
  else world.trap(member, some(world, stages) as Stage, 1 + world.random.skewed(40), spring)
}

function weather(world: World, change: (server: World['servers'][ServerName], share: number) => void): void {
  const server = world.servers[aServer(world)]
  change(server, 10 + world.random.skewed(400))
  world.clock.after(aWhile(world, 3000, 30_000), () => change(server, 0))
}

export const faults: Readonly<Record<string, Fault>> = {
  crash: (world) => strike(world, (member) => world.kill(member)),
  'sleep, short': (world) => strike(world, (member) => world.freeze(member, world.random.unit() * world.sessionMs)),
  'sleep, thrown out': (world) =>
    strike(world, (member) => world.freeze(member, world.sessionMs + world.random.unit() * 120_000)),
  'revocation at a call': (world) => strike(world, (member) => world.expel(member)),
  'client gives up': (world) => strike(world, (member) => member.crashClient()),
  'cut off': (world) => strike(world, (member) => world.cut(member, aServer(world), aWhile(world, 2000, 40_000))),
  'one joins'(world) {
    if (world.alive.length >= 4) return
    world.wanted = Math.min(4, world.wanted + 1)
    world.start()
  },
  'one leaves'(world) {
    if (world.wanted > 1 && world.random.below(2) === 0) world.wanted--
    strike(world, (member) => member.drain())
  },
  'rebalance storm'(world) {
    let left = 3 + world.random.below(8)
    world.every(
      () => world.random.unit() * 1500,
      () => {
        const member = aMember(world)
        if (member !== undefined) world.expel(member)
        return --left > 0
      },
    )
  },
  'server down': (world) => world.down(aServer(world), aWhile(world, 3000, 40_000)),
  'Redis away': (world) => world.down('redis', world.settings.publishGraceMs + world.random.unit() * 30_000),
  'server slow'(world) {
    const server = world.servers[aServer(world)]
    server.slowness = 5 + world.random.skewed(1000)
    world.clock.after(aWhile(world, 3000, 20_000), () => {
      server.slowness = 1
    })
  },
  'calls lost': (world) =>
    weather(world, (server, share) => {
      server.weather.lost = share
    }),
  'answers lost': (world) =>
    weather(world, (server, share) => {
      server.weather.unanswered = share
    }),
  'calls late': (world) =>
    weather(world, (server, share) => {
      server.weather.late = share
    }),
  'calls sent twice'(world) {
    const { weather } = world.servers.redis
    weather.twice = 300
    world.clock.after(aWhile(world, 3000, 30_000), () => {
      weather.twice = 0
    })
  },
  'servers busy': (world) =>
    weather(world, (server, share) => {
      server.weather.busy = share
    }),
  'database goes back'(world) {
    const goBack = world.rememberDatabase()
    world.clock.after(aWhile(world, 1000, 10_000), goBack)
  },
  'Redis loses its last second'(world) {
    const goBack = world.rememberStreams()
    world.clock.after(100 + world.random.unit() * 1400, goBack)
  },
  'Redis loses everything'(world) {
    world.note('redis', 'has lost everything')
    world.loseStreams(() => 0)
  },
  'stream deleted'(world) {
    const key = some(world, [...world.streams.streams.keys()])
    if (key === undefined) return
    // Or its last entry only: whoever compares must see one that is missing.
    const kept = world.random.below(3) === 0 ? (world.streams.streams.get(key)?.entries.length ?? 0) - 1 : 0
    world.note('redis', kept === 0 ? `${key} is gone` : `${key} has lost its last entry`)
    world.loseStreams((one) => (one === key ? kept : Number.POSITIVE_INFINITY))
  },
  'retention overtakes'(world) {
    const partition = aPartition(world)
    const { low, high } = world.kafka.watermarks(partition)
    world.deleteRecords(partition, low + world.random.below(high - low + 1))
  },
  "group's offset lies"(world) {
    const partition = aPartition(world)
    const { low, high } = world.kafka.watermarks(partition)
    world.setGroupOffset(partition, Math.max(0, low - 3 + world.random.below(high - low + 8)))
    const member = aMember(world)
    if (member !== undefined) world.expel(member)
  },
  'clock step'(world) {
    const member = aMember(world)
    if (member === undefined) return
    const hours = world.random.below(4) === 0 ? 24 * 40 : 2
    const stepMs = (world.random.unit() * 2 - 1) * hours * 3_600_000
    if (hours > 2) world.losses.clocks = true
    world.note(member.name, `its clock is off by ${Math.round(stepMs / 1000)} s`)
    member.stepMs = stepMs
  },
  poison(world) {
    const partition = aPartition(world)
    for (let left = 1 + world.random.below(10); left > 0; left--) world.load.produce(partition, { bad: true })
  },
}

/** Some faults, some of them often, over so much time. */
export function planFaults(world: World, forMs: number): void {
  const { random, clock } = world
  const names = Object.keys(faults)
  const chosen = names.filter(() => random.below(names.length) < 5)
  for (const name of chosen) {
    for (let left = 1 + random.skewed(6); left > 0; left--) {
      clock.after(random.unit() * forMs, () => {
        world.counted(`fault: ${name}`)
        faults[name]?.(world)
      })
    }
  }
}
