/**
 * The law of the house, looked at from outside all the while: neither a stream nor the group's offset in Kafka is ever beyond what the ledger row says
 * is stored. They are read first and the ledger after them; all only grow, so whoever finds one ahead has found an entry that readers could see before
 * its row was durable, or a batch that was settled before it was stored. Not for scenarios in which PostgreSQL goes back in time.
 */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { Cluster } from 'ioredis'
import type { World } from './scenario.ts'

const lookMs = 20
const namesEvery = 50
const streamName = /^.+:\{(\d+)\}$/

export interface LawWatch {
  /** How often it could look. */
  readonly looks: number
  /** Throws the first breach. */
  claim(): void
}

export function watchLaw(world: World): LawWatch {
  const stop = new AbortController()
  let looks = 0
  let breach: string | null = null
  let keys: string[] = []

  async function look(): Promise<void> {
    if (looks % namesEvery === 0) keys = (await world.redis.keys('*')).filter((key) => streamName.test(key))
    const [settled, lasts] = await Promise.all([world.settled(), lastIds(world, keys)])
    const ledger = await world.ledger()
    for (const [key, last] of lasts) {
      const partition = Number(streamName.exec(key)?.[1])
      const stored = ledger.get(partition) ?? 0
      if (last > stored)
        breach ??= `${key} ends at ${last}, and the ledger of partition ${partition} stands at ${stored}`
    }
    for (const [partition, offset] of settled) {
      const stored = ledger.get(partition) ?? 0
      if (offset > stored)
        breach ??= `partition ${partition} is settled to ${offset}, and its ledger stands at ${stored}`
    }
    looks++
  }

  const running = (async () => {
    while (!stop.signal.aborted) {
      // A server is away, or the stream was deleted: another look later.
      await look().catch(() => {})
      await sleep(lookMs, undefined, { signal: stop.signal }).catch(() => {})
    }
  })()
  world.defer(async () => {
    stop.abort()
    await running
  })
  return {
    get looks() {
      return looks
    },
    claim() {
      assert.ok(looks > 0, 'nobody could look at streams and ledger')
      assert.equal(breach, null, `published or settled before it was stored: ${breach}`)
    },
  }
}

/** The last id ever added, by stream. */
export async function lastIds({ redis }: World, keys: readonly string[]): Promise<Map<string, number>> {
  if (redis instanceof Cluster) throw new Error('lastIds asks one server.')
  const pipeline = redis.pipeline()
  for (const key of keys) pipeline.xinfo('STREAM', key)
  const answers = (await pipeline.exec()) ?? []
  return new Map(
    keys.flatMap((key, index) => {
      const info = answers[index]?.[1] as unknown[] | undefined
      if (!Array.isArray(info)) return []
      return [[key, Number(String(info[info.indexOf('last-generated-id') + 1]).split('-')[0])] as const]
    }),
  )
}
