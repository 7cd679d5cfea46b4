/**
 * The body of `millrace simulate`: a line that renews itself on a terminal, a plain line a second elsewhere, one JSON line at the end for programs.
 * A signal stops the schedule; what is in flight is awaited, and the last line is printed all the same.
 */
import kafkajs, { type KafkaConfig } from 'kafkajs'
import { count } from '../core/count.ts'
import { FatalError } from '../core/errors.ts'
import { mendKafkajs } from '../flow/consume/kafkajs-mend.ts'
import { readFlags, type SimulateFlags } from './flags.ts'
import { type SimulateStats, simulate } from './kafka.ts'
import { ensureTopic } from './topic.ts'

// Until main.ts imports them from flags.ts itself.

const partitionsDefault = 100

export interface SimulateIo {
  readonly kafka: KafkaConfig
  readonly signal: AbortSignal
  readonly now: () => number
  /** Progress, for people. */
  readonly write: (text: string) => void
  /** The JSON line. With --json the progress belongs on standard error, so that standard output is one line. */
  readonly writeResult: (text: string) => void
  readonly terminal: boolean
  /** As in SimulateOptions. */
  readonly explain: (error: unknown) => FatalError
}

function line(stats: SimulateStats, perSecond: number): string {
  const parts = [
    `${count(stats.produced)} sent`,
    `${count(perSecond)}/s`,
    `late p99 ${stats.lateMsP99} ms`,
    `acknowledged p50 ${stats.ackMsP50} ms, p99 ${stats.ackMsP99} ms`,
  ]
  if (stats.waiting > 0) parts.push(`${count(stats.waiting)} waiting`)
  if (stats.failed > 0) parts.push(`${count(stats.failed)} FAILED`)
  return parts.join('  ')
}

/** Answers the exit code: 0, or 1 when records were given up. */
export async function simulateKafka(flags: SimulateFlags, io: SimulateIo): Promise<number> {
  const { create, json, replicationFactor, ...options } = readFlags(flags, io.now)
  if (create) {
    mendKafkajs()
    const plan = { partitions: options.partitions ?? partitionsDefault, replicationFactor }
    await ensureTopic(new kafkajs.Kafka(io.kafka), options.topic, plan).catch((error: unknown) => {
      throw error instanceof FatalError ? error : io.explain(error)
    })
  }
  let last = { produced: 0, elapsedMs: 0 }
  const final = await simulate({
    ...options,
    kafka: io.kafka,
    signal: io.signal,
    now: io.now,
    explain: io.explain,
    onStats(stats) {
      const perSecond = ((stats.produced - last.produced) * 1000) / Math.max(1, stats.elapsedMs - last.elapsedMs)
      last = stats
      io.write(io.terminal ? `\r\x1b[2K${line(stats, perSecond)}` : `${line(stats, perSecond)}\n`)
    },
  })
  const ratePerSecond = Math.round((final.produced * 1000) / Math.max(1, final.elapsedMs))
  if (json) io.writeResult(`${JSON.stringify({ topic: options.topic, seed: options.seed, ratePerSecond, ...final })}\n`)
  else {
    const kinds = `${count(final.events)} events, ${count(final.duplicates)} duplicates, ${count(final.poison)} bad`
    io.write(
      `${io.terminal ? '\n' : ''}${count(final.produced)} records in ${(final.elapsedMs / 1000).toFixed(1)} s to '${options.topic}': ${kinds}; seed ${options.seed}\n`,
    )
  }
  return final.failed > 0 ? 1 : 0
}
