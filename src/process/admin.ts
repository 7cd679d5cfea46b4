/**
 * The admin port: metrics for Prometheus, health for the supervisor, status for the live view. Answers are computed when asked; nothing here can
 * slow the flow down by more than one scrape.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Logger } from 'pino'
import { FatalError } from '../core/errors.ts'
import type { Metrics } from '../core/metrics.ts'
import type { Verdict } from './health.ts'

export interface AdminOptions {
  readonly host: string
  readonly port: number
  readonly metrics: Pick<Metrics, 'render' | 'contentType'>
  readonly live: () => Verdict
  readonly ready: () => Verdict
  /** Anything JSON can hold: the process status (core/status.ts). */
  readonly status: () => unknown
  readonly logger: Logger
}

export interface Admin {
  readonly url: string
  readonly port: number
  close(): Promise<void>
}

interface Answer {
  readonly code: number
  readonly type: string
  readonly body: string
}

const json = (code: number, body: unknown): Answer => ({
  code,
  type: 'application/json; charset=utf-8',
  body: `${JSON.stringify(body)}\n`,
})
const health = (verdict: Verdict): Answer => json(verdict.ok ? 200 : 503, verdict)

export async function startAdmin(options: AdminOptions): Promise<Admin> {
  const { host, port, metrics, logger } = options
  const routes: Readonly<Record<string, () => Answer | Promise<Answer>>> = {
    '/metrics': async () => ({ code: 200, type: metrics.contentType, body: await metrics.render() }),
    '/healthz': () => health(options.live()),
    '/readyz': () => health(options.ready()),
    '/status.json': () => json(200, options.status()),
  }

  async function answer(request: IncomingMessage): Promise<Answer> {
    const path = (request.url ?? '/').split('?', 1)[0] as string
    const route = Object.hasOwn(routes, path) ? routes[path] : undefined
    if (route === undefined) return json(404, { error: 'not found', paths: Object.keys(routes) })
    if (request.method !== 'GET' && request.method !== 'HEAD') return json(405, { error: 'only GET and HEAD' })
    return route()
  }

  const server = createServer(
    { requestTimeout: 10_000, headersTimeout: 5000, keepAliveTimeout: 5000 },
    (request, response) => {
      request.resume()
      answer(request).then(
        (found) => send(request, response, found),
        (error: unknown) => {
          logger.error({ err: error, path: request.url }, 'an admin request failed')
          send(request, response, json(500, { error: 'see the log' }))
        },
      )
    },
  )
  server.maxConnections = 100
  server.on('error', (error) => logger.error({ err: error }, 'the admin port failed'))
  await listen(server, host, port)
  const { port: bound } = server.address() as AddressInfo
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host === '0.0.0.0' ? '127.0.0.1' : host}:${bound}`,
    port: bound,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function send(request: IncomingMessage, response: ServerResponse, { code, type, body }: Answer): void {
  response.writeHead(code, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    ...(code === 405 && { allow: 'GET, HEAD' }),
  })
  response.end(request.method === 'HEAD' ? undefined : body)
}

function listen(server: ReturnType<typeof createServer>, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException) => reject(cannotListen(error, host, port))
    server.once('error', onError)
    server.listen({ host, port }, () => {
      server.off('error', onError)
      resolve()
    })
  })
}

function cannotListen(error: NodeJS.ErrnoException, host: string, port: number): FatalError {
  if (error.code === 'EADDRINUSE') {
    return new FatalError(
      'PORT_BUSY',
      `The admin port ${host}:${port} is taken.`,
      'Set MILLRACE_ADMIN_PORT to a free port, or to 0 for any.',
      error,
    )
  }
  if (error.code === 'EACCES') {
    return new FatalError(
      'PORT_BUSY',
      `The admin port ${host}:${port} may not be opened by this user.`,
      'Set MILLRACE_ADMIN_PORT to 1024 or above.',
      error,
    )
  }
  return new FatalError(
    'SETTINGS_INVALID',
    `The admin address ${host}:${port} cannot be opened (${error.code}).`,
    'Set MILLRACE_ADMIN_HOST to an address of this machine.',
    error,
  )
}
