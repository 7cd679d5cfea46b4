/**
 * What things are called in traces: the one place that knows OpenTelemetry's semantic conventions. Those of messaging are still in development
 * and have been renamed more than once; these are the names of the version below. What they have no name for is `millrace.*`.
 *
 * A span is named after its room and what it is about, so that a trace lists them as the stream runs.
 */
import type { Room } from './marks.ts'

export const conventions = 'https://opentelemetry.io/schemas/1.45.0'

export type TracedRoom = Exclude<Room, 'settle'>

/** As OTLP numbers them. */
export const kinds = { internal: 1, client: 3, producer: 4, consumer: 5 } as const
export type SpanKind = (typeof kinds)[keyof typeof kinds]

export const roomKinds: Readonly<Record<TracedRoom, SpanKind>> = {
  consume: kinds.client,
  decode: kinds.internal,
  persist: kinds.client,
  publish: kinds.producer,
}

export const names = {
  // The resource.
  service: 'service.name',
  version: 'service.version',
  instance: 'service.instance.id',
  // Messaging.
  system: 'messaging.system.name',
  destination: 'messaging.destination.name',
  partition: 'messaging.destination.partition.id',
  group: 'messaging.consumer.group.name',
  operation: 'messaging.operation.name',
  operationType: 'messaging.operation.type',
  batchSize: 'messaging.batch.message_count',
  offset: 'kafka.offset',
  // Databases.
  dbSystem: 'db.system.name',
  dbOperation: 'db.operation.name',
  dbCollection: 'db.collection.name',
  dbBatchSize: 'db.operation.batch.size',
  // Anything.
  error: 'error.type',
  // Ours.
  lane: 'millrace.lane',
  partitions: 'millrace.partitions',
  rows: 'millrace.rows',
  rejects: 'millrace.rejects',
  again: 'millrace.again',
  row: 'millrace.row.id',
  outcome: 'millrace.outcome',
  attempt: 'millrace.attempt',
} as const

/** What became of a followed event. */
export type Outcome = 'published' | 'stored' | 'duplicate' | 'rejected' | 'skipped' | 'lost'

/** Points in time within a span. */
export const moments = { decode: 'decoded', persist: 'stored', publish: 'published', retry: 'trying again' } as const

export const batchSpan = (topic: string): string => `batch ${topic}`
export const eventSpan = (topic: string): string => `process ${topic}`
export const roomSpan = (room: TracedRoom, { topic, table }: { topic: string; table: string }): string =>
  `${room} ${room === 'persist' ? table : topic}`
