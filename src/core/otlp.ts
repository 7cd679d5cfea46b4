/** Spans, and how OTLP writes them in JSON: ids as hex, times as decimal text of nanoseconds. */

import type { TraceContext } from './trace-context.ts'
import { conventions, names, type SpanKind } from './trace-names.ts'

export type Attributes = Readonly<Record<string, string | number | boolean>>

export interface Span {
  readonly name: string
  readonly kind: SpanKind
  readonly context: TraceContext
  readonly parent: { readonly spanId: string; readonly remote: boolean } | null
  readonly startMs: number
  readonly endMs: number
  readonly attributes: Attributes
  readonly moments: readonly { readonly name: string; readonly atMs: number; readonly attributes?: Attributes }[]
  readonly links: readonly TraceContext[]
  /** A code of ours, never a driver's words: those may quote what they are about. null: nothing went wrong. */
  readonly error: string | null
}

export interface Resource {
  readonly service: string
  readonly version: string
  readonly instance: string
}

const sampled = 1
const isRemoteKnown = 0x100
const isRemote = 0x200
const statusError = 2

/** Exact to the microsecond: more than a double holds of milliseconds since 1970 nobody has measured. */
const nanos = (ms: number): string => `${Math.round(ms * 1000)}000`

const anyValue = (value: string | number | boolean) => {
  if (typeof value === 'string') return { stringValue: value }
  if (typeof value === 'boolean') return { boolValue: value }
  return Number.isInteger(value) ? { intValue: value } : { doubleValue: value }
}
const keyValues = (attributes: Attributes) =>
  Object.entries(attributes).map(([key, value]) => ({ key, value: anyValue(value) }))
const stateOf = ({ state }: TraceContext) => (state === null ? {} : { traceState: state })

function encodeSpan({ name, kind, context, parent, startMs, endMs, attributes, moments, links, error }: Span): object {
  return {
    traceId: context.traceId,
    spanId: context.spanId,
    ...(parent !== null && { parentSpanId: parent.spanId }),
    ...stateOf(context),
    name,
    kind,
    startTimeUnixNano: nanos(startMs),
    endTimeUnixNano: nanos(endMs),
    attributes: keyValues(error === null ? attributes : { ...attributes, [names.error]: error }),
    events: moments.map(({ name: what, atMs, attributes: about = {} }) => ({
      name: what,
      timeUnixNano: nanos(atMs),
      attributes: keyValues(about),
    })),
    links: links.map((link) => ({
      traceId: link.traceId,
      spanId: link.spanId,
      ...stateOf(link),
      attributes: [],
      flags: sampled | isRemoteKnown | isRemote,
    })),
    status: error === null ? {} : { code: statusError, message: error },
    flags: sampled | isRemoteKnown | (parent?.remote ? isRemote : 0),
  }
}

/** The body of a request to /v1/traces. */
export function encodeSpans(resource: Resource, spans: readonly Span[]): string {
  const about = {
    [names.service]: resource.service,
    [names.version]: resource.version,
    [names.instance]: resource.instance,
  }
  const scope = { name: 'millrace', version: resource.version }
  const scopeSpans = [{ scope, spans: spans.map(encodeSpan), schemaUrl: conventions }]
  return JSON.stringify({ resourceSpans: [{ resource: { attributes: keyValues(about) }, scopeSpans }] })
}

/** `name=value,name=value`, values percent-encoded, as OTEL_EXPORTER_OTLP_HEADERS has them; null where that is something else. */
export function parseHeaders(text: string): Readonly<Record<string, string>> | null {
  const headers: Record<string, string> = {}
  for (const pair of text.split(',')) {
    if (pair.trim() === '') continue
    const [, name, value] = /^\s*([\w.!#$%&'*+^`|~-]+)\s*=\s*(.*?)\s*$/.exec(pair) ?? []
    if (name === undefined || value === undefined) return null
    try {
      headers[name.toLowerCase()] = decodeURIComponent(value)
    } catch {
      return null
    }
    if (/[^\t\x20-\x7e]/.test(headers[name.toLowerCase()] as string)) return null
  }
  return headers
}
