/**
 * consume/ and settle/ on kafkajs, and everything it needs to be held to:
 *
 *  - a batch is resolved (read on behind) only when the handlers took it; commits are settle/'s, never automatic
 *  - it resets silently on OFFSET_OUT_OF_RANGE (tulios/kafkajs#1119): every batch says which offset it was fetched at, the handlers compare
 *  - assignment listeners are not awaited: handlers.assigned() does its work synchronously, marks are read at the gate
 *  - seeks are kept across rebalances: a seek that fires late is caught by the same comparison
 *  - a crash leaves the process running: run() rejects, and its caller ends the process
 */
import { setTimeout as sleep } from 'node:timers/promises'
import kafkajs, { type Consumer, type EachBatchPayload, type Kafka, type KafkaMessage } from 'kafkajs'
import { FatalError, TransientError } from '../../core/errors.ts'
import type { Watermarks } from '../../core/ledger.ts'
import { type RecordRun, runOf } from '../../core/record.ts'
import { installFetch, type RunMessage } from './kafkajs-fetch.ts'
import { installPlan } from './kafkajs-plan.ts'
import { openTopicIds } from './kafkajs-topic-id.ts'
import type { Consume, ConsumeHandlers } from './port.ts'

const { ConfigResourceTypes } = kafkajs

export interface KafkajsOptions {
  readonly kafka: Kafka
  readonly topic: string
  readonly group: string
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
  readonly heartbeatMs: number
  readonly fetchBytesMax: number
  readonly fetchPartitionBytesMax: number
  readonly fetchWaitMs: number
  readonly fetchPaceMs: number
  /** kafkajs restarts itself after a retriable crash; so many in a row and we would rather start anew. */
  readonly restartsMax: number
  /** Where the client gives up because it is not let in, or not any more: what to do about it. */
  readonly refusal?: (error: Error) => FatalError | null
}

export function openKafkajs(options: KafkajsOptions): Consume {
  const { kafka, topic, group } = options
  let restarts = 0
  let fetchStartedAt = 0
  /** All handlers of a fetch wait for the same moment. */
  let paced: Promise<void> | null = null
  const byRun = installFetch()
  installPlan()
  const runsOf = (messages: readonly KafkaMessage[]): RecordRun[] => {
    if (byRun) return (messages as readonly unknown[] as readonly RunMessage[]).flatMap(({ run }) => run ?? [])
    return messages.length === 0 ? [] : [runOf(messages)]
  }
  const consumer: Consumer = kafka.consumer({
    groupId: group,
    sessionTimeout: options.sessionTimeoutMs,
    rebalanceTimeout: options.rebalanceTimeoutMs,
    heartbeatInterval: options.heartbeatMs,
    maxBytes: options.fetchBytesMax,
    maxBytesPerPartition: options.fetchPartitionBytesMax,
    maxWaitTimeInMs: options.fetchWaitMs,
    minBytes: 1,
    readUncommitted: false,
    retry: { restartOnFailure: async () => ++restarts <= options.restartsMax },
  })
  const admin = kafka.admin()
  let stopped = false
  let adminConnected: Promise<void> | null = null
  const topicIds = openTopicIds(kafka)
  const held = new Set<number>()

  async function askAdmin<T>(ask: () => Promise<T>): Promise<T> {
    try {
      adminConnected ??= admin.connect().catch((error: unknown) => {
        // Whoever asks again shall try again.
        adminConnected = null
        throw error
      })
      await adminConnected
      return await ask()
    } catch (error) {
      throw new TransientError('KAFKA_UNREACHABLE', (error as Error).message, error)
    }
  }

  async function watermarks(): Promise<Map<number, Watermarks>> {
    const [offsets, topicId] = await askAdmin(() => Promise.all([admin.fetchTopicOffsets(topic), topicIds.ask(topic)]))
    const marks = ({ low, high }: { low: string; high: string }) => ({ low: Number(low), high: Number(high), topicId })
    return new Map(offsets.map((one) => [one.partition, marks(one)]))
  }

  async function eachBatch(
    { batch, resolveOffset, heartbeat, isRunning }: EachBatchPayload,
    handlers: ConsumeHandlers,
  ) {
    if (stopped || !isRunning()) return
    const lastOffset = batch.lastOffset()
    const taking = handlers.fetched({
      partition: batch.partition,
      fetchedOffset: Number((batch as { fetchedOffset?: string }).fetchedOffset ?? batch.firstOffset()),
      nextOffset: Number(lastOffset) + 1,
      highWatermark: Number(batch.highWatermark),
      runs: runsOf(batch.messages),
    })
    if (await heldWhile(taking, options.heartbeatMs, heartbeat)) {
      const last = batch.messages.at(-1)
      resolveOffset(last === undefined ? lastOffset : last.offset)
      restarts = 0
    }
    // kafkajs fetches again when all handlers have returned.
    const earlyMs = options.fetchPaceMs - (performance.now() - fetchStartedAt)
    if (earlyMs < 1) return
    paced ??= sleep(earlyMs)
    await paced
  }

  return {
    async run(handlers) {
      const gaveUp = Promise.withResolvers<never>()
      gaveUp.promise.catch(() => {})
      consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
        handlers.assigned(payload.memberAssignment[topic] ?? [])
      })
      consumer.on(consumer.events.CRASH, ({ payload }) => {
        if (payload.restart) return
        gaveUp.reject(
          options.refusal?.(payload.error) ??
            new FatalError(
              'KAFKA_CRASHED',
              `The Kafka client gave up: ${payload.error.message}.`,
              'The supervisor starts the process anew; if it returns, look at the brokers.',
              payload.error,
            ),
        )
      })
      // Record by record, a fetch that held only control records or aborted transactions never reaches eachBatch.
      consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload }) => {
        if (payload.batchSize > 0 || payload.firstOffset === null) return
        handlers.skipped(payload.partition, Number(payload.firstOffset), Number(payload.lastOffset) + 1)
      })
      consumer.on(consumer.events.FETCH_START, () => {
        fetchStartedAt = performance.now()
        paced = null
      })
      consumer.on(consumer.events.FETCH, () => handlers.heard())
      consumer.on(consumer.events.HEARTBEAT, () => handlers.heard())
      const left = Promise.withResolvers<void>()
      consumer.on(consumer.events.STOP, () => {
        if (stopped) left.resolve()
      })
      await consumer.connect()
      await consumer.subscribe({ topics: [topic], fromBeginning: true })
      await consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        // Handlers return as soon as a lane has taken the batch; they wait only at the gate or for room.
        partitionsConsumedConcurrently: 64,
        eachBatch: (payload) => eachBatch(payload, handlers),
      })
      await Promise.race([gaveUp.promise, left.promise])
    },

    seek(partition, nextOffset) {
      consumer.seek({ topic, partition, offset: String(nextOffset) })
    },

    hold(partition) {
      held.add(partition)
      if (!stopped) consumer.pause([{ topic, partitions: [partition] }])
    },

    resume(partition) {
      if (held.delete(partition) && !stopped) consumer.resume([{ topic, partitions: [partition] }])
    },

    watermarks,

    async retentionMs() {
      const resources = [
        { type: ConfigResourceTypes.TOPIC, name: topic, configNames: ['retention.ms', 'cleanup.policy'] },
      ]
      try {
        const found = await askAdmin(() => admin.describeConfigs({ includeSynonyms: false, resources }))
        const entries = found.resources[0]?.configEntries ?? []
        const value = (name: string) => entries.find(({ configName }) => configName === name)?.configValue
        const ms = Number(value('retention.ms') ?? -1)
        return ms >= 0 && value('cleanup.policy')?.includes('delete') === true ? ms : null
      } catch {
        // The right to read the configuration is not among those the fleet needs.
        return null
      }
    },

    pause() {
      stopped = true
      // Without it kafkajs would fetch again and again what nobody takes any more.
      consumer.pause([{ topic }])
    },

    async stop() {
      stopped = true
      await consumer.stop()
      await consumer.disconnect()
      if (adminConnected !== null) await admin.disconnect()
      await topicIds.close()
    },

    settle: {
      async commit(nextOffsets) {
        const offsets = [...nextOffsets].map(([partition, offset]) => ({ topic, partition, offset: String(offset) }))
        try {
          await consumer.commitOffsets(offsets)
        } catch (error) {
          // Whatever it is: the mirror is late, the next commit carries the same and more.
          throw new TransientError('KAFKA_UNREACHABLE', (error as Error).message, error)
        }
      },
    },
  }
}

/** Waits while keeping the membership alive; a rebalance ends the wait with kafkajs's own error, which makes it join again. */
async function heldWhile(
  taking: Promise<boolean>,
  heartbeatMs: number,
  heartbeat: () => Promise<void>,
): Promise<boolean> {
  let settled = false
  const watched = taking.finally(() => {
    settled = true
  })
  watched.catch(() => {})
  // The usual case: the lane took it at once.
  await Promise.resolve()
  await Promise.resolve()
  while (!settled) {
    await Promise.race([watched, sleep(heartbeatMs, undefined, { ref: false })])
    if (!settled) await heartbeat()
  }
  return watched
}
