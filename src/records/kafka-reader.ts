/**
 * Reads ranges of partitions from Kafka without belonging to any group: no offsets are touched, nothing is left behind, no Group privilege is needed,
 * and the ranges of one feed are read one after the other. (A consumer under a throw-away group name would get all partitions at once in any order,
 * wait for a join, and leave a group to be deleted.) For the proof, replays, and whoever asks how old the first record is.
 *
 * kafkajs has no public way to do so. This reaches into 2.2.4, which is pinned and will see no other release: its cluster finds the leaders and
 * connects as ever, its fetch request and its batch are used as its own consumer uses them. What was aborted is left out by aborted.ts.
 */
import type kafkajs from 'kafkajs'
import type { KafkaConfig, KafkaMessage } from 'kafkajs'
import { assert } from '../core/errors.ts'
import type { RecordRun } from '../core/record.ts'
import { registerCodecs } from '../flow/consume/codecs.ts'
import { decodeFetch, type RunMessage } from '../flow/consume/kafkajs-fetch.ts'
import { needKafkajsInsides, sendSymbol } from '../flow/consume/kafkajs-insides.ts'
import { type AbortedTransaction, committedOnly, type FetchedRecord } from './aborted.ts'
import { createFeed, type Feed } from './feed.ts'

export interface Range {
  readonly partition: number
  readonly from: number
  readonly to: number
}

export interface SourceRecord {
  readonly partition: number
  readonly offset: number
  readonly timestampMs: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: KafkaMessage['headers']
}

type Expired = (partition: number, low: number) => void

export interface KafkaReader {
  /** The records of these ranges, in this order. `expired`: Kafka has meanwhile dropped what lies below `low`. */
  read(ranges: readonly Range[], expired: Expired): Feed<SourceRecord>
  /** The same as the log has them, a run for each record batch. The first and the last may reach beyond the range. */
  runs(range: Range, expired: Expired): Feed<RecordRun>
  close(): Promise<void>
}

interface Broker {
  fetch(request: object): Promise<{ responses: { partitions: Partition[] }[] }>
  [send: symbol]: (call: object) => Promise<{ responses: { partitions: RunsOfPartition[] }[] }>
}
interface RunsOfPartition {
  readonly messages: readonly RunMessage[]
  readonly lastStableOffset: string
}
interface Cluster {
  connect(): Promise<void>
  disconnect(): Promise<void>
  addTargetTopic(topic: string): Promise<void>
  refreshMetadata(): Promise<void>
  findLeaderForPartitions(topic: string, partitions: number[]): Record<string, number[]>
  findBroker(of: { nodeId: string }): Promise<Broker>
  fetchTopicsOffset(topics: object[]): Promise<{ partitions: { partition: number; offset: string }[] }[]>
}
interface Partition {
  readonly abortedTransactions: readonly AbortedTransaction[]
}
interface Batch {
  /** Control records and aborted ones too. */
  readonly messagesWithinOffset: readonly (KafkaMessage & FetchedRecord)[]
  lastOffset(): string
}
interface Fetched<T> {
  readonly items: readonly T[]
  readonly lastOffset: number
}

const fetchBytesDefault = 2 * 1024 * 1024
const fetchWaitMs = 500
const attemptsMax = 6
const readCommitted = 1

/** A fetch is given as long as it may wait, and this: all partitions ask at once. */
const networkMs = 30_000

const quiet = { namespace: () => quiet, setLogLevel() {}, error() {}, warn() {}, info() {}, debug() {} }

/** `fetchBytes`: of one answer, for whoever reads many partitions at a time. */
export async function openKafkaReader(
  kafka: KafkaConfig,
  topic: string,
  signal: AbortSignal,
  fetchBytes = fetchBytesDefault,
): Promise<KafkaReader> {
  registerCodecs()
  const require = needKafkajsInsides('the reader of records')
  const Cluster = require('kafkajs/src/cluster') as new (options: object) => Cluster
  const Batch = require('kafkajs/src/consumer/batch') as new (topic: string, fetched: string, data: object) => Batch
  const encodeFetch = require('kafkajs/src/protocol/requests/fetch/v11/request') as (request: object) => object
  const { parse } = require('kafkajs/src/protocol/requests/fetch/v11/response') as { parse: unknown }
  const found = sendSymbol((require('kafkajs/src/broker') as { prototype: object }).prototype)
  assert(found !== undefined, () => 'kafkajs sends requests in another way')
  const send = found
  const socketFactory = require('kafkajs/src/network/socketFactory') as () => unknown

  const cluster = new Cluster({
    socketFactory: socketFactory(),
    connectionTimeout: 10_000,
    ...kafka,
    logger: quiet,
    metadataMaxAge: 300_000,
    allowAutoTopicCreation: false,
    isolationLevel: readCommitted,
  })
  try {
    await cluster.connect()
    await cluster.addTargetTopic(topic)
  } catch (error) {
    await cluster.disconnect().catch(() => {})
    throw error
  }

  const leaderOf = (partition: number): Promise<Broker> => {
    const leader = Object.keys(cluster.findLeaderForPartitions(topic, [partition]))[0]
    return cluster.findBroker({ nodeId: leader ?? '' })
  }

  const request = (partition: number, offset: number) => ({
    replicaId: -1,
    isolationLevel: readCommitted,
    maxWaitTime: fetchWaitMs,
    minBytes: 1,
    maxBytes: fetchBytes,
    topics: [{ topic, partitions: [{ partition, fetchOffset: String(offset), maxBytes: fetchBytes }] }],
    rackId: '',
  })

  async function fetch(partition: number, offset: number): Promise<Fetched<KafkaMessage>> {
    const { responses } = await (await leaderOf(partition)).fetch(request(partition, offset))
    const answer = responses[0]?.partitions[0]
    assert(answer !== undefined, () => `the broker's answer does not hold ${topic}/${partition}`)
    const batch = new Batch(topic, String(offset), answer)
    return {
      items: committedOnly(batch.messagesWithinOffset, answer.abortedTransactions),
      lastOffset: Number(batch.lastOffset()),
    }
  }

  async function fetchRuns(partition: number, offset: number): Promise<Fetched<RecordRun>> {
    const { responses } = await (await leaderOf(partition))[send]!({
      request: encodeFetch(request(partition, offset)),
      response: { decode: async (payload: Buffer) => decodeFetch(payload), parse },
      requestTimeout: fetchWaitMs + networkMs,
    })
    const answer = responses[0]?.partitions[0]
    assert(answer !== undefined, () => `the broker's answer does not hold ${topic}/${partition}`)
    const { messages, lastStableOffset } = answer
    return {
      items: messages.flatMap(({ run }) => (run === null ? [] : [run])),
      // A broker answers one batch at least, however large: where there is none, there is nothing up to the end.
      lastOffset: Number(messages.at(-1)?.offset ?? Number(lastStableOffset) - 1),
    }
  }

  async function low(partition: number): Promise<number> {
    const found = await cluster.fetchTopicsOffset([{ topic, partitions: [{ partition }], fromBeginning: true }])
    return Number(found[0]?.partitions[0]?.offset)
  }

  /** A leader that has moved or a broker that restarts is no reason to give up at once. */
  async function patiently<T>(work: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      signal.throwIfAborted()
      try {
        return await work()
      } catch (error) {
        const { retriable, type } = error as kafkajs.KafkaJSError & { type?: string }
        if (type === 'OFFSET_OUT_OF_RANGE' || retriable !== true || attempt === attemptsMax) throw error
        await new Promise((resolve) => setTimeout(resolve, 100 * 2 ** attempt))
        await cluster.refreshMetadata().catch(() => {})
      }
    }
  }

  /** Of one answer after the other: what it holds, and the range that was asked for. */
  function walk<T, U>(
    ranges: readonly Range[],
    expired: Expired,
    ask: (partition: number, offset: number) => Promise<Fetched<T>>,
    within: (items: readonly T[], range: Range) => U[],
  ): () => Promise<U[] | null> {
    let index = 0
    let position = ranges[0]?.from ?? 0
    return async () => {
      const range = ranges[index]
      if (range === undefined) return null
      if (position >= range.to) {
        position = ranges[++index]?.from ?? 0
        return []
      }
      const { partition } = range
      let fetched: Fetched<T>
      try {
        fetched = await patiently(() => ask(partition, position))
      } catch (error) {
        if ((error as { type?: string }).type !== 'OFFSET_OUT_OF_RANGE') throw error
        const first = await patiently(() => low(partition))
        // Below the log's start: retention went on. Beyond its end: there is nothing, and that is an answer too.
        if (first > position) expired(partition, first)
        position = first > position ? first : range.to
        return []
      }
      position = Math.max(position, fetched.lastOffset + 1)
      return within(fetched.items, range)
    }
  }

  return {
    read: (ranges, expired) => createFeed(walk(ranges, expired, fetch, recordsWithin)),
    runs: (range, expired) =>
      createFeed(
        walk([range], expired, fetchRuns, (runs, { to }) => runs.filter(({ baseOffset }) => baseOffset < to)),
        // A batch may be larger than what an answer should be.
        (runs) => runs.reduce((sum, { bytes }) => sum + bytes.length, 0) <= 2 * fetchBytes,
      ),
    close: () => cluster.disconnect(),
  }
}

function recordsWithin(messages: readonly KafkaMessage[], { partition, to }: Range): SourceRecord[] {
  const records: SourceRecord[] = []
  for (const { offset, timestamp, key, value, headers } of messages) {
    const at = Number(offset)
    if (at >= to) break
    records.push({ partition, offset: at, timestampMs: Number(timestamp), key, value, headers })
  }
  return records
}
