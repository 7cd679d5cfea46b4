/** Memory and stream lengths of Redis as metrics: asked on a slow timer of its own, one question at a time, and absent while nobody answers. */
import type { Logger } from 'pino'
import type { Metrics } from '../core/registry.ts'
import type { AskRedisSize, RedisSize } from '../flow/publish/redis-size.ts'
import type { Assignment } from './assignment.ts'

export interface RedisWatchOptions {
  readonly ask: AskRedisSize
  readonly metrics: Metrics
  readonly assignment: Pick<Assignment, 'states'>
  /** As the consumer file lists them: the values that the label may have. */
  readonly families: readonly string[]
  readonly isAway: () => boolean
  readonly logger: Pick<Logger, 'debug'>
}

/** To be called every few seconds; never rejects. */
export function watchRedis(options: RedisWatchOptions): () => Promise<void> {
  const { ask, metrics, assignment, families, isAway, logger } = options
  let told: { readonly size: RedisSize; readonly byFamily: ReadonlyMap<string, number> } | null = null
  let asking = false

  metrics.observe('redis_memory_bytes', () => (told === null ? [] : [[{}, told.size.memoryBytes]]))
  metrics.observe('redis_memory_max_bytes', () => (told === null ? [] : [[{}, told.size.memoryMaxBytes]]))
  metrics.observe('stream_entries', () =>
    [...(told?.byFamily ?? [])].map(([family, entries]) => [{ family }, entries] as const),
  )

  return async () => {
    if (asking) return
    if (isAway()) {
      told = null
      return
    }
    asking = true
    const streams = [...assignment.states()].flatMap(({ partition, streams }) =>
      [...streams.keys()].map((family) => ({ family, partition })),
    )
    try {
      const size = await ask(streams)
      told = { size, byFamily: sumByFamily(families, streams, size.entries) }
    } catch (error) {
      told = null
      logger.debug({ err: error }, 'Redis did not say how full it is')
    } finally {
      asking = false
    }
  }
}

export function sumByFamily(
  families: readonly string[],
  streams: readonly { readonly family: string }[],
  entries: readonly number[],
): Map<string, number> {
  const sums = new Map(families.map((family) => [family, 0]))
  for (const [index, { family }] of streams.entries()) {
    const label = sums.has(family) ? family : 'other'
    sums.set(label, (sums.get(label) ?? 0) + (entries[index] ?? 0))
  }
  return sums
}
