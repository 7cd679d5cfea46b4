import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CloudEvent } from 'cloudevents'
import fc from 'fast-check'
import { eventTypes } from '../../src/simulate/catalogue.ts'
import { createEvents, type EventsOptions, type SimulatedRecord, tenants } from '../../src/simulate/events.ts'
import { poisons } from '../../src/simulate/poison.ts'
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
  assert.deepEqual([...found].sort(), [...tenants].sort())
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
    assert.ok(first && at - first.at <= 1100, 'soon after')
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
