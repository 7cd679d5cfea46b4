/** OpenTelemetry's own serializer is the oracle for the form; nothing of it runs in a process of the fleet. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { JsonTraceSerializer } from '@opentelemetry/otlp-transformer'
import { encodeSpans, parseHeaders, type Span } from '../../src/core/otlp.ts'
import { conventions } from '../../src/core/trace-names.ts'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const startMs = 1_795_298_400_123.456
const spans: Span[] = [
  {
    name: 'batch t',
    kind: 5,
    context: { traceId, spanId: '00f067aa0ba902b7', state: null },
    parent: null,
    startMs,
    endMs: startMs + 2.5,
    attributes: { text: 'a', whole: 3, part: 0.5, yes: true },
    moments: [{ name: 'stored', atMs: startMs + 1, attributes: { n: 1 } }],
    links: [{ traceId: traceId.replaceAll('4', '5'), spanId: '10f067aa0ba902b7', state: 'a=b' }],
    error: null,
  },
  {
    name: 'process t',
    kind: 3,
    context: { traceId, spanId: '20f067aa0ba902b7', state: 'a=b' },
    parent: { spanId: '00f067aa0ba902b7', remote: true },
    startMs,
    endMs: startMs,
    attributes: {},
    moments: [],
    links: [],
    error: 'POSTGRES_BUSY',
  },
]

// They group spans by these very objects.
const resource = { attributes: { 'service.name': 's', 'service.version': '1', 'service.instance.id': 'r' } }
const instrumentationScope = { name: 'millrace', version: '1', schemaUrl: conventions }

/** A span as their SDK would have it. */
function theirs({ name, kind, context, parent, attributes, moments, links, error, ...times }: Span): object {
  // Nanoseconds as [seconds, rest].
  const time = (ms: number) => {
    const micros = Math.round(ms * 1000)
    return [Math.floor(micros / 1e6), (micros % 1e6) * 1000]
  }
  const contextOf = ({ traceId, spanId, state }: Span['context'], isRemote: boolean) => ({
    traceId,
    spanId,
    traceFlags: 1,
    isRemote,
    ...(state !== null && { traceState: { serialize: () => state } }),
  })
  return {
    name,
    // Their API counts from 0.
    kind: kind - 1,
    spanContext: () => contextOf(context, false),
    ...(parent !== null && {
      parentSpanContext: contextOf({ ...context, spanId: parent.spanId, state: null }, parent.remote),
    }),
    startTime: time(times.startMs),
    endTime: time(times.endMs),
    attributes: error === null ? attributes : { ...attributes, 'error.type': error },
    events: moments.map((one) => ({ name: one.name, time: time(one.atMs), attributes: one.attributes ?? {} })),
    links: links.map((link) => ({ context: contextOf(link, true), attributes: {} })),
    status: error === null ? { code: 0 } : { code: 2, message: error },
    resource,
    instrumentationScope,
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  }
}

/** What says nothing is left out: counts of zero, the status "unset", no attributes. */
function said(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(said)
  if (typeof value !== 'object' || value === null) return value
  const members = Object.entries(value).filter(
    ([name, one]) => one !== undefined && !/^dropped/.test(name) && !(name === 'status' && !one.code),
  )
  return Object.fromEntries(members.map(([name, one]) => [name, said(one)]))
}

test("spans are written as OpenTelemetry's own exporter writes them", () => {
  const ours = JSON.parse(encodeSpans({ service: 's', version: '1', instance: 'r' }, spans))
  const bytes = JsonTraceSerializer.serializeRequest(spans.map(theirs) as never)
  assert.deepEqual(said(ours), said(JSON.parse(Buffer.from(bytes as Uint8Array).toString())))
  const [first] = ours.resourceSpans[0].scopeSpans[0].spans
  assert.match(first.startTimeUnixNano, /^1795298400123456000$/)
})

test('headers are read as the standard variable has them', () => {
  assert.deepEqual(parseHeaders(''), {})
  assert.deepEqual(parseHeaders('Authorization=Basic%20YTpi==, x-tenant = a'), {
    authorization: 'Basic YTpi==',
    'x-tenant': 'a',
  })
  for (const bad of ['token', '=x', 'a b=c', 'a=%zz', 'a=%0d%0ax']) assert.equal(parseHeaders(bad), null, bad)
})
