/**
 * The proof: what Kafka still holds, what PostgreSQL holds and what Redis holds are read and compared record by record, by coordinates, without
 * believing any counter. It holds when nothing is lost, nothing is there twice, every entry stands at its own place, and everything says what its
 * record said.
 *
 * It may run beside a fleet at work: PostgreSQL is read as of one moment, Kafka and the streams up to where the ledger stood at that moment.
 * Nothing is written anywhere. Memory is bounded by chunks, whatever there is to read; a record costs about 25 us of CPU here.
 */
import type { KafkaConfig } from 'kafkajs'
import kafkajs from 'kafkajs'
import type pg from 'pg'
import type { ConsumerDefinition } from '../define.ts'
import { mendKafkajs } from '../flow/consume/kafkajs-mend.ts'
import { streamKey } from '../flow/publish/keys.ts'
import type { RedisClient } from '../process/connect-redis.ts'
import { openKafkaReader } from '../records/kafka-reader.ts'
import { type Claim, claimsOf, compareCounters, compareMarks } from './claims.ts'
import { createFindings, type Problem } from './findings.ts'
import { kafkaMarks, topicEnds } from './kafka-marks.ts'
import * as postgres from './postgres-reader.ts'
import { provePartition } from './prove-partition.ts'
import { openStream, type StreamRead, streamInfo } from './redis-reader.ts'

export interface VerifyOptions {
  /** The consumer's name, and its group where that differs. */
  readonly consumer: string
  readonly group?: string
  readonly definition: Pick<ConsumerDefinition, 'topic' | 'table' | 'route'>
  readonly kafka: KafkaConfig
  /** A connection of its own: a transaction stays open on it. */
  readonly client: pg.Client
  /** null: nothing is published, streams are not looked at. */
  readonly redis: RedisClient | null
  /** Demand that everything Kafka holds now is stored and published; else only what the ledger says is. */
  readonly toEnd?: boolean
  /** How many problems of each kind are told in full. */
  readonly examplesMax?: number
  readonly signal: AbortSignal
  readonly now: () => number
  readonly onProgress?: (progress: Progress) => void
}

export interface Progress {
  readonly checked: number
  readonly total: number
}

export interface VerifyResult {
  readonly holds: boolean
  /** produced = rows + rejects + duplicates + skips + what is lost of records. */
  readonly produced: number
  readonly rows: number
  readonly rejects: number
  readonly duplicates: number
  readonly skips: number
  readonly entries: number
  readonly lost: number
  readonly duplicated: number
  readonly outOfOrder: number
  /** Content, keys, counters or marks that are not as they must be. */
  readonly wrong: number
  readonly problems: readonly Problem[]
  /** Rows not published yet, which the ledger does not claim either. */
  readonly awaited: number
  /** Entries trimmed from the heads of their streams, as settings ask for. */
  readonly trimmed: number
  /** Records that the ledger has not reached; only counted when everything must be stored. */
  readonly behind: number
  /** Rows and rejects whose records Kafka no longer holds. */
  readonly unchecked: number
  readonly partitions: number
  /** Of how many rows every column was compared; keys and coordinates are compared of all. */
  readonly comparedInFull: number
  readonly seconds: number
}

const allInFullMax = 50_000
const inFullWanted = 20_000
const progressEvery = 5000

export async function verify(options: VerifyOptions): Promise<VerifyResult> {
  const { consumer, definition, client, redis, signal, now, toEnd = false } = options
  const { topic, table } = definition
  const target = { consumer, topic, table }
  const startedMs = now()
  const findings = createFindings(options.examplesMax ?? 10)
  mendKafkajs()

  // Before the ledger is read: what Kafka says was settled must be published by then.
  const kafka = new kafkajs.Kafka({ logLevel: kafkajs.logLevel.NOTHING, ...options.kafka })
  const { committed, ends, compacted } = await kafkaMarks(kafka, options.group ?? consumer, topic)
  await using stack = new AsyncDisposableStack()
  const reader = await openKafkaReader(options.kafka, topic, signal)
  stack.defer(() => reader.close())
  await postgres.beginSnapshot(client)
  stack.defer(() => endSnapshot())
  const ledger = await postgres.readLedger(client, target)

  const claims = claimsOf(ledger, ends, committed, toEnd)
  await compareMarks(claims, ends, () => topicEnds(kafka, topic), topic, findings)
  const froms = new Map(claims.map(({ partition, from }) => [partition, from]))
  const total = claims.reduce((sum, { from, to }) => sum + to - from, 0)
  const sampleEvery = total <= allInFullMax ? 1 : Math.ceil(total / inFullWanted)
  const before = await postgres.countBefore(
    client,
    target,
    claims.map(({ partition, from, row }) => ({ partition, from, start: row?.startOffset ?? from })),
  )
  const rows = await postgres.readRows(client, target, claims, sampleEvery)
  const rejects = await postgres.readRejects(client, target, claims)
  const records = reader.read(claims, (partition, low) => froms.set(partition, low))
  const route = redis === null ? null : definition.route
  const families = [...new Set(ledger.flatMap((row) => row.families))]

  let checked = 0
  const onRecord = () => {
    if (++checked % progressEvery > 0) return
    signal.throwIfAborted()
    options.onProgress?.({ checked, total })
  }
  const ahead: { partition: number; key: string; nextOffset: number }[] = []
  const sum = { produced: 0, rows: 0, rejects: 0, duplicates: 0, skips: 0, entries: 0 }
  const rest = { awaited: 0, trimmed: 0, behind: 0, unchecked: 0 }
  /** The next partition's streams, asked for while this one is judged. */
  let opening: Promise<StreamRead[]> | null = null
  for (const [index, claim] of claims.entries()) {
    signal.throwIfAborted()
    await withoutPartition(claim.partition)
    const { partition, from } = claim
    const streams = await (opening ?? openAll(claim))
    const following = claims[index + 1]
    opening = following === undefined ? null : openAll(following)
    opening?.catch(() => {})
    const tally = await provePartition({
      claim: { ...claim, topic, toEnd, compacted },
      sources: { records, rows, rejects, streams },
      from: () => froms.get(partition) ?? from,
      route,
      openStream: (family) => open(claim, family),
      infoOf: (key) => streamInfo(redis!, key),
      findRows: (keys) => postgres.findRows(client, target, keys),
      findings,
      onRecord,
    })
    const unread = before.get(partition) ?? { rows: 0, rejects: 0 }
    compareCounters(claim, tally, unread, topic, findings)
    for (const name of ['produced', 'rows', 'rejects', 'duplicates', 'skips', 'entries'] as const)
      sum[name] += tally[name]
    for (const name of ['awaited', 'trimmed', 'behind', 'unchecked'] as const) rest[name] += tally[name]
    rest.unchecked += unread.rows + unread.rejects
  }
  await withoutPartition(Number.POSITIVE_INFINITY)
  for (const { source, eventId, records: made } of await postgres.findTwice(client, target)) {
    findings.add(
      'duplicated',
      () => `event (${source}, ${eventId}) has rows of ${made.length} records: ${made.join(', ')}`,
      made.length - 1,
    )
  }
  await endSnapshot()
  // The fleet has gone on since the snapshot; a stream that is ahead of the ledger even now holds what was never stored.
  const since = new Map((await postgres.readLedger(client, target)).map((row) => [row.partition, row.nextOffset]))
  for (const { partition, key, nextOffset } of ahead) {
    const stored = since.get(partition) ?? 0
    if (nextOffset <= stored) continue
    findings.add(
      'duplicated',
      () => `${key} ends at ${nextOffset}-0, but the ledger of partition ${partition} at ${stored}`,
    )
  }
  options.onProgress?.({ checked, total })

  const { lost, duplicated, outOfOrder, wrong } = findings.counts
  return {
    holds: lost + duplicated + outOfOrder + wrong === 0,
    ...sum,
    lost,
    duplicated,
    outOfOrder,
    wrong,
    problems: findings.problems,
    ...rest,
    partitions: claims.length,
    comparedInFull: sampleEvery === 1 ? sum.rows : Math.floor(sum.rows / sampleEvery),
    seconds: (now() - startedMs) / 1000,
  }

  async function open({ partition, from, to }: Claim, family: string): Promise<StreamRead> {
    const stream = await openStream(redis!, streamKey(family, partition), family, from, to)
    const { nextOffset } = stream.info
    if (nextOffset > to) ahead.push({ partition, key: stream.key, nextOffset })
    return stream
  }

  function openAll(claim: Claim): Promise<StreamRead[]> {
    return route ? Promise.all(families.map((family) => open(claim, family))) : Promise.resolve([])
  }

  async function endSnapshot(): Promise<void> {
    await client.query('ROLLBACK').catch(() => {})
  }

  /** Rows and rejects of partitions that neither Kafka nor the ledger knows. */
  async function withoutPartition(before: number): Promise<void> {
    for (const [what, feed] of [
      ['row', rows],
      ['reject', rejects],
    ] as const) {
      for (;;) {
        if (feed.empty) await feed.ready()
        const head = feed.head()
        if (head === undefined || head.partition >= before) break
        findings.add(
          'wrong',
          () => `${what} ${topic}/${head.partition}/${head.offset}: the ledger has no such partition`,
        )
        feed.take()
      }
    }
  }
}
