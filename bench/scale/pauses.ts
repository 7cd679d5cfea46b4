/**
 * What the readers of the table notice when the fleet changes under load: the worst time from due to committed around each event, with settings as they
 * are by default. Three replicas at a steady rate; one is ended in order, one joins, one is killed (its partitions wait for the session timeout).
 */
import { cpus } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { lanesOfEach } from '../../src/core/settings.ts'
import { stored, until } from '../drain.ts'
import { produce } from '../produce.ts'
import { type Replica, startReplica } from '../replica.ts'
import { number, table } from '../report.ts'
import { openWorld, type World } from '../world.ts'
import type { Part } from './scale.ts'

/** Longer than the session timeout and what follows it. */
const windowMs = 45_000
const usualMs = 15_000
/** What is due so shortly before the next change meets that one, too. */
const edgeMs = 2000
const primed = 2000

export const pauses: Part = async (options, { rate }) => {
  await using world = await openWorld(options)
  const env = { MILLRACE_LANES: String(lanesOfEach(3, cpus().length)), ...world.env(true) }
  const log = join(world.logs, 'replicas.log')
  const start = () => startReplica(env, log)
  const replicas: Replica[] = await Promise.all([start(), start(), start()])
  // They are meant to end.
  const fleet = { log, ended: new Promise<null>(() => {}) }
  const found: { what: string; worstMs: number; waited: number }[] = []
  try {
    await produce(world, { seed: 1, rate: primed, events: primed })
    await until(world, fleet, () => stored(world), primed)
    const end = new AbortController()
    const sending = produce({ ...world, signal: AbortSignal.any([world.signal, end.signal]) }, { seed: 2, rate })
    sending.catch(() => {})
    await sleep(10_000, undefined, { signal: world.signal })
    const phase = async (what: string, ms: number, change: () => Promise<void>) => {
      world.say(`  ${what}`)
      const fromMs = Date.now()
      await change()
      await sleep(ms - (Date.now() - fromMs), undefined, { signal: world.signal })
      return { what, fromMs, toMs: Date.now() - edgeMs }
    }
    const phases = [
      await phase('nothing happens', usualMs, async () => {}),
      await phase('one leaves in order', windowMs, async () => void (await replicas.pop()?.stop())),
      await phase('one joins', windowMs, async () => void replicas.push(await start())),
      await phase('one is killed', windowMs, async () => {
        const dead = replicas.pop() as Replica
        process.kill(dead.pid, 'SIGKILL')
        await dead.ended
      }),
    ]
    end.abort()
    const sent = await sending
    await until(world, fleet, () => stored(world), primed + sent.produced)
    for (const { what, fromMs, toMs } of phases) found.push({ what, ...(await worst(world, fromMs, toMs)) })
  } finally {
    await Promise.all(replicas.map((replica) => replica.stop()))
  }
  return {
    table: table(
      [`three replicas at ${rate} events/s`, 'worst, due to committed (s)', 'later than 1 s (%)'],
      found.map(({ what, worstMs, waited }) => [what, number(worstMs / 1000, 1), number(waited * 100, 1)]),
    ),
    found,
  }
}

/** Of what was due in this time. */
async function worst({ sql }: World, fromMs: number, toMs: number): Promise<{ worstMs: number; waited: number }> {
  const { rows } = await sql.query<{ worst: number; waited: number }>(
    `SELECT max(ms) AS worst, avg((ms > 1000)::int)::float8 AS waited FROM (
       SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin) - kafka_time)::float8 * 1000 AS ms
       FROM cloud_events WHERE kafka_time >= to_timestamp($1) AND kafka_time < to_timestamp($2)) AS seen`,
    [fromMs / 1000, toMs / 1000],
  )
  return { worstMs: rows[0]?.worst ?? Number.NaN, waited: rows[0]?.waited ?? Number.NaN }
}
