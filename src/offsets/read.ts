/** What ledger, Kafka and streams say of a consumer's partitions, for `millrace offsets`. Changes nothing. */
import type kafkajs from 'kafkajs'
import type { Kafka } from 'kafkajs'
import type { LedgerRow, Stopped, Watermarks } from '../core/ledger.ts'
import { openTopicIds } from '../flow/consume/kafkajs-topic-id.ts'
import { openKafkaReader } from '../records/kafka-reader.ts'
import type { Session } from '../schema/sql.ts'
import type { FullRow, Range } from './plan.ts'

export interface Target {
  readonly consumer: string
  readonly topic: string
  readonly table: string
}

export interface LedgerState extends FullRow {
  readonly stored: number
  readonly rejected: number
  readonly duplicated: number
  readonly skipped: number
}

/** `lock`: nobody else moves these rows until the transaction ends. */
export async function readLedger(session: Session, { consumer, topic }: Target, lock = false): Promise<LedgerState[]> {
  const { rows } = await session.query(
    `SELECT partition, start_offset::text, next_offset::text, published_offset::text, streams, stopped, topic_id, repeated_below::text,
       stored::text, rejected::text, duplicated::text, skipped::text,
       ARRAY (SELECT ARRAY [lower(one), upper(one)]::text[] FROM unnest(passed_over) AS one) AS passed
     FROM ledger WHERE consumer = $1 AND topic = $2 ORDER BY partition ${lock ? 'FOR UPDATE' : ''}`,
    [consumer, topic],
  )
  const number = (text: string | null) => (text === null ? null : Number(text))
  return rows.map((row) => ({
    partition: row.partition,
    startOffset: Number(row.start_offset),
    nextOffset: Number(row.next_offset),
    publishedOffset: number(row.published_offset),
    streams: new Map(Object.entries(row.streams as Record<string, number>)),
    stopped: row.stopped as Stopped | null,
    topicId: row.topic_id,
    repeatedBelow: number(row.repeated_below),
    passedOver: (row.passed as [string, string][]).map(([from, to]): Range => [Number(from), Number(to)]),
    stored: Number(row.stored),
    rejected: Number(row.rejected),
    duplicated: Number(row.duplicated),
    skipped: Number(row.skipped),
  }))
}

export interface KafkaState {
  readonly marks: ReadonlyMap<number, Watermarks>
  readonly settled: ReadonlyMap<number, number>
  /** How many members the group has now. */
  readonly members: number
  /** The first offset at or after a time, by partition. */
  at(timeMs: number): Promise<ReadonlyMap<number, number>>
}

export async function withKafka<T>(
  kafka: Kafka,
  topic: string,
  group: string,
  use: (state: KafkaState) => Promise<T>,
): Promise<T> {
  const admin = kafka.admin()
  const ids = openTopicIds(kafka)
  try {
    await admin.connect()
    const topicId = await ids.ask(topic)
    const offsets = await admin.fetchTopicOffsets(topic)
    const [committed] = await admin.fetchOffsets({ groupId: group, topics: [topic] })
    const { groups } = await admin.describeGroups([group])
    return await use({
      marks: new Map(
        offsets.map(({ partition, low, high }) => [partition, { low: Number(low), high: Number(high), topicId }]),
      ),
      settled: new Map(
        (committed?.partitions ?? []).flatMap(({ partition, offset }) =>
          Number(offset) < 0 ? [] : [[partition, Number(offset)] as const],
        ),
      ),
      members: groups[0]?.members.length ?? 0,
      // To Kafka a time below zero is not one: -1 is the end, -2 the beginning.
      at: async (timeMs) =>
        new Map(
          (await admin.fetchTopicOffsetsByTimestamp(topic, Math.max(0, timeMs))).map(({ partition, offset }) => [
            partition,
            Number(offset),
          ]),
        ),
    })
  } finally {
    await ids.close()
    await admin.disconnect().catch(() => {})
  }
}

/** When the oldest record that is not stored was produced, of partitions that lag. */
export async function oldestWaiting(
  kafka: kafkajs.KafkaConfig,
  topic: string,
  lagging: readonly { partition: number; from: number; to: number }[],
  signal: AbortSignal,
): Promise<ReadonlyMap<number, number>> {
  const found = new Map<number, number>()
  if (lagging.length === 0) return found
  const reader = await openKafkaReader(kafka, topic, signal)
  try {
    for (const range of lagging) {
      const feed = reader.read([range], () => {})
      if (feed.empty) await feed.ready()
      const record = feed.head()
      if (record !== undefined) found.set(range.partition, record.timestampMs)
    }
  } finally {
    await reader.close()
  }
  return found
}

export type State = 'ok' | 'behind retention' | 'ahead of the end' | 'another topic' | 'stopped'

export function stateOf(row: LedgerRow, { low, high, topicId }: Watermarks): State {
  if (row.stopped) return 'stopped'
  if (row.nextOffset > row.startOffset && row.topicId && topicId && row.topicId !== topicId) return 'another topic'
  if (row.nextOffset > high) return 'ahead of the end'
  return row.nextOffset < low ? 'behind retention' : 'ok'
}
