/** The merging of partitions, and going on from any place, on a log in memory. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { type RecordRun, runOf } from '../../src/core/record.ts'
import { cloudEvent } from '../../src/decoders/cloud-event.ts'
import { createFeed } from '../../src/records/feed.ts'
import type { KafkaReader, SourceRecord } from '../../src/records/kafka-reader.ts'
import type { ReplayEvent } from '../../src/replay/entry.ts'
import { openKafkaSource } from '../../src/replay/kafka-source.ts'
import { compareKeys, type Position, start } from '../../src/replay/key.ts'
import { describe } from './world.ts'

const begin = 1_763_700_000_000
const dayMs = 86_400_000

interface Sent {
  readonly partition: number
  /** Against the one before in the partition. */
  readonly gapMs: number
  readonly id: number
  readonly kind: 'event' | 'bad' | 'other'
}

function logOf(sent: readonly Sent[]): Map<number, SourceRecord[]> {
  const log = new Map<number, SourceRecord[]>([0, 1, 2].map((partition) => [partition, []]))
  const times = [begin, begin, begin]
  for (const { partition, gapMs, id, kind } of sent) {
    const ms = Math.max(begin, (times[partition] as number) + gapMs)
    times[partition] = ms
    const records = log.get(partition) as SourceRecord[]
    const event = {
      specversion: '1.0',
      id: String(id),
      source: '/s',
      type: kind,
      time: new Date(begin + id).toISOString(),
    }
    const time = new Date(ms).toISOString()
    // The same id is the same event, time included.
    const json = JSON.stringify(
      kind === 'event' && id < 50 ? event : { ...event, id: `${partition}/${records.length}`, time },
    )
    records.push({
      partition,
      // Compaction and control records leave gaps.
      offset: records.length * 2,
      timestampMs: ms,
      key: null,
      value: Buffer.from(kind === 'bad' ? '{' : json),
      headers: { 'content-type': Buffer.from('application/cloudevents+json') },
    })
  }
  return log
}

/** A batch is what it is from wherever it is read: the first may begin before the range, the last end behind it. */
function readerOf(log: ReadonlyMap<number, SourceRecord[]>, chunk: number): Pick<KafkaReader, 'runs' | 'close'> {
  return {
    runs({ partition, from, to }) {
      const all = log.get(partition) ?? []
      const left: RecordRun[] = []
      for (let at = 0; at < all.length; at += chunk) {
        const records = all.slice(at, at + chunk)
        const run = runOf(
          records.map(({ offset, timestampMs, key, value, headers }) => ({
            offset: String(offset),
            timestamp: String(timestampMs),
            key,
            value,
            headers,
          })),
        )
        if (run.lastOffset >= from && run.baseOffset < to) left.push(run)
      }
      return createFeed(async () => {
        await turn()
        return left.length === 0 ? null : left.splice(0, 2)
      })
    },
    close: async () => {},
  }
}

function sourceOf(log: ReadonlyMap<number, SourceRecord[]>, chunk: number, once: boolean) {
  return openKafkaSource({
    openReader: async () => readerOf(log, chunk),
    decoder: cloudEvent,
    description: describe({ source: 'kafka', select: { ...describe().select, types: ['event'] } }),
    ranges: [...log]
      .filter(([, all]) => all.length > 0)
      .map(([partition, all]) => ({ partition, from: 0, to: 2 * all.length })),
    pastMs: dayMs,
    futureMs: dayMs,
    judges: [],
    once,
  })
}

async function all(source: ReturnType<typeof sourceOf>, from: Position): Promise<ReplayEvent[]> {
  const got: ReplayEvent[] = []
  for await (const { events } of source.read(from, AbortSignal.timeout(20_000))) got.push(...events)
  return got
}

const sent: fc.Arbitrary<Sent[]> = fc.array(
  fc.record({
    partition: fc.nat(2),
    gapMs: fc.integer({ min: -500, max: 2000 }),
    id: fc.nat(60),
    kind: fc.constantFrom('event', 'event', 'event', 'bad', 'other'),
  }),
  { maxLength: 150 },
)
const place = ({ partition, offset }: ReplayEvent) => `${partition}/${offset}`

test('every event that is wanted, once, in the order of keys, each partition as its log has it', async () => {
  await fc.assert(
    fc.asyncProperty(sent, fc.integer({ min: 1, max: 40 }), async (records, chunk) => {
      const log = logOf(records)
      const got = await all(sourceOf(log, chunk, false), start)
      const wanted = [...log.values()].flat().filter(({ value }) => String(value).includes('"type":"event"'))
      assert.deepEqual(got.map(place).sort(), wanted.map(({ partition, offset }) => `${partition}/${offset}`).sort())
      for (const [at, event] of got.entries()) {
        const before = got[at - 1]
        if (before !== undefined) assert(compareKeys(before, event) < 0)
        const { replayid, id } = JSON.parse(event.entry.toString())
        assert(replayid === 'r-1' && id !== undefined)
      }
      for (const partition of [0, 1, 2]) {
        const offsets = got.filter((event) => event.partition === partition).map(({ offset }) => offset)
        assert.deepEqual(
          offsets,
          offsets.toSorted((a, b) => a - b),
        )
      }
    }),
    { numRuns: 60 },
  )
})

test('gone on with behind any batch, from what it says of Kafka, the rest comes as it would have', async () => {
  const long = fc.array(fc.tuple(fc.nat(2), fc.integer({ min: -500, max: 400 })), { minLength: 2200, maxLength: 2600 })
  await fc.assert(
    fc.asyncProperty(long, fc.integer({ min: 1, max: 700 }), async (steps, chunk) => {
      const log = logOf(steps.map(([partition, gapMs]) => ({ partition, gapMs, id: 60, kind: 'event' })))
      const source = sourceOf(log, chunk, false)
      const whole = (await all(source, start)).map(place)
      let before = 0
      let kafka: Position['kafka'] = null
      for await (const batch of source.read(start, AbortSignal.timeout(20_000))) {
        // In the middle of the batch: what it rests on is the one before. At its end: its own.
        for (const [taken, from] of [
          [Math.ceil(batch.events.length / 2), kafka],
          [batch.events.length, batch.kafka],
        ] as const) {
          const { micros, partition, offset } = batch.events[taken - 1] as ReplayEvent
          const rest = await all(source, { after: { micros, partition, offset }, kafka: from })
          assert.deepEqual(rest.map(place), whole.slice(before + taken))
        }
        before += batch.events.length
        kafka = batch.kafka
      }
      assert.equal(before, whole.length)
    }),
    { numRuns: 5 },
  )
})

test('where hardly any record is wanted, what there is is handed on in time, and each place is as good to go on from', async () => {
  const sparse = fc.array(fc.tuple(fc.nat(2), fc.integer({ min: -500, max: 400 }), fc.nat(60)), {
    minLength: 200,
    maxLength: 400,
  })
  let most = 0
  await fc.assert(
    fc.asyncProperty(sparse, fc.integer({ min: 1, max: 3 }), async (steps, chunk) => {
      const log = logOf(
        steps.map(([partition, gapMs, n]) => ({ partition, gapMs, id: 60, kind: n === 0 ? 'event' : 'other' })),
      )
      const source = sourceOf(log, chunk, false)
      const whole = (await all(source, start)).map(place)
      let before = 0
      let batches = 0
      let share = 0
      let after: Position['after'] = null
      for await (const { events, kafka, share: now } of source.read(start, AbortSignal.timeout(20_000))) {
        const last = events.at(-1)
        if (last !== undefined) after = { micros: last.micros, partition: last.partition, offset: last.offset }
        before += events.length
        batches++
        assert(now >= share)
        share = now
        assert.deepEqual((await all(source, { after, kafka })).map(place), whole.slice(before))
      }
      assert.equal(before, whole.length)
      most = Math.max(most, batches)
      const { events, exact } = await source.estimate(AbortSignal.timeout(20_000))
      assert.deepEqual([events, exact], [whole.length, true])
    }),
    { numRuns: 20 },
  )
  assert(most > 5, `${most} batches at most`)
})

test('once: of the copies of an event the first in the order of keys, from any place on', async () => {
  await fc.assert(
    fc.asyncProperty(sent, fc.integer({ min: 1, max: 40 }), fc.nat(), async (records, chunk, at) => {
      const source = sourceOf(logOf(records), chunk, true)
      const whole = await all(source, start)
      const ids = whole.map(({ entry }) => JSON.parse(entry.toString()).id as string)
      assert.equal(new Set(ids).size, ids.length)
      if (whole.length === 0) return
      const index = at % whole.length
      const { micros, partition, offset } = whole[index] as ReplayEvent
      const rest = await all(source, { after: { micros, partition, offset }, kafka: null })
      assert.deepEqual(rest.map(place), whole.slice(index + 1).map(place))
    }),
    { numRuns: 60 },
  )
})
