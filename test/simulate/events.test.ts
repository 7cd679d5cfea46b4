import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CloudEvent } from 'cloudevents'
import fc from 'fast-check'
import { eventTypes } from '../../src/simulate/catalogue.ts'
import { createEvents, type EventsOptions, type SimulatedRecord } from '../../src/simulate/events.ts'
import { poisons } from '../../src/simulate/poison.ts'
import { tenantName } from '../../src/simulate/subjects.ts'
import { judge } from '../vectors/judge.ts'

const startMs = Date.UTC(2026, 10, 21, 8)

function make(count: number, options: Partial<EventsOptions> = {}, stepMs = 0.15): SimulatedRecord[] {
  const events = createEvents({ seed: 7, partitions: 100, ...options })
  return Array.from({ length: count }, (_, i) => events.next(startMs + i * stepMs))
}

/** What the fleet's own decode/ says of a record: null when it is good, else the reject code. */
const verdict = ({ value, headers, timestampMs }: SimulatedRecord) =>
  judge({ value, headers, timestamp: String(timestampMs) }).code

const plain = (records: SimulatedRecord[]) => records.map((record) => ({ ...record, value: String(record.value) }))

test('property: the same seed and the same times give the same bytes; another seed gives others', () => {
  const shares = fc.record({
    duplicates: fc.constantFrom(0, 0.05),
    poison: fc.constantFrom(0, 0.05),
    binary: fc.constantFrom(0, 0.3),
  })
  fc.assert(
    fc.property(fc.maxSafeNat(), shares, (seed, options) => {
      const [one, two] = [make(300, { ...options, seed }), make(300, { ...options, seed })]
      assert.deepEqual(plain(one), plain(two))
      assert.notDeepEqual(plain(make(300, { ...options, seed: seed === 0 ? 1 : seed - 1 })), plain(one))
    }),
    { numRuns: 8 },
  )
})

test('an event is 466 bytes on average, give or take two in a hundred', () => {
  const records = make(50_000)
  const mean = records.reduce((sum, { value }) => sum + Buffer.byteLength(value ?? ''), 0) / records.length
  assert.ok(mean > 457 && mean < 475, `${mean} bytes`)
})

test('every event is a CloudEvent to the SDK and to the decoder, in both modes', () => {
  for (const record of make(3000, { binary: 0.5 })) {
    assert.equal(verdict(record), null, String(record.value))
    if (record.headers['content-type']?.toString().startsWith('application/cloudevents')) {
      const event = JSON.parse(record.value as string)
      assert.ok(new CloudEvent(event, true).validate())
      assert.deepEqual([event.id, event.source, event.type], [record.id, record.source, record.label])
      assert.equal(event.subject, record.key)
      if (event.time !== undefined) assert.equal(Date.parse(event.time), record.timestampMs)
    } else assert.equal(typeof JSON.parse(record.value as string), 'object')
  }
})

test('the mix is skewed, complete, and spread over all partitions; a subject keeps its partition', () => {
  const records = make(100_000)
  const types = new Map<string, number>()
  const found = new Set<string>()
  const partitions = new Map<number, number>()
  const partitionOf = new Map<string, number>()
  for (const { label, value, partition, key } of records) {
    types.set(label, (types.get(label) ?? 0) + 1)
    partitions.set(partition, (partitions.get(partition) ?? 0) + 1)
    found.add(JSON.parse(value as string).tenantid)
    assert.equal(partitionOf.get(key) ?? partition, partition)
    partitionOf.set(key, partition)
  }
  assert.deepEqual([...types.keys()].sort(), eventTypes.map(({ type }) => type).sort())
  assert.ok((types.get('com.bss.usage.recorded') ?? 0) > 50 * (types.get('com.bss.invoice.disputed') ?? 0))
  assert.deepEqual([...found].sort(), Array.from({ length: 20 }, (_, rank) => tenantName(rank)).sort())
  assert.equal(partitions.size, 100)
  const busiest = Math.max(...partitions.values())
  assert.ok(busiest < 3 * Math.min(...partitions.values()), `busiest ${busiest}`)
  // Bounded: subjects recur.
  assert.ok(partitionOf.size < records.length / 2, `${partitionOf.size} subjects`)
})

test('ids are never repeated, and look like UUIDs', () => {
  const ids = make(100_000).map(({ id }) => id)
  assert.equal(new Set(ids).size, ids.length)
  for (const id of ids.slice(0, 1000))
    assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
})

test("a duplicate is an earlier record again, byte for byte, with that record's timestamp and partition", () => {
  const records = make(20_000, { duplicates: 0.02 })
  const seen = new Map<string, { record: SimulatedRecord; at: number }>()
  let duplicates = 0
  for (const [at, record] of records.entries()) {
    if (record.kind === 'event') {
      seen.set(record.id, { record, at })
      continue
    }
    duplicates++
    const first = seen.get(record.id)
    assert.ok(first && at - first.at <= 2000, 'soon after')
    assert.deepEqual({ ...record, kind: 'event' }, first.record)
  }
  assert.ok(duplicates > 300 && duplicates < 500, `${duplicates} duplicates`)
})

test('every kind of poison occurs, and the decoder rejects each under the code on its label', () => {
  const codeOf = new Map(poisons.map(({ label, code }) => [label, code]))
  const seen = new Set<string>()
  for (const record of make(3000, { poison: 0.2, binary: 0.3 })) {
    if (record.kind !== 'poison') {
      assert.equal(verdict(record), null)
      continue
    }
    seen.add(record.label)
    assert.equal(verdict(record), codeOf.get(record.label), record.label)
  }
  assert.equal(seen.size, poisons.length)
})

test('property: however many share the sequence out, together they make what one makes, in the same order per partition', () => {
  const options = { seed: 3, partitions: 12, duplicates: 0.05, poison: 0.02, binary: 0.2 }
  const dueMs = (i: number) => startMs + i * 0.7
  const one = createEvents(options)
  const whole = plain(Array.from({ length: 600 }, (_, i) => one.next(dueMs(i))))
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 12 }), (of) => {
      const shares = Array.from({ length: of }, (_, share) => {
        const events = createEvents(options)
        return Array.from({ length: 600 }, (_, i) => events.nextOf(share, of, dueMs(i)))
      })
      for (const [i, wanted] of whole.entries()) {
        const made = shares.flatMap((records) => records[i] ?? [])
        assert.deepEqual(plain(made), [wanted])
      }
    }),
    { numRuns: 12 },
  )
})

const shareOf = <T>(items: readonly T[], fits: (item: T) => boolean) => items.filter(fits).length / items.length

test('tenants follow the law of Zipf that was asked for; even tenants are even', () => {
  const tenantOf = ({ value }: SimulatedRecord) => JSON.parse(value as string).tenantid as string
  const steep = make(20_000, { tenants: 50, tenantSkew: 2 })
  const first = shareOf(steep, (record) => tenantOf(record) === tenantName(0))
  assert.ok(first > 0.5 && first < 0.72, `the first of 50 has ${first}`)
  const even = make(20_000, { tenants: 10, tenantSkew: 0 })
  for (let rank = 0; rank < 10; rank++) {
    const share = shareOf(even, (record) => tenantOf(record) === tenantName(rank))
    assert.ok(share > 0.05 && share < 0.16, `${tenantName(rank)} has ${share}`)
  }
})

test('hot partitions get their share on top, and skewed keys few keys most', () => {
  const hot = make(20_000, { hotShare: 0.4, hotPartitions: 2 })
  const share = shareOf(hot, ({ partition }) => partition < 2)
  assert.ok(share > 0.38 && share < 0.45, `${share}`)
  const keys = new Set(make(20_000, { keySkew: 1.5 }).map(({ key }) => key))
  const usual = new Set(make(20_000).map(({ key }) => key))
  assert.ok(keys.size < usual.size / 3, `${keys.size} of ${usual.size}`)
})

test('property: events have the size that was asked for, and are events', () => {
  fc.assert(
    fc.property(fc.integer({ min: 700, max: 20_000 }), (bytes) => {
      for (const record of make(20, { size: [bytes, bytes] })) {
        assert.equal(Buffer.byteLength(record.value as string), bytes)
        assert.equal(verdict(record), null)
      }
    }),
    { numRuns: 20 },
  )
  for (const record of make(300, { size: [200, 200], binary: 0.3 })) {
    assert.ok(Buffer.byteLength(record.value as string) <= 220, String(record.value))
    assert.equal(verdict(record), null, String(record.value))
  }
})
