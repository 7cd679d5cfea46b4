/**
 * Answers GET over HTTP, and nothing else: what is asked for is computed when it is asked for. The admin port and the page of `npm start` are made of it.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { FatalError } from '../core/errors.ts'

export interface Answer {
  readonly code: number
  readonly type: string
  readonly body: string
  readonly headers?: Readonly<Record<string, string>>
}

export interface AnswersOptions {
  readonly host: string
  readonly port: number
  /** What the port is for, as people call it, and what to set for another one. */
  readonly name: string
  readonly portSetting: string
  readonly hostSetting: string
  /** By path. */
  readonly routes: Readonly<Record<string, () => Answer | Promise<Answer>>>
  readonly onError: (error: unknown, path: string | undefined) => void
}

export interface Answers {
  readonly url: string
  readonly port: number
  close(): Promise<void>
}

export const json = (code: number, body: unknown): Answer => ({
  code,
  type: 'application/json; charset=utf-8',
  body: `${JSON.stringify(body)}\n`,
})

export async function serveAnswers(options: AnswersOptions): Promise<Answers> {
  const { host, routes, onError } = options

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
          onError(error, request.url)
          send(request, response, json(500, { error: 'see the log' }))
        },
      )
    },
  )
  server.maxConnections = 100
  server.on('error', (error) => onError(error, undefined))
  await listen(server, options)
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

function send(request: IncomingMessage, response: ServerResponse, { code, type, body, headers }: Answer): void {
  response.writeHead(code, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    ...headers,
    ...(code === 405 && { allow: 'GET, HEAD' }),
  })
  response.end(request.method === 'HEAD' ? undefined : body)
}

function listen(server: ReturnType<typeof createServer>, options: AnswersOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException) => reject(cannotListen(error, options))
    server.once('error', onError)
    server.listen({ host: options.host, port: options.port }, () => {
      server.off('error', onError)
      resolve()
    })
  })
}

function cannotListen(
  error: NodeJS.ErrnoException,
  { host, port, name, portSetting, hostSetting }: AnswersOptions,
): FatalError {
  if (error.code === 'EADDRINUSE') {
    return new FatalError(
      'PORT_BUSY',
      `${name} ${host}:${port} is taken.`,
      `Set ${portSetting} to a free port, or to 0 for any.`,
      error,
    )
  }
  if (error.code === 'EACCES') {
    return new FatalError(
      'PORT_BUSY',
      `${name} ${host}:${port} may not be opened by this user.`,
      `Set ${portSetting} to 1024 or above.`,
      error,
    )
  }
  return new FatalError(
    'SETTINGS_INVALID',
    `${name} ${host}:${port} cannot be opened (${error.code}).`,
    `Set ${hostSetting} to an address of this machine.`,
    error,
  )
}
