/**
 * Streams under load: entries added on schedule in pipelines, read by consumer groups as services do (`payment-service`), acknowledged, and claimed from
 * consumers that have died with them. Latencies count from when an entry was due; the entry carries that time.
 *
 * Streams are the simulator's own: it remembers in a set what it has made, adds to nothing else, and deletes nothing else. Of existing streams (`read`)
 * it only reads, with groups that it removes again when asked to clean.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { FatalError } from '../core/errors.ts'
import { LatencyHistogram } from '../core/latency.ts'
import { createEvents } from './events.ts'
import { openLoop, scheduleOf } from './open-loop.ts'
import { createRandom } from './random.ts'
import type { RedisPlan } from './redis-flags.ts'
import { claim, consume, Group, type GroupStats, waitFor } from './redis-groups.ts'
import { quantile } from './stats.ts'

export interface SimulateRedisOptions extends RedisPlan {
  /** A connection of its own, of one node. */
  readonly connect: (name: string) => Promise<Redis>
  readonly signal: AbortSignal
  readonly now: () => number
  readonly onStats?: (stats: RedisStats) => void
}

export interface RedisStats {
  readonly added: number
  readonly bytes: number
  readonly elapsedMs: number
  readonly waiting: number
  readonly lateMsP99: number
  /** From due to answered. */
  readonly addMsP50: number
  readonly addMsP99: number
  readonly groups: readonly GroupStats[]
  /** Of all entries added, how many some group has not acknowledged, trimming aside; known at the end. */
  readonly missing: number | null
}

const inFlightMax = 8
const stuckMs = 20_000
const statsMs = 1000

export const madeKey = (prefix: string) => `${prefix}:made`
export const simulatedKey = (prefix: string, stream: number) => `${prefix}:{${stream}}`

export async function simulateRedis(options: SimulateRedisOptions): Promise<RedisStats> {
  const { now, signal, groups: names, consumers } = options
  await using closing = new AsyncDisposableStack()
  const connect = async (name: string) => {
    const client = await options.connect(name)
    closing.defer(() => client.disconnect())
    return client
  }
  const client = await connect('millrace-simulate')
  const keys = options.read === undefined ? await ownStreams(client, options) : await streamsOf(client, options.read)
  if (keys.length === 0) {
    throw new FatalError('USAGE', `There is no stream '${options.read}:{...}'.`, 'Name a family that has streams.')
  }
  const groups = names.map((name) => new Group(name))
  for (const key of keys)
    for (const { name } of groups) await createGroup(client, key, name, options.read === undefined)

  const startedMs = now()
  const stop = new AbortController()
  const adding = options.read === undefined ? startAdding(client, keys, startedMs, options) : null
  const readers = groups.flatMap((group, index) => [
    ...Array.from({ length: consumers }, async (_, number) => {
      const own = await connect(`millrace-simulate-${group.name}-${number + 1}`)
      await consume(
        own,
        keys,
        group,
        `consumer-${number + 1}`,
        options,
        createRandom(options.seed + 31 * index + number),
        stop.signal,
      )
    }),
    (async () => {
      const own = await connect(`millrace-simulate-${group.name}-claimer`)
      await claim(own, keys, group, options, stop.signal)
    })(),
  ])
  const reading = Promise.all(readers)
  reading.catch(() => {})
  /** Rejects when a reader fails, and never resolves: there may be none. */
  const broken = reading.then(() => new Promise<never>(() => {}))
  broken.catch(() => {})
  const stats = (missing: number | null): RedisStats => ({
    added: adding?.added ?? 0,
    bytes: adding?.bytes ?? 0,
    elapsedMs: now() - startedMs,
    waiting: adding?.loop.waiting() ?? 0,
    lateMsP99: quantile(adding?.late, 0.99),
    addMsP50: quantile(adding?.answered, 0.5),
    addMsP99: quantile(adding?.answered, 0.99),
    groups: groups.map((group) => group.stats(adding?.added ?? null)),
    missing,
  })
  const reporter = setInterval(() => options.onStats?.(stats(null)), statsMs)
  try {
    if (adding !== null) await Promise.race([adding.loop.done, broken])
    else await Promise.race([waitFor(options.forMs ?? Number.POSITIVE_INFINITY, signal), broken])
    if (adding !== null) await Promise.race([drained(groups, adding, options), broken])
    stop.abort()
    await reading
    const trims = options.maxlen !== undefined || options.ttlMs !== undefined
    const missing =
      adding === null || trims ? 0 : groups.reduce((sum, { acknowledged }) => sum + adding.added - acknowledged, 0)
    const final = stats(missing)
    options.onStats?.(final)
    if (options.clean) await clean(client, options, keys)
    return final
  } finally {
    stop.abort()
    clearInterval(reporter)
    await reading.catch(() => {})
  }
}

/** Deletes what is remembered as made under the prefix; of streams that were only read, the groups. */
export async function clean(
  client: Redis,
  { prefix, read, groups }: Pick<RedisPlan, 'prefix' | 'groups'> & { readonly read?: string },
  keys: readonly string[] = [],
): Promise<number> {
  if (read !== undefined) {
    for (const key of keys) for (const group of groups) await client.xgroup('DESTROY', key, group)
    return 0
  }
  const made = await client.smembers(madeKey(prefix))
  for (const key of made) await client.unlink(key)
  await client.unlink(madeKey(prefix))
  return made.length
}

async function ownStreams(client: Redis, { prefix, streams }: SimulateRedisOptions): Promise<string[]> {
  const keys = Array.from({ length: streams }, (_, stream) => simulatedKey(prefix, stream))
  const made = new Set(await client.smembers(madeKey(prefix)))
  for (const key of keys) {
    if (made.has(key) || (await client.exists(key)) === 0) continue
    throw new FatalError(
      'USAGE',
      `The key ${key} is there, and no run of the simulator has made it.`,
      'Choose another --prefix; to read existing streams and leave them as they are, --read.',
    )
  }
  await client.sadd(madeKey(prefix), ...keys)
  return keys
}

async function streamsOf(client: Redis, family: string): Promise<string[]> {
  const pattern = `${family.replaceAll(/[*?[\]\\]/g, '\\$&')}:{*}`
  const found = new Set<string>()
  let cursor = '0'
  do {
    const [next, keys] = await client.scan(cursor, 'MATCH', pattern, 'COUNT', 1000, 'TYPE', 'stream')
    for (const key of keys) found.add(key)
    cursor = next
  } while (cursor !== '0')
  return [...found].sort()
}

/** From the beginning where the stream is ours, else from now on. */
async function createGroup(client: Redis, key: string, group: string, isOurs: boolean): Promise<void> {
  try {
    await client.xgroup('CREATE', key, group, isOurs ? '0' : '$', 'MKSTREAM')
  } catch (error) {
    // It has been there: a run before this one.
    if (!(error as Error).message.startsWith('BUSYGROUP')) throw error
    await client.xgroup('SETID', key, group, '$')
  }
}

function startAdding(client: Redis, keys: readonly string[], startedMs: number, options: SimulateRedisOptions) {
  const { now, signal, maxlen, ttlMs, seed, size } = options
  const schedule = scheduleOf(options, startedMs)
  // As the fleet spreads them: a subject is always in the same stream.
  const events = createEvents({ seed, partitions: keys.length, ...(size !== undefined && { size }) })
  const late = new LatencyHistogram()
  const answered = new LatencyHistogram()
  const touchedMs = new Map<string, number>()
  const counted = { added: 0, bytes: 0 }
  const trim = maxlen === undefined ? [] : ['MAXLEN', '~', maxlen]
  const loop = openLoop({
    ...schedule,
    now,
    signal,
    inFlightMax,
    chunkMax: options.pipeline,
    async work(_, dueMs) {
      const pipeline = client.pipeline()
      const atMs = now()
      let bytes = 0
      for (const due of dueMs) {
        const record = events.next(due)
        const key = keys[record.partition] as string
        const value = record.value as string
        if (schedule.profile !== null) late.record(atMs - due)
        bytes += value.length
        pipeline.call('XADD', key, ...trim, '*', 'event', value, 'due', String(due))
        if (ttlMs !== undefined && atMs - (touchedMs.get(key) ?? 0) >= Math.min(1000, ttlMs / 4)) {
          touchedMs.set(key, atMs)
          pipeline.pexpire(key, ttlMs)
        }
      }
      for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw error
      counted.added += dueMs.length
      counted.bytes += bytes
      answered.recordAges(now(), dueMs)
    },
  })
  loop.done.catch(() => {})
  return {
    loop,
    late,
    answered,
    get added() {
      return counted.added
    },
    get bytes() {
      return counted.bytes
    },
  }
}

/** Until every group has acknowledged everything; where streams are trimmed, until nothing moves any more. */
async function drained(
  groups: readonly Group[],
  adding: { readonly added: number },
  { now, claimIdleMs }: SimulateRedisOptions,
): Promise<void> {
  const acknowledged = () => groups.reduce((sum, group) => sum + group.acknowledged, 0)
  let before = acknowledged()
  let movedMs = now()
  for (;;) {
    if (groups.every((group) => group.acknowledged >= adding.added)) return
    if (acknowledged() > before) {
      before = acknowledged()
      movedMs = now()
    } else if (now() - movedMs > Math.min(stuckMs, 2000 + claimIdleMs * 3)) return
    await sleep(20)
  }
}
