/**
 * Sends simulated records to Kafka in open loop: the schedule alone decides when a record is due, and that time is the record's timestamp and the
 * time inside the event. A slow broker does not slow the schedule; it makes records late, and `lateMsP99` says so. (A closed loop would hide exactly
 * the delays one wants to see: coordinated omission.)
 *
 * `produced` counts acknowledged records. After a lost connection kafkajs sends again what may have been written: unless the producer is idempotent,
 * those are duplicates as any producer makes them, in the topic but in none of these counters. The topic's own watermarks are the truth.
 *
 * kafkajs is idempotent and transactional with one request in flight only, and cannot go on after an idempotent request that it has given up: that ends
 * the run. Transactions follow each other; a producer has one at a time.
 */
import kafkajs, { type KafkaConfig, type Message, type Producer, type RecordMetadata } from 'kafkajs'
import { FatalError } from '../core/errors.ts'
import { LatencyHistogram } from '../core/latency.ts'
import type { CodecName } from '../flow/consume/codecs.ts'
import { mendKafkajs } from '../flow/consume/kafkajs-mend.ts'
import { createEvents, type EventsOptions, type SimulatedRecord } from './events.ts'
import { acceptBatches, BatchMessage } from './kafkajs-batches.ts'
import { constantAt, createProfile, type ProfilePlan } from './profile.ts'
import { createRandom } from './random.ts'
import { type BatchBuilder, createBatchBuilder } from './record-batch.ts'
import { type SimulateStats, statsOf } from './stats.ts'
import { ensureTopic } from './topic.ts'

export type { SimulateStats }

/** What is sent, as plain values: it can be handed to another process. */
export interface SimulatePlan extends Omit<EventsOptions, 'partitions'> {
  readonly topic: string
  /** Use only this many partitions of the topic; all of them by default. */
  readonly partitions?: number
  /** Records per second, or Infinity for as fast as the broker takes them. */
  readonly rate: number
  /** How the rate changes; `rate` all the time by default. */
  readonly profile?: ProfilePlan
  readonly forMs?: number
  /** Records in all, duplicates and bad ones included. */
  readonly events?: number
  readonly codec?: CodecName | 'none'
  readonly acks?: -1 | 0 | 1
  readonly idempotent?: boolean
  /** Every request is a transaction of this id; the sender's number is added to it. */
  readonly transactionalId?: string
  /** Share of the transactions that are aborted, and sent again. */
  readonly abort?: number
  /** Sends the records of these partitions only: the share of one of several senders of one sequence. */
  readonly share?: { readonly index: number; readonly of: number }
}

export interface SimulateOptions extends SimulatePlan {
  readonly kafka: KafkaConfig
  readonly signal?: AbortSignal
  readonly now: () => number
  /** What an error of the client means; whoever knows the settings knows that. KAFKA_UNREACHABLE costs the records of a request, all else ends the run. */
  readonly explain: (error: unknown) => FatalError
  /** Makes of every record the one that is sent. */
  readonly shape?: (record: SimulatedRecord) => SimulatedRecord
  /** Called about once a second, and at the end. */
  readonly onStats?: (stats: SimulateStats) => void
  /** Told of every request once it is answered, or given up (written or not, nobody knows): the records, for an account by event. */
  readonly onAnswer?: (records: readonly SimulatedRecord[], acknowledged: boolean) => void
  /** Awaited when the connection stands: when the schedule begins. At once by default. */
  readonly begin?: () => Promise<number>
}

/** Long enough to make a request worth its cost, short enough to vanish in a latency of 10 ms. */
const tickMs = 5
const inFlightMax = 32
/** At full speed: two requests of 200 records per partition (100 partitions) keep broker and encoder both busy. */
const inFlightMaxAtFullSpeed = 3
/** A Produce request takes one batch per partition, and a broker takes batches of up to 1 MB: 200 records are about 95 KB before compression. */
const recordsPerPartitionMax = 200
/** What 200 records of the usual size come to, with room to spare: of large events a batch takes fewer. */
const batchBytesMax = 400_000
const statsMs = 1000
const metadataMaxAgeMs = 5000

export async function simulate(options: SimulateOptions): Promise<SimulateStats> {
  mendKafkajs()
  acceptBatches()
  const kafka = new kafkajs.Kafka({
    retry: { initialRetryTime: 100, retries: 8, maxRetryTime: 2000 },
    ...options.kafka,
  })
  const { transactionalId, share } = options
  const numbered = options.idempotent === true || transactionalId !== undefined
  const producer = kafka.producer({
    allowAutoTopicCreation: false,
    idempotent: numbered,
    ...(numbered && { maxInFlightRequests: 1 }),
    ...(transactionalId !== undefined && { transactionalId: `${transactionalId}-${share?.index ?? 0}` }),
    // A broker that stops answering is asked again and again until the client looks who leads now.
    metadataMaxAge: metadataMaxAgeMs,
    // The record names its partition; the client's default would hash the key a second time.
    createPartitioner:
      () =>
      ({ message }) =>
        message.partition ?? 0,
  })
  try {
    const found = await ensureTopic(kafka, options.topic)
    await producer.connect()
    const startedMs = options.begin === undefined ? options.now() : await options.begin()
    return await run(options, producer, Math.min(options.partitions ?? found, found), startedMs)
  } catch (error) {
    throw error instanceof FatalError ? error : options.explain(error)
  } finally {
    await producer.disconnect()
  }
}

/** The whole life of a run, from the first due record to the last answer. */
function run(
  options: SimulateOptions,
  producer: Producer,
  partitions: number,
  startedMs: number,
): Promise<SimulateStats> {
  const { topic, rate, now, signal, codec = 'snappy', acks = -1, share, transactionalId, abort = 0, size } = options
  const source = createEvents({ ...options, partitions })
  const fullSpeed = rate === Number.POSITIVE_INFINITY
  const profile = createProfile(options.profile ?? constantAt(rate))
  const numbered = options.idempotent === true || transactionalId !== undefined
  // Records due at the very end are the next run's.
  const scheduled =
    fullSpeed || options.forMs === undefined ? Number.POSITIVE_INFINITY : profile.dueCount(options.forMs - 0.001)
  const ownPartitions = share === undefined ? partitions : Math.ceil(Math.max(0, partitions - share.index) / share.of)
  const total = ownPartitions === 0 ? 0 : Math.min(options.events ?? Number.POSITIVE_INFINITY, scheduled)
  const endMs = fullSpeed && options.forMs !== undefined ? startedMs + options.forMs : Number.POSITIVE_INFINITY
  const requestsMax = numbered ? 1 : fullSpeed ? inFlightMaxAtFullSpeed : inFlightMax
  const perPartition =
    size === undefined
      ? recordsPerPartitionMax
      : Math.max(1, Math.min(recordsPerPartitionMax, Math.floor(batchBytesMax / size[1])))
  const requestRecordsMax = ownPartitions * perPartition
  const batches = Array.from({ length: partitions }, createBatchBuilder)
  const luck = createRandom(options.seed)
  const late = new LatencyHistogram()
  const acknowledged = new LatencyHistogram()
  const poisons: Record<string, number> = {}
  const sums = { event: 0, duplicate: 0, poison: 0, failed: 0, bytes: 0, aborted: 0 }
  /** Places of the sequence that are behind us, others' included. */
  let passed = 0
  let inFlight = 0
  let heldBack = false
  let stopped = false

  const dueCount = (atMs: number) => (fullSpeed ? total : Math.min(total, profile.dueCount(atMs - startedMs)))
  const stats = (): SimulateStats =>
    statsOf({
      events: sums.event,
      duplicates: sums.duplicate,
      poison: sums.poison,
      poisons: { ...poisons },
      failed: sums.failed,
      bytes: sums.bytes,
      elapsedMs: Math.max(0, now() - startedMs),
      waiting: fullSpeed || stopped ? 0 : Math.round(Math.max(0, dueCount(now()) - passed) / (share?.of ?? 1)),
      aborted: sums.aborted,
      late,
      acknowledged,
    })

  /** Walks the sequence until `until`, takes what is ours, and sends it when there is any. */
  async function send(until: number, atMs: number): Promise<void> {
    const kinds = { event: 0, duplicate: 0, poison: 0 }
    const labels: string[] = []
    const due: number[] = []
    const records: SimulatedRecord[] = []
    let bytes = 0
    while (passed < until && due.length < requestRecordsMax) {
      // At full speed an event is due when it is made: a request of thousands takes a while.
      const dueMs = fullSpeed ? now() : startedMs + profile.dueMs(passed)
      passed++
      const made = share === undefined ? source.next(dueMs) : source.nextOf(share.index, share.of, dueMs)
      if (made === null) continue
      const record = options.shape?.(made) ?? made
      due.push(dueMs)
      if (options.onAnswer !== undefined) records.push(record)
      if (!fullSpeed) late.record(atMs - dueMs)
      kinds[record.kind]++
      if (record.kind === 'poison') labels.push(record.label)
      bytes += (batches[record.partition] as BatchBuilder).add(record)
    }
    if (due.length === 0) return
    const messages: Message[] = []
    for (let partition = 0; partition < partitions; partition++) {
      const batch = batches[partition] as BatchBuilder
      if (batch.count > 0) messages.push(new BatchMessage(partition, batch.finish(codec)))
    }
    inFlight++
    try {
      await (transactionalId === undefined ? deliver(producer, messages) : transact(messages))
      for (const kind of ['event', 'duplicate', 'poison'] as const) sums[kind] += kinds[kind]
      for (const label of labels) poisons[label] = (poisons[label] ?? 0) + 1
      sums.bytes += bytes
      options.onAnswer?.(records, true)
      acknowledged.recordAges(now(), due)
    } catch (error) {
      // A broker that is away for longer than the client's patience costs these records, not the run.
      if (!numbered && options.explain(error).code === 'KAFKA_UNREACHABLE') {
        sums.failed += due.length
        options.onAnswer?.(records, false)
      } else throw error
    } finally {
      inFlight--
    }
  }

  async function deliver(by: Pick<Producer, 'send'>, messages: Message[]): Promise<void> {
    if (acks === 0) await by.send({ topic, messages, acks })
    else await sendWhole((left) => by.send({ topic, messages: left, acks }), messages)
  }

  async function transact(messages: Message[]): Promise<void> {
    while (abort > 0 && luck.unit() < abort) {
      const transaction = await producer.transaction()
      await deliver(transaction, messages)
      await transaction.abort()
      sums.aborted++
    }
    const transaction = await producer.transaction()
    await deliver(transaction, messages)
    await transaction.commit()
  }

  return new Promise((resolve, reject) => {
    let failure: unknown
    const finish = () => {
      stopped = true
      clearInterval(ticker)
      clearInterval(reporter)
      signal?.removeEventListener('abort', tick)
      if (failure === undefined) {
        options.onStats?.(stats())
        resolve(stats())
      } else reject(failure)
    }
    const over = () => failure !== undefined || signal?.aborted === true || passed >= total || now() >= endMs
    function tick(): void {
      const atMs = now()
      if (over()) {
        if (inFlight === 0 && !stopped) finish()
        return
      }
      const until = dueCount(atMs)
      while (passed < until && inFlight < requestsMax) {
        send(until, atMs).then(answered, (error: unknown) => {
          failure ??= error
          answered()
        })
      }
      heldBack = passed < until
    }
    /** An answer makes room. It starts nothing else: sending at every answer would be a request per millisecond, five times the CPU (measured: 56 %). */
    function answered(): void {
      if (heldBack || over()) tick()
    }
    const ticker = setInterval(tick, tickMs)
    const reporter = setInterval(() => options.onStats?.(stats()), statsMs)
    signal?.addEventListener('abort', tick)
    tick()
  })
}

/**
 * A send that has sent everything when it succeeds. kafkajs notes which brokers have answered, and tries again with the others only:
 *
 *   1. brokers A and B are sent their partitions; A answers; B dies
 *   2. A becomes the leader of B's partitions
 *   3. all leaders have answered: the send succeeds, and what was B's was never written
 *
 * The answer names the partitions that were written; the others are sent once more.
 */
async function sendWhole(
  send: (messages: Message[]) => Promise<RecordMetadata[]>,
  messages: readonly Message[],
): Promise<void> {
  for (let left = [...messages]; left.length > 0; ) {
    const written = new Set((await send(left)).map(({ partition }) => partition))
    left = left.filter(({ partition }) => !written.has(partition as number))
  }
}
