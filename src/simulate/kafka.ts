/**
 * Sends simulated records to Kafka in open loop: the schedule alone decides when a record is due, and that time is the record's timestamp and the
 * time inside the event. A slow broker does not slow the schedule; it makes records late, and `lateMsP99` says so. (A closed loop would hide exactly
 * the delays one wants to see: coordinated omission.)
 *
 * `produced` counts acknowledged records. After a lost connection kafkajs sends again what may have been written: those are duplicates as any
 * producer makes them, in the topic but in none of these counters. The topic's own watermarks are the truth.
 */
import kafkajs, { type KafkaConfig, type Message, type Producer, type RecordMetadata } from 'kafkajs'
import { FatalError } from '../core/errors.ts'
import type { CodecName } from '../flow/consume/codecs.ts'
import { mendKafkajs } from '../flow/consume/kafkajs-mend.ts'
import { createEvents, type EventsOptions, type SimulatedRecord } from './events.ts'
import { createHistogram } from './histogram.ts'
import { acceptBatches, messageOfBatch } from './kafkajs-batches.ts'
import { type BatchBuilder, createBatchBuilder } from './record-batch.ts'
import { ensureTopic } from './topic.ts'

export interface SimulateOptions extends Omit<EventsOptions, 'partitions'> {
  readonly kafka: KafkaConfig
  readonly topic: string
  /** Use only this many partitions of the topic; all of them by default. */
  readonly partitions?: number
  /** Records per second, or Infinity for as fast as the broker takes them. */
  readonly rate: number
  readonly forMs?: number
  /** Records in all, duplicates and bad ones included. */
  readonly events?: number
  readonly codec?: CodecName | 'none'
  readonly acks?: -1 | 0 | 1
  readonly signal?: AbortSignal
  readonly now: () => number
  /** What an error of the client means; whoever knows the settings knows that. KAFKA_UNREACHABLE costs the records of a request, all else ends the run. */
  readonly explain: (error: unknown) => FatalError
  /** Called about once a second, and at the end. */
  readonly onStats?: (stats: SimulateStats) => void
  /** Told of every request once it is answered, or given up (written or not, nobody knows): the records, for an account by event. */
  readonly onAnswer?: (records: readonly SimulatedRecord[], acknowledged: boolean) => void
}

export interface SimulateStats {
  /** Acknowledged records; the next three are what they were. */
  readonly produced: number
  readonly events: number
  readonly duplicates: number
  readonly poison: number
  /** The bad ones by their labels. */
  readonly poisons: Readonly<Record<string, number>>
  /** Records of requests that were given up: written or not, nobody knows. */
  readonly failed: number
  /** Bytes of keys and values, before compression. */
  readonly bytes: number
  readonly elapsedMs: number
  /** Due, but not yet handed to the client, because too many requests are in flight. */
  readonly waiting: number
  /** From a record's due time to its hand-over to the client. */
  readonly lateMsP99: number
  /** From a record's due time to its acknowledgement. */
  readonly ackMsP50: number
  readonly ackMsP99: number
}

/** Long enough to make a request worth its cost, short enough to vanish in a latency of 10 ms. */
const tickMs = 5
const inFlightMax = 32
/** At full speed: two requests of 200 records per partition (100 partitions) keep broker and encoder both busy. */
const inFlightMaxAtFullSpeed = 3
/** A Produce request takes one batch per partition, and a broker takes batches of up to 1 MB: 200 records are about 95 KB before compression. */
const recordsPerPartitionMax = 200
const statsMs = 1000
const metadataMaxAgeMs = 5000

export async function simulate(options: SimulateOptions): Promise<SimulateStats> {
  mendKafkajs()
  acceptBatches()
  const kafka = new kafkajs.Kafka({
    retry: { initialRetryTime: 100, retries: 8, maxRetryTime: 2000 },
    ...options.kafka,
  })
  const producer = kafka.producer({
    allowAutoTopicCreation: false,
    idempotent: false,
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
    return await run(options, producer, Math.min(options.partitions ?? found, found))
  } catch (error) {
    throw error instanceof FatalError ? error : options.explain(error)
  } finally {
    await producer.disconnect()
  }
}

/** The whole life of a run, from the first due record to the last answer. */
function run(options: SimulateOptions, producer: Producer, partitions: number): Promise<SimulateStats> {
  const { topic, rate, now, signal, codec = 'snappy', acks = -1 } = options
  const source = createEvents({ ...options, partitions })
  const fullSpeed = rate === Number.POSITIVE_INFINITY
  const scheduled = fullSpeed || options.forMs === undefined ? Number.POSITIVE_INFINITY : (options.forMs * rate) / 1000
  const total = Math.ceil(Math.min(options.events ?? Number.POSITIVE_INFINITY, scheduled))
  const startedMs = now()
  const endMs = fullSpeed && options.forMs !== undefined ? startedMs + options.forMs : Number.POSITIVE_INFINITY
  const requestsMax = fullSpeed ? inFlightMaxAtFullSpeed : inFlightMax
  const batches = Array.from({ length: partitions }, createBatchBuilder)
  const late = createHistogram()
  const acknowledged = createHistogram()
  const poisons: Record<string, number> = {}
  const sums = { event: 0, duplicate: 0, poison: 0, failed: 0, bytes: 0 }
  let handedOver = 0
  let inFlight = 0
  let heldBack = false
  let stopped = false

  const dueCount = (atMs: number) =>
    fullSpeed ? total : Math.min(total, Math.floor(((atMs - startedMs) * rate) / 1000) + 1)
  const stats = (): SimulateStats => ({
    produced: sums.event + sums.duplicate + sums.poison,
    events: sums.event,
    duplicates: sums.duplicate,
    poison: sums.poison,
    poisons: { ...poisons },
    failed: sums.failed,
    bytes: sums.bytes,
    elapsedMs: now() - startedMs,
    waiting: fullSpeed || stopped ? 0 : Math.max(0, dueCount(now()) - handedOver),
    lateMsP99: late.quantile(0.99),
    ackMsP50: acknowledged.quantile(0.5),
    ackMsP99: acknowledged.quantile(0.99),
  })

  async function send(count: number, atMs: number): Promise<void> {
    const kinds = { event: 0, duplicate: 0, poison: 0 }
    const labels: string[] = []
    const records: SimulatedRecord[] = []
    const due = new Float64Array(count)
    let bytes = 0
    for (let i = 0; i < count; i++) {
      const dueMs = fullSpeed ? atMs : startedMs + ((handedOver + i) * 1000) / rate
      const record = source.next(dueMs)
      due[i] = dueMs
      if (options.onAnswer !== undefined) records.push(record)
      if (!fullSpeed) late.add(atMs - dueMs)
      kinds[record.kind]++
      if (record.kind === 'poison') labels.push(record.label)
      bytes += (batches[record.partition] as BatchBuilder).add(record)
    }
    handedOver += count
    const messages: Message[] = []
    for (let partition = 0; partition < partitions; partition++) {
      const batch = batches[partition] as BatchBuilder
      if (batch.count > 0) messages.push(messageOfBatch(partition, batch.finish(codec)))
    }
    inFlight++
    try {
      if (acks === 0) await producer.send({ topic, messages, acks })
      else await sendWhole((left) => producer.send({ topic, messages: left, acks }), messages)
      for (const kind of ['event', 'duplicate', 'poison'] as const) sums[kind] += kinds[kind]
      for (const label of labels) poisons[label] = (poisons[label] ?? 0) + 1
      sums.bytes += bytes
      options.onAnswer?.(records, true)
      const ackMs = now()
      for (let i = 0; i < count; i++) acknowledged.add(ackMs - (due[i] as number))
    } catch (error) {
      // A broker that is away for longer than the client's patience costs these records, not the run.
      if (options.explain(error).code === 'KAFKA_UNREACHABLE') {
        sums.failed += count
        options.onAnswer?.(records, false)
      } else throw error
    } finally {
      inFlight--
    }
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
    const over = () => failure !== undefined || signal?.aborted === true || handedOver >= total || now() >= endMs
    function tick(): void {
      const atMs = now()
      if (over()) {
        if (inFlight === 0 && !stopped) finish()
        return
      }
      let wanted = dueCount(atMs) - handedOver
      while (wanted > 0 && inFlight < requestsMax) {
        const count = Math.min(wanted, partitions * recordsPerPartitionMax)
        wanted -= count
        send(count, atMs).then(answered, (error: unknown) => {
          failure ??= error
          answered()
        })
      }
      heldBack = wanted > 0
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
