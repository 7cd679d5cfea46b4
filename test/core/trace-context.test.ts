/** OpenTelemetry's own propagator is the oracle: what it takes for a sampled context is one here, and nothing else is. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultTextMapGetter, ROOT_CONTEXT, trace } from '@opentelemetry/api'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import fc from 'fast-check'
import { readParent, readState, stateBytesMax, traceparentOf } from '../../src/core/trace-context.ts'

const propagator = new W3CTraceContextPropagator()
const read = (text: string) => {
  const bytes = Buffer.from(`<${text}>`)
  const found = readParent(bytes, 1, bytes.length - 1)
  return found === 'unsampled' ? null : found
}
function theirs(traceparent: string): { traceId: string; spanId: string } | null {
  const found = trace.getSpanContext(propagator.extract(ROOT_CONTEXT, { traceparent }, defaultTextMapGetter))
  return found === undefined || (found.traceFlags & 1) === 0 ? null : { traceId: found.traceId, spanId: found.spanId }
}

const hex = (digits: number) =>
  fc.array(fc.constantFrom(...'0123456789abcdef'), { minLength: digits, maxLength: digits }).map((all) => all.join(''))
const part = (digits: number) =>
  fc.oneof({ weight: 8, arbitrary: hex(digits) }, { weight: 1, arbitrary: fc.constant('0'.repeat(digits)) })
const well = fc
  .tuple(fc.oneof({ weight: 3, arbitrary: fc.constant('00') }, hex(2)), part(32), part(16), hex(2))
  .map((parts) => parts.join('-'))

test('a sampled context is read as OpenTelemetry reads it', () => {
  const id = '4bf92f3577b34da6a3ce929d0e0e4736'
  assert.deepEqual(read(`00-${id}-00f067aa0ba902b7-01`), { traceId: id, spanId: '00f067aa0ba902b7' })
  assert.equal(read(`00-${id}-00f067aa0ba902b7-00`), null)
  fc.assert(
    fc.property(well, (text) => assert.deepEqual(read(text), theirs(text))),
    { numRuns: 2000 },
  )
})

test('anything malformed is no context', () => {
  const spoilt = fc
    .tuple(
      well,
      fc.nat(60),
      fc.nat(3),
      fc.string({ unit: fc.constantFrom(...'-0fgAZ "\\\u0000é'), minLength: 0, maxLength: 3 }),
    )
    .map(([text, at, gone, more]) => text.slice(0, at) + more + text.slice(at + gone))
    // Theirs forgives white space around it, and in later versions is not strict about what follows the dash.
    .filter((text) => text.trim() === text && !text.includes('\n'))
  fc.assert(
    fc.property(spoilt, (text) => assert.deepEqual(read(text), theirs(text))),
    { numRuns: 5000 },
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      readParent(Buffer.from(bytes), 0, bytes.length)
    }),
  )
})

test('what is written is what is read', () => {
  fc.assert(
    fc.property(well, (text) => {
      const found = read(text)
      if (found !== null) assert.deepEqual(read(traceparentOf({ ...found, state: null })), found)
    }),
  )
})

test('a state is handed on as it is, or not at all', () => {
  const state = (text: string) => readState(Buffer.from(text), 0, Buffer.byteLength(text))
  assert.equal(state('congo=t61rcWkgMzE,rojo="a\\b"'), 'congo=t61rcWkgMzE,rojo="a\\b"')
  for (const bad of ['', 'a=\u0000', 'a=é', 'a=\n', 'a'.repeat(stateBytesMax + 1)]) assert.equal(state(bad), null)
})
