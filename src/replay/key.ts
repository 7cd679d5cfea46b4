/**
 * Where an event stands in a replay: by its time, within a microsecond by its Kafka partition and offset. A total order, the same from every source and
 * in every run, and 128 bits long as the id of a stream's entry is: so the entries of a replay are named by it, and a stream's last id tells how far
 * the replay got.
 */
import { assert } from '../core/errors.ts'

export interface Key {
  /** Of the event's time since 1970. Of records read from Kafka: no less than that of the one before in the partition, for a log goes forward. */
  readonly micros: number
  readonly partition: number
  readonly offset: number
}

export function compareKeys(a: Key, b: Key): number {
  return a.micros - b.micros || a.partition - b.partition || a.offset - b.offset
}

/** Before every event of this time. */
export const keyBefore = (micros: number): Key => ({ micros: micros - 1, partition: partitionMax, offset: offsetMax })

const offsetBits = 42n
const offsetMax = 2 ** 42 - 1
const partitionMax = 2 ** 22 - 1

export function streamId({ micros, partition, offset }: Key): string {
  assert(
    micros >= 0 && partition <= partitionMax && offset <= offsetMax,
    () => `${micros}/${partition}/${offset} is no id`,
  )
  // BigInt is slow, and hardly any log has more than 2^53 / 2^22 records before it.
  if (partition === 0) return `${micros}-${offset}`
  return `${micros}-${(BigInt(partition) << offsetBits) | BigInt(offset)}`
}

export function keyOfStreamId(id: string): Key {
  const [micros = '0', rest = '0'] = id.split('-')
  const low = BigInt(rest)
  return {
    micros: Number(micros),
    partition: Number(low >> offsetBits),
    offset: Number(low & ((1n << offsetBits) - 1n)),
  }
}

/** How far a replay is: enough to go on from, and plain JSON. */
export interface Position {
  /** The last event that the target has. */
  readonly after: Key | null
  /** Where Kafka's partitions are to be read from, to find what comes behind `after`; null: from where the replay began. */
  readonly kafka: KafkaPosition | null
}

/** By partition: the next offset, and the time that its records at least have. */
export type KafkaPosition = Readonly<Record<string, readonly [nextOffset: number, micros: number]>>

export const start: Position = { after: null, kafka: null }
