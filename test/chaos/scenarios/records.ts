/** Records that are bad, and records that Kafka no longer has. */
import assert from 'node:assert/strict'
import { poisons } from '../../../src/simulate/poison.ts'
import { millrace } from '../../e2e/millrace.ts'
import { until } from '../../e2e/until.ts'
import { readRecords } from '../records.ts'
import type { Scenario, World } from '../scenario.ts'

const limitsOff = { MILLRACE_REJECT_PERCENT_MAX: '0', MILLRACE_REJECT_RUN_MAX: '0' }
const kinds = new WeakMap<World, Set<string>>()

const poisonStorm: Scenario = {
  name: 'poison-storm',
  what: `for ten seconds a quarter of all records are bad, in ${poisons.length} ways; the limits are off: each is a reject, no good one with them`,
  rounds: 4,
  recoveryMsMax: 10_000,
  needs: { brokers: 1 },
  env: limitsOff,
  shortRounds: 1,
  async prepare(world) {
    kinds.set(world, new Set())
  },
  async round(world) {
    const storm = world.startLoad({ poison: 0.5 })
    await world.sleep(10_000)
    const { poisons: sent, poison } = await storm.stop()
    for (const label of Object.keys(sent)) kinds.get(world)?.add(label)
    return `${poison} bad records of ${Object.keys(sent).length} kinds`
  },
  async after(world) {
    const [row] = await world.sql<{ codes: number }>('SELECT count(DISTINCT code)::int AS codes FROM rejects')
    const seen = kinds.get(world) as Set<string>
    const wanted = new Set(poisons.filter(({ label }) => seen.has(label)).map(({ code }) => code))
    assert.ok((row?.codes ?? 0) >= wanted.size, `${row?.codes} codes in rejects, ${wanted.size} were sent`)
    assert.equal(world.endedByThemselves.length, 0, 'no process ends for it')
  },
}

const rejectsOf = async (world: World) =>
  (await world.sql<{ count: number }>('SELECT count(*)::int AS count FROM rejects'))[0]?.count ?? 0

const poisonLimit: Scenario = {
  name: 'poison-limit',
  what: 'a producer sends nothing but garbage: processes stop at the limit, also when started again; nothing is passed over; an operator raises the limits and all goes on',
  rounds: 2,
  recoveryMsMax: 30_000,
  needs: { brokers: 1 },
  env: { MILLRACE_REJECT_WINDOW_RECORDS_MIN: '500', MILLRACE_BATCH_ROWS_MAX: '200' },
  async round(world, round) {
    for (const name of Object.keys(limitsOff)) delete world.env[name]
    if (round > 1) {
      await Promise.all(world.replicas.map((replica) => world.replace(replica)))
      await world.untilServing()
    }
    const [before, ended, count] = [await rejectsOf(world), world.endedByThemselves.length, world.replicas.length]
    const garbage = world.startLoad({ poison: 1, duplicates: 0 })
    await until('every replica to stop at the limit', 120_000, () => {
      const stopped = world.endedByThemselves.slice(ended).filter(({ said }) => said.includes('REJECT_LIMIT'))
      return new Set(stopped.map(({ name }) => name)).size >= count ? true : null
    })
    await world.sleep(3000)
    const { poison } = await garbage.stop()
    const stored = (await rejectsOf(world)) - before
    const starts = world.endedByThemselves.length - ended
    // Each process stores at most what its window and the batches under way hold.
    assert.ok(stored < starts * 1000 + poison * 0.005 + 1000, `${stored} rejects stored by ${starts} processes`)
    assert.ok(stored < poison, 'all of it was stored')
    // The operator's decision: these are rejects.
    Object.assign(world.env, limitsOff)
    // Those that are just being started again may still have the old limits, and end once more.
    await world.sleep(2000)
    while (world.replicas.length < count) await world.start()
    world.healed()
    return `${poison} bad records; ${starts} stops at the limit, ${stored} rejects stored until then`
  },
}

const partitionsHarmed = 3

const retention: Scenario = {
  name: 'retention',
  what: `retention overtakes ${partitionsHarmed} partitions of a stopped fleet: they stop and say why, the others go on; \`millrace offsets set\` is the decision to go on without what is gone`,
  rounds: 2,
  recoveryMsMax: 20_000,
  needs: { brokers: 1 },
  async round(world) {
    const count = world.replicas.length
    await Promise.all(world.replicas.map((replica) => world.end(replica)))
    const stored = await world.ledger()
    await world.sleep(5000)
    const ends = await world.ends()
    const offsets = await world.admin((admin) => admin.fetchTopicOffsets(world.topic))
    const lowOf = new Map(offsets.map(({ partition, low }) => [partition, Number(low)]))
    const waiting = [...ends].filter(([partition, end]) => end > (stored.get(partition) ?? 0) + 2)
    const lows = new Map<number, number>()
    while (lows.size < Math.min(partitionsHarmed, waiting.length)) {
      const [partition, end] = waiting[world.random.below(waiting.length)] as [number, number]
      const from = (stored.get(partition) ?? 0) + 1
      lows.set(partition, from + world.random.below(end - from + 1))
    }
    const ranges = [...lows].map(([partition, to]) => ({ partition, from: stored.get(partition) ?? 0, to }))
    const doomed = await readRecords(world, ranges)
    // What was stored of these partitions goes from Kafka too.
    const before = await readRecords(
      world,
      ranges.map(({ partition, from }) => ({ partition, from: lowOf.get(partition) ?? 0, to: from })),
    )
    world.declareLost(doomed, before.length)
    await world.admin((admin) =>
      admin.deleteTopicRecords({
        topic: world.topic,
        partitions: ranges.map(({ partition, to }) => ({ partition, offset: String(to) })),
      }),
    )
    await Promise.all(Array.from({ length: count }, () => world.start()))
    const wanted = [...lows.keys()].sort((a, b) => a - b)
    await until('these partitions to stop, and only these', 60_000, async () => {
      const stops = await world.sql<{ partition: number; code: string }>(
        "SELECT partition, stopped->>'code' AS code FROM ledger WHERE stopped IS NOT NULL ORDER BY partition",
      )
      assert.ok(stops.every(({ code }) => code === 'RETENTION_OVERTOOK'))
      if (stops.map(({ partition }) => partition).join() === wanted.join()) return true
      throw new Error(`stopped: ${stops.map(({ partition }) => partition).join()}; wanted: ${wanted.join()}`)
    })
    await until('the others to go on', 120_000, async () => {
      const now = await world.ledger()
      const behind = [...ends].filter(([partition, end]) => !lows.has(partition) && (now.get(partition) ?? 0) < end)
      if (behind.length === 0) return true
      throw new Error(`${behind.length} behind`)
    })
    const stays = await world.ledger()
    for (const { partition, from } of ranges) assert.equal(stays.get(partition), from, 'a stopped partition moved')
    const set = ['offsets', 'set', '--partition', wanted.join(), '--to', 'earliest', '--yes']
    const { code, out, err } = await millrace(world.env, ...set)
    assert.equal(code, 0, out + err)
    world.healed()
    return `partitions ${wanted.join(', ')}: ${doomed.length} records declared lost`
  },
}

export const recordScenarios: readonly Scenario[] = [poisonStorm, poisonLimit, retention]
