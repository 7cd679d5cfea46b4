/**
 * The body of `millrace simulate kafka`: progress, and one JSON line at the end for programs.
 * A signal stops the schedule; what is in flight is awaited, and the last line is printed all the same.
 */
import kafkajs from 'kafkajs'
import { count } from '../core/count.ts'
import { FatalError } from '../core/errors.ts'
import { mendKafkajs } from '../flow/consume/kafkajs-mend.ts'
import { kafkaConfig, kafkaFailure } from '../process/connect-kafka.ts'
import { readFlags, type SimulateFlags } from './flags.ts'
import { type SimulateIo, tellEnd, tellProgress } from './io.ts'
import { type SimulatePlan, simulate } from './kafka.ts'
import { startSenders } from './senders.ts'
import { briefStats, type SimulateStats } from './stats.ts'
import { ensureTopic } from './topic.ts'

const partitionsDefault = 100

function line(stats: SimulateStats, perSecond: number): string {
  const parts = [
    `${count(stats.produced)} sent`,
    `${count(perSecond)}/s`,
    `late p99 ${stats.lateMsP99} ms`,
    `acknowledged p50 ${stats.ackMsP50} ms, p99 ${stats.ackMsP99} ms`,
  ]
  if (stats.waiting > 0) parts.push(`${count(stats.waiting)} waiting`)
  if (stats.aborted > 0) parts.push(`${count(stats.aborted)} transactions aborted`)
  if (stats.failed > 0) parts.push(`${count(stats.failed)} FAILED`)
  return parts.join('  ')
}

/** Answers the exit code: 0, or 1 when records were given up. */
export async function simulateKafka(flags: SimulateFlags, io: SimulateIo): Promise<number> {
  const { create, json, replicationFactor, processes, ...plan } = readFlags(flags, io.now)
  const { settings } = io
  const explain = (error: unknown) => kafkaFailure(error, settings)
  mendKafkajs()
  const kafka = new kafkajs.Kafka(kafkaConfig(settings))
  const made = { partitions: plan.partitions ?? partitionsDefault, replicationFactor }
  const found = await ensureTopic(kafka, plan.topic, create ? made : undefined).catch((error: unknown) => {
    throw error instanceof FatalError ? error : explain(error)
  })
  const partitions = Math.min(plan.partitions ?? found, found)
  if (processes > partitions) {
    throw new FatalError(
      'USAGE',
      `--processes ${processes}, but only ${partitions} partitions to share out.`,
      `Give at most ${partitions}.`,
    )
  }
  let last = { produced: 0, elapsedMs: 0 }
  const onStats = (stats: SimulateStats) => {
    const perSecond = ((stats.produced - last.produced) * 1000) / Math.max(1, stats.elapsedMs - last.elapsedMs)
    last = stats
    tellProgress(io, line(stats, perSecond))
  }
  const final = await (processes === 1 ? alone(plan) : together(plan))
  const ratePerSecond = Math.round((final.produced * 1000) / Math.max(1, final.elapsedMs))
  if (json) {
    io.writeResult(`${JSON.stringify({ topic: plan.topic, seed: plan.seed, ratePerSecond, ...briefStats(final) })}\n`)
  } else {
    const kinds = `${count(final.events)} events, ${count(final.duplicates)} duplicates, ${count(final.poison)} bad`
    tellEnd(
      io,
      `${count(final.produced)} records in ${(final.elapsedMs / 1000).toFixed(1)} s to '${plan.topic}': ${kinds}; seed ${plan.seed}\n`,
    )
  }
  return final.failed > 0 ? 1 : 0

  function alone(plan: SimulatePlan): Promise<SimulateStats> {
    return simulate({ ...plan, kafka: kafkaConfig(settings), signal: io.signal, now: io.now, explain, onStats })
  }

  async function together(plan: SimulatePlan): Promise<SimulateStats> {
    const senders = startSenders({ settings, plan, processes, now: io.now, onStats: throttled(onStats, processes) })
    const stop = () => senders.stop()
    io.signal.addEventListener('abort', stop)
    if (io.signal.aborted) stop()
    try {
      return await senders.done
    } finally {
      io.signal.removeEventListener('abort', stop)
    }
  }
}

/** Of several senders each tells once a second: one line for all of them. */
function throttled(onStats: (stats: SimulateStats) => void, every: number): (stats: SimulateStats) => void {
  let told = 0
  return (stats) => {
    if (++told % every === 0) onStats(stats)
  }
}
