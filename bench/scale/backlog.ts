/** A fleet that comes back: so many events wait, and as many as always keep coming. How long until nothing waits any more? */
import { count } from '../../src/core/count.ts'
import { millrace } from '../contenders/millrace.ts'
import { entries, insertedRows, until } from '../drain.ts'
import { fill, produce } from '../produce.ts'
import { number, table } from '../report.ts'
import { openWorld } from '../world.ts'
import type { Part } from './scale.ts'

/** So little, and it is what is on its way. */
const caughtUpSeconds = 0.5

export const backlog: Part = async (options, { backlog: events, rate }) => {
  await using world = await openWorld(options)
  await fill(world, events)
  const contender = millrace({ publishes: true, replicas: 2 })
  const end = new AbortController()
  const sending = produce({ ...world, signal: AbortSignal.any([world.signal, end.signal]) }, { seed: 2, rate })
  sending.catch(() => {})
  const started = await contender.start(world)
  const from = performance.now()
  try {
    const before = await insertedRows(world)
    const waits = async () => {
      const ends = [...(await world.ends()).values()].reduce((sum, end) => sum + end, 0)
      const there = Math.min(await insertedRows(world).then((rows) => rows - before), await entries(world))
      return ends - there
    }
    // Counted down, for `until` counts up.
    await until(world, started, async () => -(await waits()), -Math.ceil(rate * caughtUpSeconds))
    const seconds = (performance.now() - from) / 1000
    end.abort()
    const sent = await sending
    const all = events + seconds * rate
    return {
      table: table(
        ['a backlog', 'events waiting', 'events/s meanwhile', 'caught up in (s)', 'events/s stored and published'],
        [['two replicas', count(events), count(rate), number(seconds, 1), count(Math.round(all / seconds))]],
      ),
      found: { events, rate, seconds, lateMsP99: sent.lateMsP99 },
    }
  } finally {
    end.abort()
    await started.stop()
  }
}
