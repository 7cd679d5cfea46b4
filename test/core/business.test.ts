/** What a consumer file counts: the sums of the decoding thread are those that counting one by one would give, less what became no row. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import cloudEvents from '../../consumers/cloud-events.ts'
import type { Decoded } from '../../src/core/batch.ts'
import { type BusinessMetric, checkBusiness } from '../../src/core/business.ts'
import { createMetrics } from '../../src/core/registry.ts'
import { openBusiness } from '../../src/core/tally.ts'
import { cloudEvent } from '../../src/decoders/cloud-event.ts'
import { defineConsumer } from '../../src/define.ts'
import { decodeBatch } from '../../src/flow/decode/decode-batch.ts'
import { eventTypes } from '../../src/simulate/catalogue.ts'
import { type EventSpec, eventText, limits, nowMs, pack, record } from '../flow/batches.ts'

const declared: readonly BusinessMetric[] = [
  { name: 'x_total', help: 'All.' },
  { name: 'x_by_type_total', help: 'By type.', label: 'type', values: ['a', 'b'], of: (type) => type },
  { name: 'x_paid_total', help: 'Some.', of: (type) => type === 'b' },
  {
    name: 'x_by_source_total',
    help: 'By source.',
    label: 'from',
    values: ['/s1'],
    by: 'source',
    of: (source) => source,
  },
  { name: 'x_seconds', help: 'How long.', measure: 'processing_seconds' },
  { name: 'x_rate', help: 'How many.', measure: 'events_per_second' },
  { name: 'x_bytes', help: 'How large.', measure: 'event_bytes' },
]
const consumer = (metrics: readonly BusinessMetric[] | undefined) =>
  defineConsumer({ topic: 't', table: 't', decoder: cloudEvent, ...(metrics && { metrics }) })

const decode = (metrics: readonly BusinessMetric[] | undefined, again: boolean, ...events: (EventSpec | string)[]) =>
  decodeBatch(
    consumer(metrics),
    limits,
    pack({ partition: 0, records: events.map((e, n) => record(n, e)), again }),
    nowMs,
  )

async function shown(
  metrics: readonly BusinessMetric[],
  feed: (stored: ReturnType<typeof openBusiness>['stored']) => void,
) {
  let ms = 0
  const business = openBusiness(metrics, () => ms)
  const registry = createMetrics({ processMetrics: false })
  registry.include(business.series)
  feed(business.stored)
  ms = 1000
  const lines = (await registry.render()).split('\n').filter((line) => /^(x|bss)_/.test(line))
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]),
  )
}

test('counters with and without a label, by type and by source; what is not declared is `other`', async () => {
  const batch = decode(
    declared,
    false,
    { id: '1', type: 'a', source: '/s1' },
    { id: '2', type: 'b', source: '/s1' },
    { id: '3', type: 'b', source: '/s2' },
    { id: '4', type: 'constructor', source: '/s3' },
    'a reject',
  )
  const values = await shown(declared, (stored) => stored(batch, null, [nowMs - 20], nowMs))
  assert.equal(values.get('x_total'), 4)
  assert.equal(values.get('x_by_type_total{type="a"}'), 1)
  assert.equal(values.get('x_by_type_total{type="b"}'), 2)
  assert.equal(values.get('x_by_type_total{type="other"}'), 1)
  assert.equal(values.get('x_paid_total'), 2)
  assert.equal(values.get('x_by_source_total{from="/s1"}'), 2)
  assert.equal(values.get('x_by_source_total{from="other"}'), 2)
  assert.equal(values.get('x_seconds_count'), 4)
  assert.equal(values.get('x_seconds_bucket{le="0.02"}'), 4)
  assert.equal(values.get('x_seconds_bucket{le="0.01"}'), 0)
  assert.equal(values.get('x_rate'), 0.4)
  assert.equal(values.get('x_bytes_count'), 4)
  const bytes = [1, 2, 3, 4].map(
    (n) => eventText({ id: String(n), type: n === 1 ? 'a' : n === 4 ? 'constructor' : 'b', source: '/s1' }).length,
  )
  assert.equal(
    values.get('x_bytes_sum'),
    bytes.reduce((sum, one) => sum + one, 0),
  )
})

test('a value that never occurred is shown as 0, so that its first occurrence is an increase', async () => {
  const values = await shown(declared, () => {})
  assert.equal(values.get('x_by_type_total{type="a"}'), 0)
  assert.equal(values.get('x_by_type_total{type="other"}'), 0)
})

test('a function that throws stops nothing: the event is `other`', async () => {
  const fragile: readonly BusinessMetric[] = [
    { name: 'x_total', help: '', label: 'type', values: ['a'], of: (type) => (JSON.parse(type) as { v: string }).v },
  ]
  const batch = decode(fragile, false, { id: '1', type: '{"v":"a"}' }, { id: '2', type: 'b' })
  const values = await shown(fragile, (stored) => stored(batch, null, [nowMs], nowMs))
  assert.equal(values.get('x_total{type="a"}'), 1)
  assert.equal(values.get('x_total{type="other"}'), 1)
})

test('what comes by again is not counted; without declarations there is nothing to carry', () => {
  assert.equal(decode(declared, true, { id: '1' }).tally, null)
  assert.equal(decode(undefined, false, { id: '1' }).tally, null)
})

test('summed up or one by one: the same, whichever rows turn out to be no new ones', async () => {
  const event = fc.record({
    type: fc.constantFrom('a', 'b', 'c', 'other', ''),
    source: fc.constantFrom('/s1', '/s2'),
    bad: fc.boolean(),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(event, { maxLength: 40 }), fc.func(fc.boolean()), async (events, isKnown) => {
      const specs: (EventSpec | string)[] = events.map(({ type, source, bad }, n) =>
        bad || type === '' ? 'bad' : { id: String(n), type, source },
      )
      const batch = decode(declared, false, ...specs)
      const good = specs.filter((one): one is EventSpec => typeof one !== 'string')
      const known = new Set(good.map((_, row) => row).filter((row) => isKnown(row)))
      const left = good.filter((_, row) => !known.has(row))
      const values = await shown(declared, (stored) => stored(batch, known.size > 0 ? known : null, [nowMs], nowMs))
      const count = (test: (one: EventSpec) => boolean) => left.filter(test).length
      assert.equal(values.get('x_total'), left.length)
      assert.equal(
        values.get('x_by_type_total{type="a"}'),
        count(({ type }) => type === 'a'),
      )
      assert.equal(
        values.get('x_by_type_total{type="other"}'),
        count(({ type }) => type !== 'a' && type !== 'b'),
      )
      assert.equal(
        values.get('x_paid_total'),
        count(({ type }) => type === 'b'),
      )
      assert.equal(
        values.get('x_by_source_total{from="/s1"}'),
        count(({ source }) => source === '/s1'),
      )
      assert.equal(values.get('x_seconds_count'), left.length)
      assert.equal(values.get('x_bytes_count'), left.length)
    }),
    { numRuns: 50 },
  )
})

test('mistakes in a declaration are told when the file is read', () => {
  const wrong: readonly (readonly [BusinessMetric | BusinessMetric[], RegExp])[] = [
    [{ name: 'X_total', help: '' }, /lower-case/],
    [{ name: 'millrace_x_total', help: '' }, /prefix/],
    [{ name: 'x', help: '' }, /_total/],
    [{ name: 'x_total', help: '', label: 'type' }, /belong together/],
    [{ name: 'x_total', help: '', label: 'le', values: ['a'], of: () => 'a' }, /no label/],
    [{ name: 'x_total', help: '', label: 'type', values: ['a'] }, /`of`/],
    [{ name: 'x_total', help: '', label: 'type', values: [], of: () => 'a' }, /list 1 to/],
    [{ name: 'x_total', help: '', label: 'type', values: ['a', 'a'], of: () => 'a' }, /different/],
    [{ name: 'x_total', help: '', label: 'type', values: ['other'], of: () => 'a' }, /other/],
    [
      [
        { name: 'x_total', help: '' },
        { name: 'x_total', help: '' },
      ],
      /twice/,
    ],
  ]
  for (const [given, message] of wrong) assert.throws(() => consumer([given].flat()), { name: 'TypeError', message })
  checkBusiness(declared)
})

test("cloud-events: every type that the simulator sends has a value of its own, and an event's state is counted once", async () => {
  const metrics = cloudEvents.metrics ?? []
  const batch: Decoded = decodeBatch(
    cloudEvents,
    limits,
    pack({ partition: 0, records: eventTypes.map(({ type }, n) => record(n, { id: String(n), type })) }),
    nowMs,
  )
  const values = await shown(metrics, (stored) => stored(batch, null, [nowMs], nowMs))
  for (const { type } of eventTypes) assert.equal(values.get(`bss_events_by_type_total{type="${type}"}`), 1, type)
  assert.equal(values.get('bss_events_by_type_total{type="other"}'), 0)
  assert.equal(values.get('bss_events_total'), eventTypes.length)
  assert.equal(values.get('bss_payments_total{state="failed"}'), 1)
  assert.equal(values.get('bss_orders_total{state="created"}'), 1)
  assert.equal(values.get('bss_invoices_total{state="other"}'), 0)
  assert.equal(values.get('bss_errors_total{component="payment"}'), 1)
  assert.equal(values.get('bss_errors_total{component="invoice"}'), 1)
  assert.equal(values.get('bss_errors_total{component="other"}'), 0)
})
