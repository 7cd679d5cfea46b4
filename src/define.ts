/** All that a consumer file imports besides decoders: what to read, how to read it, where it goes. */
import { type BusinessMetric, checkBusiness } from './core/business.ts'
import type { EventView, RoutedEvent } from './core/event.ts'
import type { RecordView } from './core/record.ts'
import type { Verdict } from './core/verdict.ts'

/** Bytes in, verdict out; a good event is left in `event`. Pure: no clock, no I/O, no state beyond its own scratch space. */
export interface Decoder {
  /** Written to `rejects.decoder`: say a new version when verdicts change. */
  readonly name: string
  decode(record: RecordView, event: EventView): Verdict
}

export interface ConsumerDefinition {
  readonly topic: string
  /** The daily-partitioned table that the rows go to. */
  readonly table: string
  readonly decoder: Decoder
  /** The stream family of an event: the key is `<family>:{<partition>}`. Left out: nothing is published. */
  readonly route?: (event: RoutedEvent) => string
  /** All that `route` may answer: start and doctor then try the Redis user's rights on each, and the memory they may take is told. */
  readonly families?: readonly string[]
  /** What is counted of the events that became rows, under names of the consumer's own: core/business.ts. */
  readonly metrics?: readonly BusinessMetric[]
}

const name = /^[a-z_][a-z0-9_]{0,40}$/

export function defineConsumer(definition: ConsumerDefinition): ConsumerDefinition {
  if (!name.test(definition.table)) {
    throw new TypeError(`table '${definition.table}': use lower-case letters, digits and _, at most 41 of them`)
  }
  if (definition.topic === '') throw new TypeError('topic is empty')
  checkBusiness(definition.metrics ?? [])
  return Object.freeze({ ...definition })
}
