import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { openAutoSource } from '../../src/replay/auto-source.ts'
import type { ReplayEvent } from '../../src/replay/entry.ts'
import { compareKeys, type Key } from '../../src/replay/key.ts'
import type { ReplaySource } from '../../src/replay/source.ts'

/** In batches of these sizes. */
function sourceOf(events: readonly ReplayEvent[], sizes: readonly number[], isKafka: boolean): ReplaySource {
  return {
    async *read({ after }) {
      const left = events.filter((event) => after === null || compareKeys(event, after) > 0)
      for (let at = 0, turn = 0; at < left.length; turn++) {
        const batch = left.slice(at, at + (sizes[turn % sizes.length] as number))
        at += batch.length
        yield { events: batch, fromKafka: isKafka ? batch.length : 0, kafka: null, share: at / left.length }
      }
    },
    async estimate() {
      const ends = [events[0], events.at(-1)].map((one) => (one === undefined ? null : one.micros))
      const count = events.length
      const from = { postgres: isKafka ? 0 : count, kafka: isKafka ? count : 0 }
      return {
        events: count,
        bytes: 10 * count,
        exact: true,
        ...from,
        firstMs: ends[0] ?? null,
        lastMs: ends[1] ?? null,
      }
    },
    close: async () => {},
  }
}

const sizes = fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 5 })
const keys = fc.uniqueArray(
  fc.record({ micros: fc.nat(30), partition: fc.nat(2), offset: fc.nat(20), inKafka: fc.boolean() }),
  { selector: ({ micros, partition, offset }) => `${micros}/${partition}/${offset}`, maxLength: 80 },
)

test('both sides in the order of their keys, all of them, from any place on', async () => {
  await fc.assert(
    fc.asyncProperty(keys, sizes, sizes, fc.nat(), async (all, rowSizes, recordSizes, place) => {
      const sorted = all.toSorted(compareKeys).map((one) => ({ ...one, entry: Buffer.from('{}') }))
      const rows = sourceOf(
        sorted.filter(({ inKafka }) => !inKafka),
        rowSizes,
        false,
      )
      const records = sourceOf(
        sorted.filter(({ inKafka }) => inKafka),
        recordSizes,
        true,
      )
      const source = openAutoSource(rows, records)
      const index = sorted.length === 0 ? -1 : (place % (sorted.length + 1)) - 1
      const after: Key | null = sorted[index] ?? null
      const got: ReplayEvent[] = []
      let fromKafka = 0
      for await (const batch of source.read({ after, kafka: null }, AbortSignal.timeout(10_000))) {
        got.push(...batch.events)
        fromKafka += batch.fromKafka
      }
      const expected = sorted.slice(index + 1)
      assert.deepEqual(got, expected)
      assert.equal(fromKafka, expected.filter(({ inKafka }) => inKafka).length)
      const estimate = await source.estimate(AbortSignal.timeout(10_000))
      assert.deepEqual(
        [estimate.events, estimate.firstMs, estimate.lastMs],
        [sorted.length, sorted[0]?.micros ?? null, sorted.at(-1)?.micros ?? null],
      )
    }),
  )
})

test('how far it is goes by the sides that have something', async () => {
  const events = Array.from({ length: 4000 }, (_, offset) => ({
    micros: offset,
    partition: 0,
    offset,
    entry: Buffer.from('{}'),
  }))
  const [some, none] = [sourceOf(events, [500], false), sourceOf([], [1], true)]
  for (const source of [openAutoSource(some, none), openAutoSource(none, some)]) {
    const shares: number[] = []
    for await (const { share } of source.read({ after: null, kafka: null }, AbortSignal.timeout(10_000)))
      shares.push(share)
    assert((shares[0] as number) < 0.4, `it begins at ${shares[0]}`)
    assert.deepEqual([shares, shares.at(-1)], [shares.toSorted((a, b) => a - b), 1])
  }
})

test('a side that fails ends the other one as well', async () => {
  let closed = false
  const endless: ReplaySource = {
    async *read() {
      try {
        for (let offset = 0; ; offset++)
          yield {
            events: [{ micros: offset, partition: 0, offset, entry: Buffer.from('{}') }],
            fromKafka: 0,
            kafka: null,
            share: 0,
          }
      } finally {
        closed = true
      }
    },
    estimate: () => Promise.reject(new Error('not asked for')),
    close: async () => {},
  }
  const failing: ReplaySource = {
    // biome-ignore lint/correctness/useYield: it fails before
    async *read() {
      throw new Error('away')
    },
    estimate: () => Promise.reject(new Error('not asked for')),
    close: async () => {},
  }
  const reading = openAutoSource(endless, failing).read({ after: null, kafka: null }, AbortSignal.timeout(10_000))
  await assert.rejects(reading.next(), /away/)
  assert(closed)
})
