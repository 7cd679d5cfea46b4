/** Any schedule of loads, faults, deaths, arrivals and losses, on the real hallway, gate and lanes over memory: at the end the promise holds. */
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { TransientError } from '../../src/core/errors.ts'
import type { EventSpec } from './batches.ts'
import { assertPromise, type House, isCaughtUp, openHouse, type Process, startProcess, until } from './house.ts'

const partitions = 3
const kinds = ['cloud', 'order', 'payment']

type Step =
  | {
      readonly do: 'produce'
      readonly partition: number
      readonly count: number
      readonly again: number
      readonly bad: boolean
    }
  | { readonly do: 'skip'; readonly partition: number }
  | { readonly do: 'commits' | 'calls'; readonly fates: readonly Fate[] }
  | { readonly do: 'start' }
  | { readonly do: 'kill'; readonly which: number }
  | { readonly do: 'forget'; readonly partition: number; readonly kind: number; readonly share: number }
  | { readonly do: 'wait'; readonly turns: number }

/** Of one transaction or call: it fails before or after it took effect, or takes its time. */
type Fate = 'before' | 'after' | 'pass' | number

const partition = fc.nat(partitions - 1)
const fates = fc.array(fc.oneof(fc.constantFrom<Fate>('before', 'after', 'pass'), fc.integer({ min: 1, max: 60 })), {
  minLength: 1,
  maxLength: 6,
})
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('produce' as const),
      partition,
      count: fc.integer({ min: 1, max: 40 }),
      again: fc.nat(3),
      bad: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('skip' as const), partition }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('commits' as const, 'calls' as const), fates }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('start' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('kill' as const), which: fc.nat(5) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('forget' as const),
      partition,
      kind: fc.nat(2),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('wait' as const), turns: fc.integer({ min: 1, max: 60 }) }) },
)

async function meet(
  fate: Fate | undefined,
  code: 'POSTGRES_UNREACHABLE' | 'REDIS_UNREACHABLE',
  apply: () => void,
): Promise<void> {
  if (typeof fate === 'number') for (let turns = 0; turns < fate; turns++) await turn()
  if (fate !== 'before') apply()
  if (fate === 'before' || fate === 'after') throw new TransientError(code, `lost, ${fate}`)
}

function forget({ streams: { streams } }: House, key: string, share: number): void {
  const stream = streams.get(key)
  if (stream === undefined) return
  stream.entries.splice(Math.floor(stream.entries.length * share))
  if (stream.entries.length === 0) streams.delete(key)
  else stream.lastId = stream.entries.at(-1)?.id ?? 0
}

async function live(steps: readonly Step[], storesOn: boolean): Promise<void> {
  const house = openHouse(partitions)
  const commits: Fate[] = []
  const calls: Fate[] = []
  house.database.commit = (apply) => meet(commits.shift(), 'POSTGRES_UNREACHABLE', apply)
  house.streams.call = (apply) => meet(calls.shift(), 'REDIS_UNREACHABLE', apply)
  const ids: EventSpec[] = []
  let processes: Process[] = [startProcess(house, { rowsMax: 20, bytesInFlightMax: 5000, storesOn })]
  for (const one of steps) {
    switch (one.do) {
      case 'produce': {
        const fresh = Array.from({ length: one.count }, (): EventSpec => {
          const id = `e${ids.length}`
          const spec = { id, type: `com.x.${kinds[ids.length % 3]}` }
          ids.push(spec)
          return spec
        })
        const repeated = Array.from(
          { length: one.again },
          (_, n) => ids[(ids.length * 7 + n * 13) % ids.length] as EventSpec,
        )
        house.produce(one.partition, ...fresh, ...(one.bad ? ['bad'] : []), ...repeated)
        break
      }
      case 'skip':
        house.kafka.skip(one.partition, 3)
        break
      case 'commits':
        commits.push(...one.fates)
        break
      case 'calls':
        calls.push(...one.fates)
        break
      case 'start':
        if (processes.length < 3) processes.push(startProcess(house, { rowsMax: 20, bytesInFlightMax: 5000, storesOn }))
        break
      case 'kill': {
        const [victim] = processes.splice(one.which % Math.max(processes.length, 1), 1)
        await victim?.kill()
        break
      }
      case 'forget':
        forget(house, `events:${kinds[one.kind]}:{${one.partition}}`, one.share)
        break
      case 'wait':
        for (let turns = 0; turns < one.turns; turns++)
          await Promise.race([turn(), ...processes.map(({ failed }) => failed)])
    }
  }
  // Whoever is left drains; what Redis forgot without anybody noticing, a new process does.
  for (const one of processes) await one.drain()
  processes = [startProcess(house, { storesOn })]
  await until('the end', () => isCaughtUp(house), ...processes)
  for (const one of processes) await one.drain()
  assertPromise(house)
}

test('any schedule: every record is a row, a reject or a duplicate, and every row is one entry, in order', async () => {
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 40 }), fc.boolean(), live), {
    numRuns: Number(process.env.MILLRACE_TEST_RUNS ?? 150),
  })
})
