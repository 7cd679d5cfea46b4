import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMetrics } from '../../src/core/registry.ts'
import type { PartitionState } from '../../src/flow/lane.ts'
import { memoryOf, type RedisSize } from '../../src/flow/publish/redis-size.ts'
import { sumByFamily, watchRedis } from '../../src/process/watch-redis.ts'

const logger = { debug() {} }
const stateOf = (partition: number, ...families: string[]) =>
  ({ partition, streams: new Map(families.map((family) => [family, 1])) }) as unknown as PartitionState

test('lengths by family: what the consumer file lists is there from the start, the rest is one value', () => {
  const streams = [{ family: 'a' }, { family: 'b' }, { family: 'x' }, { family: 'y' }, { family: 'a' }]
  assert.deepEqual(
    [...sumByFamily(['a', 'c'], streams, [1, 2, 4, 8, 16])],
    [
      ['a', 17],
      ['c', 0],
      ['other', 14],
    ],
  )
})

test('memory as INFO tells it', () => {
  const info =
    '# Memory\r\nused_memory:1048576\r\nused_memory_rss:9\r\nmaxmemory:2097152\r\nmaxmemory_policy:noeviction\r\n'
  assert.deepEqual(memoryOf(info), { memoryBytes: 1_048_576, memoryMaxBytes: 2_097_152 })
})

test('told while Redis answers, absent while it does not, and never asked twice at a time', async () => {
  const metrics = createMetrics({ processMetrics: false })
  let away = false
  let answer: () => Promise<RedisSize> = async () => ({ memoryBytes: 5, memoryMaxBytes: 0, entries: [3, 4] })
  let asked = 0
  const look = watchRedis({
    ask: (streams) => {
      asked++
      assert.deepEqual(streams, [
        { family: 'a', partition: 1 },
        { family: 'b', partition: 2 },
      ])
      return answer()
    },
    metrics,
    assignment: { states: () => [stateOf(1, 'a'), stateOf(2, 'b')][Symbol.iterator]() as never },
    families: ['a'],
    isAway: () => away,
    logger,
  })
  await look()
  assert.equal(metrics.sum('redis_memory_bytes'), 5)
  assert.equal(metrics.sum('stream_entries', { family: 'a' }), 3)
  assert.equal(metrics.sum('stream_entries', { family: 'other' }), 4)

  answer = () => Promise.reject(new Error('closed'))
  await look()
  assert.doesNotMatch(await metrics.render(), /^millrace_redis_memory_bytes /m)

  const slow = Promise.withResolvers<RedisSize>()
  answer = () => slow.promise
  const first = look()
  await look()
  assert.equal(asked, 3, 'the second look found the first under way')
  slow.resolve({ memoryBytes: 7, memoryMaxBytes: 0, entries: [1, 1] })
  await first
  assert.equal(metrics.sum('redis_memory_bytes'), 7)

  away = true
  await look()
  assert.doesNotMatch(await metrics.render(), /^millrace_redis_memory_bytes /m)
})
