import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { FatalError } from '../../src/core/errors.ts'
import { type LedgerRow, type StartPolicy, startOf, type Watermarks } from '../../src/core/ledger.ts'

const refill: StartPolicy = { topic: 't', publishes: true, streamLost: 'refill' }
const stop: StartPolicy = { ...refill, streamLost: 'stop' }
const storesOnly: StartPolicy = { ...refill, publishes: false }
const streams = (of: Record<string, number>) => new Map(Object.entries(of))
const row = (changes: Partial<LedgerRow> = {}): LedgerRow => ({
  partition: 3,
  startOffset: 0,
  nextOffset: 100,
  publishedOffset: 100,
  streams: streams({ 'events:cloud': 100 }),
  ...changes,
})
const kafka = (low: number, high: number): Watermarks => ({ low, high })

interface Case {
  readonly name: string
  readonly row: LedgerRow
  readonly watermarks?: Watermarks
  readonly found?: Record<string, number>
  readonly policy?: StartPolicy
  readonly from: number
  readonly persisted: number
  readonly lost?: string[]
  readonly held?: Record<string, number>
}

const all: Case[] = [
  {
    name: 'a partition never seen starts where its row says',
    row: row({ startOffset: 40, nextOffset: 40, publishedOffset: null, streams: new Map() }),
    from: 40,
    persisted: 40,
  },
  {
    name: 'everything stored and published: go on',
    row: row(),
    found: { 'events:cloud': 100 },
    from: 100,
    persisted: 100,
    held: { 'events:cloud': 100 },
  },
  {
    name: 'stored, and killed before the first publish: all of it comes by again',
    row: row({ publishedOffset: null, streams: new Map() }),
    from: 0,
    persisted: 100,
  },
  {
    name: 'published a batch behind: from there',
    row: row({ publishedOffset: 60, streams: streams({ 'events:cloud': 58 }) }),
    found: { 'events:cloud': 100 },
    from: 60,
    persisted: 100,
    held: { 'events:cloud': 100 },
  },
  {
    name: 'the stream is ahead of what the ledger has heard: no loss, the repeat adds nothing',
    row: row({ publishedOffset: 60, streams: streams({ 'events:cloud': 60 }) }),
    found: { 'events:cloud': 90 },
    from: 60,
    persisted: 100,
    held: { 'events:cloud': 90 },
  },
  {
    name: 'the stream lost its tail: from what it holds',
    row: row(),
    found: { 'events:cloud': 70 },
    from: 70,
    persisted: 100,
    lost: ['events:cloud 70 of 100'],
    held: { 'events:cloud': 70 },
  },
  {
    name: 'the stream is gone: from the beginning, never "start at zero and carry on"',
    row: row(),
    found: {},
    from: 0,
    persisted: 100,
    lost: ['events:cloud 0 of 100'],
    held: { 'events:cloud': 0 },
  },
  {
    name: 'the stream is gone and Kafka has forgotten its beginning: from what Kafka has',
    row: row(),
    watermarks: kafka(30, 500),
    found: {},
    from: 30,
    persisted: 100,
    lost: ['events:cloud 0 of 100'],
    held: { 'events:cloud': 0 },
  },
  {
    name: 'the stream is gone and the ledger began late: nothing before that was ever published',
    row: row({ startOffset: 90 }),
    found: {},
    from: 90,
    persisted: 100,
    lost: ['events:cloud 0 of 100'],
    held: { 'events:cloud': 0 },
  },
  {
    name: 'one of several streams lost: the lowest counts, the others skip what they have',
    row: row({ streams: streams({ a: 100, b: 97, c: 55 }) }),
    found: { a: 100, b: 20, c: 55 },
    from: 20,
    persisted: 100,
    lost: ['b 20 of 97'],
    held: { a: 100, b: 20, c: 55 },
  },
  {
    name: 'a stream that never had an entry is not lost',
    row: row({ streams: new Map() }),
    from: 100,
    persisted: 100,
  },
  {
    name: 'lost and told to stop, but nothing is lost',
    row: row(),
    found: { 'events:cloud': 100 },
    policy: stop,
    from: 100,
    persisted: 100,
    held: { 'events:cloud': 100 },
  },
  {
    name: 'nothing is published here: streams are not looked at',
    row: row({ publishedOffset: 20 }),
    policy: storesOnly,
    from: 100,
    persisted: 100,
    held: { 'events:cloud': 100 },
  },
  {
    name: 'all of Kafka is stored: the end is a fine place to start',
    row: row(),
    watermarks: kafka(100, 100),
    found: { 'events:cloud': 100 },
    from: 100,
    persisted: 100,
    held: { 'events:cloud': 100 },
  },
]

for (const { name, row, watermarks = kafka(0, 500), found = {}, policy = refill, ...expected } of all) {
  test(name, () => {
    const start = startOf(row, watermarks, streams(found), policy)
    assert.equal(start.nextOffset, expected.from)
    assert.equal(start.persistedOffset, expected.persisted)
    assert.deepEqual(
      start.lost.map((one) => `${one.family} ${one.found} of ${one.expected}`),
      expected.lost ?? [],
    )
    assert.deepEqual(Object.fromEntries(start.streams), expected.held ?? {})
  })
}

const refused: [name: string, code: string, says: RegExp, ...Parameters<typeof startOf>][] = [
  ['the topic ends before the ledger', 'TOPIC_TRUNCATED', /t\/3 ends at 99/, row(), kafka(0, 99), new Map(), refill],
  ['Kafka forgot what was never stored', 'RETENTION_OVERTOOK', /1 offsets/, row(), kafka(101, 500), new Map(), refill],
  [
    'a stream is lost, and that is to stop us',
    'STREAM_LOST',
    /ends at 0, not 100/,
    row(),
    kafka(0, 500),
    new Map(),
    stop,
  ],
]
for (const [name, code, says, ...call] of refused) {
  test(`${name}: ${code}, with a remedy`, () => {
    assert.throws(
      () => startOf(...call),
      (error: unknown) =>
        error instanceof FatalError && error.code === code && says.test(error.message) && error.remedy.length > 20,
    )
  })
}

test('for any memories: never beyond the ledger, never before Kafka, never past what a stream lost', () => {
  const families = ['a', 'b', 'c'] as const
  const offsets = fc.nat(50)
  fc.assert(
    fc.property(
      fc.record({ low: offsets, start: offsets, stored: offsets, ahead: offsets, publishedBehind: offsets }),
      fc.array(fc.tuple(fc.constantFrom(...families), offsets, offsets), { maxLength: 3 }),
      ({ low, start, stored, ahead, publishedBehind }, seen) => {
        const startOffset = low + start
        const nextOffset = startOffset + stored
        const publishedOffset = Math.max(startOffset, nextOffset - publishedBehind)
        const known = new Map(seen.map(([family, behind]) => [family, Math.max(startOffset, nextOffset - behind)]))
        const found = new Map(seen.map(([family, , lost]) => [family, Math.max(0, nextOffset - lost)]))
        const ledger = { partition: 0, startOffset, nextOffset, publishedOffset, streams: known }
        const answer = startOf(ledger, { low, high: nextOffset + ahead }, found, refill)
        assert.equal(answer.persistedOffset, nextOffset)
        assert.ok(answer.nextOffset <= publishedOffset)
        assert.ok(answer.nextOffset >= Math.max(low, startOffset))
        for (const one of answer.lost) {
          assert.ok(one.found < one.expected)
          assert.ok(answer.nextOffset <= Math.max(one.found, startOffset))
        }
      },
    ),
  )
})
