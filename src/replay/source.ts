/** Where the events of a replay come from. Every source hands them over in the order of their keys, each key once. */
import type { ReplayEvent } from './entry.ts'
import type { KafkaPosition, Position } from './key.ts'

export interface SourceBatch {
  /** May be empty: then only time has passed. */
  readonly events: readonly ReplayEvent[]
  /** How many of them came from Kafka. */
  readonly fromKafka: number
  /** From where Kafka's partitions are to be read to find what comes behind this batch; null where Kafka takes no part. */
  readonly kafka: KafkaPosition | null
  /** 0 to 1, as far as can be told. */
  readonly share: number
}

export interface Estimate {
  readonly events: number
  readonly bytes: number
  /** False: no more than a good guess. */
  readonly exact: boolean
  /** What would come from where. */
  readonly postgres: number
  readonly kafka: number
  /** Of the events' own time, where it is known. */
  readonly firstMs: number | null
  readonly lastMs: number | null
}

export interface ReplaySource {
  estimate(signal: AbortSignal): Promise<Estimate>
  /** What lies behind the position. One reading at a time; one that is left early has to be returned. */
  read(from: Position, signal: AbortSignal): AsyncGenerator<SourceBatch, void, undefined>
  close(): Promise<void>
}
