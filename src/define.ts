/** All that a consumer file imports besides decoders: what to read, how to read it, where it goes. And all that a reducer file imports. */
import { type BusinessMetric, checkBusiness } from './core/business.ts'
import type { EventView, RoutedEvent } from './core/event.ts'
import type { Json } from './core/json.ts'
import type { RecordView } from './core/record.ts'
import type { Verdict } from './core/verdict.ts'

export type { Json } from './core/json.ts'

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

/** An event as a reducer sees it: what its producer said, and nothing of when or where it was stored. */
export interface ReducedEvent {
  /** The key of its row. */
  readonly key: string
  readonly source: string
  readonly id: string
  readonly type: string
  readonly subject: string
  /** 2026-11-21T09:30:00.000000Z: always UTC and microseconds, so that times can be compared as texts. */
  readonly time: string
  readonly tenant: string | null
  /** Null: there is none, or it is no JSON. Numbers are JavaScript's. */
  readonly data: Json
  /** Data that is no JSON. */
  readonly dataBase64: string | null
  readonly extensions: Readonly<Record<string, Json>>
}

/** Folds the events of one subject into what it is: pure, plain JSON in and out. Before its first event a subject is null. */
export interface ReducerDefinition<State extends Json = Json> {
  /** How subjects of this kind begin: `ord_`. */
  readonly subjects: readonly string[]
  /** `state` is frozen: answer a new one, or the same for events that change nothing. */
  readonly reduce: (state: State | null, event: ReducedEvent) => State | null
}

export function defineReducer<State extends Json>(definition: ReducerDefinition<State>): ReducerDefinition {
  if (definition.subjects.length === 0 || definition.subjects.includes('')) {
    throw new TypeError("subjects: say how they begin, as in ['ord_']")
  }
  return Object.freeze({ ...definition }) as unknown as ReducerDefinition
}

/** The members of a JSON object; none where it is anything else. */
export const fieldsOf = (data: Json): Readonly<Record<string, Json>> =>
  data !== null && typeof data === 'object' && !Array.isArray(data) ? (data as Readonly<Record<string, Json>>) : {}
