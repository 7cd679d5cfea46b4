/** A receiver of OTLP over HTTP, in JSON: what an OpenTelemetry collector is to the fleet. It keeps what it is sent, and refuses what is not in form. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface ReceivedSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly kind: number
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[]
  readonly events: readonly { readonly name: string }[]
  readonly status: { readonly code?: number; readonly message?: string }
  /** By key, and without the type that OTLP names with each. */
  readonly attributes: Readonly<Record<string, unknown>>
}

export interface Receiver {
  readonly endpoint: string
  readonly spans: readonly ReceivedSpan[]
  /** Of the last request: the resource's attributes and the headers. */
  readonly resource: Readonly<Record<string, unknown>>
  readonly headers: Readonly<Record<string, unknown>>
  readonly requests: number
  readonly complaints: readonly string[]
  /** What it answers from now on; null: nothing, ever. */
  answer(code: number | null, body?: string): void
  close(): Promise<void>
}

type KeyValues = readonly { readonly key: string; readonly value: Readonly<Record<string, unknown>> }[]
const plain = (attributes: KeyValues) =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))

interface Body {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: KeyValues }
    readonly scopeSpans: readonly {
      readonly spans: readonly (Omit<ReceivedSpan, 'attributes'> & { readonly attributes: KeyValues })[]
    }[]
  }[]
}

export async function openReceiver(port = 0): Promise<Receiver> {
  const spans: ReceivedSpan[] = []
  const complaints: string[] = []
  let resource: Receiver['resource'] = {}
  let headers: Receiver['headers'] = {}
  let requests = 0
  let code: number | null = 200
  let said = '{}'

  function take(text: string): void {
    const { resourceSpans } = JSON.parse(text) as Body
    for (const { resource: about, scopeSpans } of resourceSpans) {
      resource = plain(about.attributes)
      for (const { attributes, ...span } of scopeSpans.flatMap((scope) => scope.spans)) {
        const isGood =
          /^[0-9a-f]{32}$/.test(span.traceId) &&
          /^[0-9a-f]{16}$/.test(span.spanId) &&
          /^\d{19}$/.test(span.startTimeUnixNano) &&
          BigInt(span.endTimeUnixNano) >= BigInt(span.startTimeUnixNano)
        if (!isGood) complaints.push(JSON.stringify(span))
        spans.push({ ...span, attributes: plain(attributes) })
      }
    }
  }

  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (text: string) => {
      body += text
    })
    request.on('end', () => {
      requests++
      headers = request.headers
      if (request.method !== 'POST' || request.url !== '/v1/traces' || headers['content-type'] !== 'application/json')
        complaints.push(`${request.method} ${request.url} ${headers['content-type']}`)
      if (code === null) return
      if (code === 200) take(body)
      response.writeHead(code, { 'content-type': 'application/json' }).end(said)
    })
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    complaints,
    get resource() {
      return resource
    },
    get headers() {
      return headers
    },
    get requests() {
      return requests
    },
    answer(next, body = '{}') {
      code = next
      said = body
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
