/** The fixed rate: so many events a second over all partitions into a few replicas, and how long each takes to be stored and to be published. */
import { cpus } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { LatencyHistogram } from '../src/core/latency.ts'
import { type Status, windowOf } from '../src/core/status.ts'
import { simulate } from '../src/simulate/kafka.ts'
import { type Replica, startReplica } from './replica.ts'
import { topic, unexplained, type World } from './world.ts'

export interface SteadyOptions {
  readonly rate: number
  readonly replicas: number
  readonly partitions: number
  readonly warmMs: number
  readonly seconds: number
  readonly profiling: readonly string[]
}

/** Every partition is served, and every replica serves some. */
async function assigned(replicas: readonly Replica[], partitions: number, signal: AbortSignal): Promise<void> {
  for (;;) {
    const counts = (await Promise.all(replicas.map((replica) => replica.status()))).map(
      (status) => status.partitions.length,
    )
    if (counts.every((count) => count > 0) && counts.reduce((sum, count) => sum + count) === partitions) return
    await sleep(200, undefined, { signal })
  }
}

export interface Quantiles {
  readonly p50: number
  readonly p95: number
  readonly p99: number
}

export interface Steady {
  readonly rate: number
  readonly storedMs: Quantiles & { readonly seconds: readonly Quantiles[] }
  readonly publishedMs: Quantiles & { readonly seconds: readonly Quantiles[] }
  readonly residentMiB: number
  readonly lateMsP99: number
}

function quantilesBetween(from: readonly Status[], to: readonly Status[], of: 'storedMs' | 'publishedMs'): Quantiles {
  const all = new LatencyHistogram()
  for (const [index, status] of to.entries()) {
    const earlier = from[index]
    if (earlier !== undefined) all.merge(LatencyHistogram.from(status[of]).since(earlier[of]))
  }
  return { p50: all.percentile(0.5), p95: all.percentile(0.95), p99: all.percentile(0.99) }
}

export async function steady(world: World, options: SteadyOptions): Promise<Steady> {
  const { stack, logs, signal, say } = world
  const { rate, warmMs, profiling } = options
  say(`steady: ${rate} events/s for ${options.seconds} s into ${options.replicas} replicas`)
  await world.reset()
  // As `npm start` does: the lanes of all replicas together are about as many as cores.
  const lanes = String(Math.max(1, Math.round(cpus().length / options.replicas)))
  const setting = { MILLRACE_LANES: lanes, ...world.env(true), MILLRACE_START_FROM: 'latest' }
  const replicas = await Promise.all(
    Array.from({ length: options.replicas }, (_, n) =>
      startReplica(setting, join(logs, `steady-${n}.log`), [...profiling]),
    ),
  )
  await assigned(replicas, options.partitions, signal)
  const sending = simulate({
    kafka: { brokers: [stack.kafka] },
    topic,
    seed: Date.now(),
    rate,
    forMs: warmMs + options.seconds * 1000,
    signal,
    now: Date.now,
    explain: unexplained,
  })
  await sleep(warmMs, undefined, { signal })
  const statuses = () => Promise.all(replicas.map((replica) => replica.status()))
  const before = await statuses()
  const seconds = [before]
  while (seconds.length < options.seconds) {
    await sleep(1000, undefined, { signal })
    seconds.push(await statuses())
  }
  const sent = await sending
  await sleep(1000, undefined, { signal })
  const after = await statuses()
  seconds.push(after)
  /** Of everything, and of the median second: on a shared machine one bad second in thirty decides the first alone. */
  const quantiles = (of: 'storedMs' | 'publishedMs') => ({
    ...quantilesBetween(before, after, of),
    seconds: seconds.slice(1).map((second, index) => quantilesBetween(seconds[index] as Status[], second, of)),
  })
  for (const [index, status] of after.entries()) {
    const window = windowOf(before[index] as Status, status)
    const rooms = (['decode', 'persist', 'publish'] as const).map((room) => {
      const batches = status.rooms[room].batches - (before[index]?.rooms[room].batches ?? 0)
      const working = status.rooms[room].seconds.working - (before[index]?.rooms[room].seconds.working ?? 0)
      return `${room} ${Math.round(batches / window.seconds)}/s, ${((working / batches) * 1000).toFixed(1)} ms each`
    })
    say(`  replica ${index + 1}: ${rooms.join('; ')}; ${Math.round(window.batchRows.percentile(0.5))} rows a batch`)
  }
  const residentMiB = Math.max(...replicas.map((replica) => replica.usage().residentMiB))
  await Promise.all(replicas.map((replica) => replica.stop()))
  return {
    rate: sent.produced / (sent.elapsedMs / 1000),
    storedMs: quantiles('storedMs'),
    publishedMs: quantiles('publishedMs'),
    residentMiB,
    lateMsP99: sent.lateMsP99,
  }
}
