/** What the simulated producers send: events, producer's duplicates, bad records, records that are not ours, offsets that hold nothing. */
import { skip } from '../../src/core/verdict.ts'
import { cloudEvent } from '../../src/decoders/cloud-event.ts'
import { defineConsumer } from '../../src/define.ts'
import type { MemoryKafka, MemoryRecord } from '../../src/flow/consume/memory.ts'
import type { CopiedRow } from '../../src/flow/persist/read-copy.ts'
import type { Random } from '../../src/simulate/random.ts'
import { dayMs, eventText, nowMs } from '../flow/batches.ts'

/** A record with a header `not-ours` is skipped; events of type com.x.NAME go to events:NAME. */
export const definition = defineConsumer({
  topic: 'cloud-events',
  table: 'cloud_events',
  decoder: {
    name: 'sim',
    decode: (record, event) => (record.header('not-ours') ? skip : cloudEvent.decode(record, event)),
  },
  route: ({ type }) => `events:${type.split('.')[2]}`,
  metrics: [{ name: 'sim_total', help: 'Events stored.' }],
})

export interface Produced {
  readonly partition: number
  readonly offset: number
  readonly kind: 'event' | 'bad' | 'late' | 'skip' | 'refused'
  /** Of an event. */
  readonly id: string
  readonly family: string
  readonly text: string
}

/** A constraint that the table has and no decoder knows of. */
export const refuses = ({ eventId }: CopiedRow) => (eventId.startsWith('refused') ? 'violates a check (23514)' : null)

export interface Load {
  /** By `partition/offset`. */
  readonly produced: Map<string, Produced>
  /** By event id: how many records hold it. */
  readonly copies: Map<string, number>
  produce(partition: number, what: { readonly bad?: boolean }): void
}

export function createLoad(kafka: MemoryKafka, random: Random): Load {
  const produced = new Map<string, Produced>()
  const copies = new Map<string, number>()
  const texts: { id: string; family: string; text: string }[] = []
  // Some families are rare: the next event of them may be long in coming.
  const families = ['cloud', 'cloud', 'cloud', 'order', 'order', 'rare']
  const duplicatesOf1000 = random.below(3) === 0 ? 200 : 20
  const refusedOf1000 = random.below(4) === 0 ? 15 : 0

  function record(bad: boolean): Omit<Produced, 'partition' | 'offset'> | null {
    const draw = random.below(1000)
    if (draw < 10) return null
    if (draw < 30) return { kind: 'skip', id: '', family: '', text: 'skip' }
    if (bad || draw < 50) return { kind: 'bad', id: '', family: '', text: '{"specversion":' }
    if (draw < 60) {
      const text = eventText({ id: `late${produced.size}`, timeMs: nowMs - 90 * dayMs })
      return { kind: 'late', id: '', family: '', text }
    }
    if (draw < 60 + duplicatesOf1000 && texts.length > 0) {
      const again = texts[random.below(texts.length)] as (typeof texts)[0]
      return { kind: 'event', ...again }
    }
    const isRefused = draw >= 1000 - refusedOf1000
    const id = `${isRefused ? 'refused' : 'e'}${produced.size}`
    const name = families[random.below(families.length)]
    const data = random.below(20) === 0 ? 'x'.repeat(random.below(2000)) : random.below(1000)
    const made = { id, family: `events:${name}`, text: eventText({ id, type: `com.x.${name}`, data }) }
    if (isRefused) return { kind: 'refused', ...made }
    texts.push(made)
    return { kind: 'event', ...made }
  }

  return {
    produced,
    copies,
    produce(partition, { bad = false }) {
      const first = kafka.watermarks(partition).high
      const records: (MemoryRecord | null)[] = []
      for (let left = 1 + random.skewed(14); left > 0; left--) {
        const one = record(bad)
        const offset = first + records.length
        if (one === null) records.push(null)
        else {
          produced.set(`${partition}/${offset}`, { partition, offset, ...one })
          if (one.kind === 'event') copies.set(one.id, (copies.get(one.id) ?? 0) + 1)
          const headers = one.kind === 'skip' ? { 'not-ours': 'x' } : {}
          records.push({ key: null, value: Buffer.from(one.text), headers, timestampMs: nowMs })
        }
      }
      kafka.produce(partition, records)
      // A transaction ends with a record that nobody is given.
      if (random.below(10) === 0) kafka.skip(partition, 1 + random.below(3))
    },
  }
}
