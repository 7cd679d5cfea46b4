/**
 * Hands spans to an OTLP receiver over HTTP. The flow never waits for it: spans queue up to a bound, beyond it a batch's spans are left out and
 * counted. A receiver that fails is left alone for a while, and the log says so once, until it takes spans again. Sends nothing twice: what failed is lost.
 */
import querystring from 'node:querystring'
import type { Logger } from 'pino'
import type { Sleep } from '../core/backoff.ts'
import { encodeSpans, parseHeaders, type Resource, type Span } from '../core/otlp.ts'
import type { Metrics } from '../core/registry.ts'

export interface ExporterOptions {
  /** Base URL. */
  readonly endpoint: string
  /** As the setting has them. */
  readonly headers: string
  readonly resource: Resource
  readonly clock: { readonly steadyMs: () => number; readonly sleep: Sleep }
  readonly metrics: Pick<Metrics, 'counter'>
  readonly logger: Pick<Logger, 'info' | 'warn' | 'debug'>
  readonly pauseMs?: number
}

export interface Exporter {
  /** Host and port. */
  readonly receiver: string
  /** All of them or none. */
  add(spans: readonly Span[]): void
  /** Sends what waits, unless the receiver has just failed. Takes as long as one request may at the end. */
  close(): Promise<void>
}

/** A batch that is followed has some six spans, and one for each followed event in it. */
const waitingMax = 4096
const requestSpansMax = 512
const everyMs = 1000
const requestMs = 10_000
const lastRequestMs = 2500
const pauseDefaultMs = 30_000

export function openExporter(options: ExporterOptions): Exporter {
  const { resource, clock, metrics, logger, pauseMs = pauseDefaultMs } = options
  const { url, login } = tracesUrl(options.endpoint)
  // For the log: without a query, which may hold a key.
  const { host: receiver } = new URL(url)
  const headers = { 'content-type': 'application/json', ...login, ...parseHeaders(options.headers) }
  const spansOf = (outcome: 'exported' | 'dropped' | 'failed') => metrics.counter('trace_spans_total', { outcome })
  const [exported, dropped, failed] = [spansOf('exported'), spansOf('dropped'), spansOf('failed')]
  const closing = new AbortController()
  let waiting: Span[] = []
  let pausedUntilMs = Number.NEGATIVE_INFINITY
  let isFailing = false

  /** How many the receiver has turned down of what it took. */
  async function post(spans: readonly Span[], timeoutMs: number): Promise<number> {
    const response = await fetch(url, {
      method: 'POST',
      headers,
      body: encodeSpans(resource, spans),
      redirect: 'error',
      signal: AbortSignal.timeout(timeoutMs),
    })
    if (!response.ok) {
      await response.body?.cancel()
      throw new Error(`it answers ${response.status}`)
    }
    return rejectedOf(await response.text())
  }

  async function send(timeoutMs: number): Promise<void> {
    while (waiting.length > 0) {
      const spans = waiting.slice(0, requestSpansMax)
      waiting = waiting.slice(spans.length)
      try {
        const turnedDown = await post(spans, timeoutMs)
        exported.add(spans.length - turnedDown)
        failed.add(turnedDown)
        if (isFailing) logger.info({ receiver }, 'the receiver of traces takes them again')
        isFailing = false
      } catch (error) {
        failed.add(spans.length)
        pausedUntilMs = clock.steadyMs() + pauseMs
        const level = isFailing ? 'debug' : 'warn'
        isFailing = true
        logger[level](
          { receiver, reason: reasonOf(error), pauseMs },
          'the receiver of traces does not take them: what is traced now may be lost, nothing else is',
        )
        return
      }
    }
  }

  async function run(): Promise<void> {
    while (!closing.signal.aborted) {
      await clock.sleep(everyMs, closing.signal).catch(() => {})
      if (!closing.signal.aborted && clock.steadyMs() >= pausedUntilMs) await send(requestMs)
    }
  }

  const running = run()
  return {
    receiver,
    add(spans) {
      if (waiting.length + spans.length > waitingMax) dropped.add(spans.length)
      else for (const span of spans) waiting.push(span)
    },
    async close() {
      closing.abort()
      await running
      if (!isFailing) await send(lastRequestMs)
    },
  }
}

/** fetch takes no URL with a login in it, and would quote it. */
export function tracesUrl(endpoint: string): { url: string; login: { authorization?: string } } {
  const url = new URL(endpoint)
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/v1/traces`
  const { username, password } = url
  if (username === '' && password === '') return { url: url.href, login: {} }
  url.username = ''
  url.password = ''
  const pair = [username, password].map((part) => querystring.unescape(part)).join(':')
  return { url: url.href, login: { authorization: `Basic ${Buffer.from(pair).toString('base64')}` } }
}

/** fetch says "fetch failed", and why in its cause. */
function reasonOf(error: unknown): string {
  const { message, cause } = error as { message?: string; cause?: { code?: string; message?: string } }
  return cause?.code ?? cause?.message ?? message ?? String(error)
}

function rejectedOf(body: string): number {
  try {
    const { partialSuccess } = JSON.parse(body) as { partialSuccess?: { rejectedSpans?: number | string } }
    return Number(partialSuccess?.rejectedSpans ?? 0) || 0
  } catch {
    return 0
  }
}
