/** What bad records cost: the same process and the same number of records, clean and with one bad one in a thousand, in turns. */
import { median } from '../src/core/median.ts'
import { simulate } from '../src/simulate/kafka.ts'
import { pass } from './pass.ts'
import { inTurns } from './turns.ts'
import { topic, unexplained, type World } from './world.ts'

const sum = (numbers: Iterable<number>) => [...numbers].reduce((total, one) => total + one, 0)

export async function poison(world: World, events: number, rounds: number): Promise<void> {
  const { say } = world
  const dirtyEnds = await produce(world, events, 1, 0.001)
  const ends = await produce(world, events, 2, 0)
  // Either part may be a little more than was asked for, where the client sent a request again.
  const dirty = sum(dirtyEnds.values())
  const count = Math.min(dirty, sum(ends.values()) - dirty)
  const parts = { clean: dirtyEnds, poison: new Map([...dirtyEnds.keys()].map((partition) => [partition, 0])) }
  const names = ['clean', 'poison'] as const
  say('warming up')
  await pass(world, parts.clean, count)
  const rates = await inTurns(
    names,
    rounds,
    (name) => pass(world, parts[name], count),
    (round, name, rate) => say(`  round ${round} ${name.padEnd(6)} ${Math.round(rate)} records/s`),
  )
  const [clean, bad] = [median(rates.clean), median(rates.poison)]
  process.stdout.write(`clean ${Math.round(clean)} records/s, one bad in a thousand ${Math.round(bad)}: `)
  process.stdout.write(`${(bad / clean).toFixed(2)} of clean\n`)
}

async function produce(world: World, events: number, seed: number, share: number): Promise<Map<number, number>> {
  const { stack, signal, say } = world
  say(`producing ${events} events${share > 0 ? `, ${share * 1000} of a thousand bad` : ''}`)
  await simulate({
    kafka: { brokers: [stack.kafka] },
    topic,
    seed,
    rate: Number.POSITIVE_INFINITY,
    events,
    poison: share,
    acks: 1,
    signal,
    now: Date.now,
    explain: unexplained,
  })
  return world.ends()
}
