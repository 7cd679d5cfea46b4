/** One event followed from its producer through the fleet to a stream's reader; a receiver that is away harms nothing; off is off. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { defaultTextMapGetter, ROOT_CONTEXT, trace } from '@opentelemetry/api'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import { names } from '../../src/core/trace-names.ts'
import { structuredHeaders } from '../../src/simulate/events.ts'
import { openReceiver, type Receiver } from '../process/otlp-receiver.ts'
import { topic, useStack, type World } from './harness.ts'
import { until } from './until.ts'

const servers = useStack()

const on = ({ endpoint }: Pick<Receiver, 'endpoint'>) => ({
  MILLRACE_TRACES: 'on',
  MILLRACE_TRACE_RATIO: '0',
  OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
  OTEL_SERVICE_NAME: 'ingest',
})

async function receiver(t: TestContext): Promise<Receiver> {
  const one = await openReceiver()
  t.after(() => one.close())
  return one
}

const hex = (digits: number) => randomUUID().replaceAll('-', '').slice(0, digits)
const newContext = (flags = '01') => {
  const traceId = hex(32)
  const spanId = `a${hex(15)}`
  return { traceId, spanId, traceparent: `00-${traceId}-${spanId}-${flags}` }
}

const partition = 3
const attributes = (id: string) => ({ specversion: '1.0', id, source: '/traces', type: 'com.bss.order.placed' })

/** What a producer with OpenTelemetry sends: the event, and its context in a header. */
async function send(world: World, messages: readonly { value: string; headers: Record<string, string | Buffer> }[]) {
  const producer = world.kafka.producer()
  await producer.connect()
  await producer.send({ topic, messages: messages.map((one) => ({ ...one, partition })) })
  await producer.disconnect()
}

/** The event as a reader of the stream gets it. */
async function read(world: World, id: string): Promise<Record<string, string>> {
  const key = `events:order:{${partition}}`
  return until(`event ${id} in ${key}`, 30_000, async () => {
    const entries = await world.redis.xrange(key, '-', '+')
    const events = entries.map(([, [, event]]) => JSON.parse(event as string))
    return events.find((event) => event.id === id) ?? null
  })
}

/** Where a reader that uses OpenTelemetry goes on. */
const continuedBy = (event: Record<string, string>) =>
  trace.getSpanContext(new W3CTraceContextPropagator().extract(ROOT_CONTEXT, event, defaultTextMapGetter))

test('from the producer, through the rooms, to the reader: one trace', async (t) => {
  const otlp = await receiver(t)
  const world = await servers.world(t, { env: on(otlp) })
  const replica = await world.replica()
  const [byHeader, byExtension, unsampled] = [newContext(), newContext(), newContext('00')]
  await send(world, [
    {
      value: JSON.stringify(attributes('header')),
      headers: { ...structuredHeaders, traceparent: byHeader.traceparent, tracestate: 'shop=1' },
    },
    {
      value: '{"a":1}',
      headers: {
        ...Object.fromEntries(Object.entries(attributes('extension')).map(([name, value]) => [`ce_${name}`, value])),
        ce_traceparent: byExtension.traceparent,
      },
    },
    {
      value: JSON.stringify(attributes('unsampled')),
      headers: { ...structuredHeaders, traceparent: unsampled.traceparent },
    },
    { value: 'no event', headers: { ...structuredHeaders, traceparent: newContext().traceparent } },
  ])

  const header = await read(world, 'header')
  assert.deepEqual([header.traceparent, header.tracestate], [byHeader.traceparent, 'shop=1'])
  const parent = continuedBy(header)
  assert.deepEqual([parent?.traceId, parent?.spanId], [byHeader.traceId, byHeader.spanId])
  assert.equal((await read(world, 'extension')).traceparent, byExtension.traceparent)
  assert.equal((await read(world, 'unsampled')).traceparent, undefined)

  const events = await until('the spans of three events', 30_000, () => {
    const found = otlp.spans.filter(({ name }) => name === `process ${topic}`)
    return found.length >= 3 ? found : null
  })
  const rows = await world.sql.query<{ id: string; event_id: string }>('SELECT id, event_id FROM cloud_events')
  const rowOf = new Map(rows.rows.map(({ id, event_id }) => [event_id, id]))
  for (const [id, context] of [
    ['header', byHeader],
    ['extension', byExtension],
  ] as const) {
    const [span, ...more] = events.filter(({ traceId }) => traceId === context.traceId)
    assert.deepEqual(more, [])
    assert.equal(span?.parentSpanId, context.spanId)
    assert.equal(span?.attributes[names.row], rowOf.get(id))
    assert.equal(span?.attributes[names.partition], String(partition))
    assert.equal(span?.attributes[names.outcome], 'published')
    assert.deepEqual(
      span?.events.map(({ name }) => name),
      ['decoded', 'stored', 'published'],
    )
    // From the event to what happened to the batch that it was in.
    const rooms = otlp.spans.filter(({ traceId }) => traceId === span?.links[0]?.traceId)
    assert.deepEqual(rooms.map(({ name }) => name).sort(), [
      `batch ${topic}`,
      `consume ${topic}`,
      `decode ${topic}`,
      'persist cloud_events',
      `publish ${topic}`,
    ])
    const root = rooms.find(({ parentSpanId }) => parentSpanId === undefined)
    assert.ok(root?.links.some(({ traceId }) => traceId === context.traceId))
  }
  assert.ok(events.some(({ status }) => status.code === 2 && status.message === 'not_json'))
  assert.deepEqual(otlp.complaints, [])
  assert.equal(otlp.resource['service.name'], 'ingest')
  assert.equal(otlp.resource['service.instance.id'], replica.name)
  assert.equal(await replica.metric('millrace_trace_spans_total'), otlp.spans.length)
  // A level may be changed while it runs, and the log says so.
  const put = await fetch(`${replica.adminUrl}/log-level?for=1m`, { method: 'PUT', body: 'debug' })
  assert.equal(put.status, 200)
  await replica.untilLogged(/"from":"info","to":"debug".*the log level was changed/, 5000)
  await world.untilDrained()
  await world.proof({ events: 3, poison: 1 })
})

test('under load: what is traced is stored and published as everything else, and what waits is sent at the end', async (t) => {
  const otlp = await receiver(t)
  const world = await servers.world(t, { env: on(otlp) })
  const replicas = [await world.replica(), await world.replica()]
  // The simulator's producers sample one event in twenty, by the extension.
  const load = world.load({ rate: 2000, events: 10_000, binary: 0.5 })
  await load.done
  await world.untilDrained()
  await world.proof()
  for (const one of replicas) {
    const { code, ms } = await one.stop()
    assert.equal(code, 0)
    t.diagnostic(`${one.name} ended in ${Math.round(ms)} ms`)
  }
  const events = otlp.spans.filter(({ name }) => name === `process ${topic}`)
  assert.ok(events.length > 100, `${events.length} events followed`)
  assert.equal(new Set(otlp.spans.map(({ spanId }) => spanId)).size, otlp.spans.length)
  assert.deepEqual(otlp.complaints, [])
})

test('a receiver that is away is one line of the log and a counter', async (t) => {
  const gone = await openReceiver()
  await gone.close()
  const world = await servers.world(t, { env: on(gone) })
  const replica = await world.replica()
  const load = world.load({ rate: 1000, events: 3000 })
  await replica.untilLogged(/the receiver of traces does not take them.*/, 30_000)
  await load.done
  await world.untilDrained()
  await world.proof()
  assert.ok((await replica.metric('millrace_trace_spans_total')) > 0)
  const { code, ms } = await replica.stop()
  assert.equal(code, 0)
  assert.ok(ms < 10_000, `${ms} ms`)
  assert.equal(replica.log.filter((line) => line.includes('receiver of traces')).length, 1)
})

test('off, though a receiver is there: nothing is sent, and entries are the bytes that came', async (t) => {
  const otlp = await receiver(t)
  const world = await servers.world(t, { env: { ...on(otlp), MILLRACE_TRACES: 'off' } })
  const replica = await world.replica()
  const { traceparent } = newContext()
  const own = { ...attributes('own'), traceparent }
  await send(world, [
    { value: JSON.stringify(attributes('plain')), headers: { ...structuredHeaders, traceparent } },
    { value: JSON.stringify(own), headers: structuredHeaders },
  ])
  assert.deepEqual(await read(world, 'plain'), attributes('plain'))
  assert.deepEqual(await read(world, 'own'), own)
  await world.untilDrained()
  const { ms } = await replica.stop()
  t.diagnostic(`ended in ${Math.round(ms)} ms`)
  assert.equal(otlp.requests, 0)
  assert.doesNotMatch(replica.log.join('\n'), /trace/i)
  await world.proof({ events: 2 })
})
