/**
 * Answers GET over HTTP, and PUT where a path takes one: what is asked for is computed when it is asked for. The admin port and the page of `npm start`
 * are made of it.
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

/** What somebody wants changed. */
export interface Asked {
  readonly body: string
  readonly query: URLSearchParams
  /** Address and port of whoever asks, as far as this machine sees. */
  readonly by: string
}

export type Get = () => Answer | Promise<Answer>

export interface AnswersOptions {
  readonly host: string
  readonly port: number
  /** What the port is for, as people call it, and what to set for another one. */
  readonly name: string
  readonly portSetting: string
  readonly hostSetting: string
  /** By path. */
  readonly routes: Readonly<Record<string, Get>>
  /**
   * By path, which is also one of `routes`. PUT and not POST: a page of another site cannot make a browser send it without asking first, and nobody
   * here answers that question.
   */
  readonly puts?: Readonly<Record<string, (asked: Asked) => Answer>>
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

const putBytesMax = 1024

export async function serveAnswers(options: AnswersOptions): Promise<Answers> {
  const { host, routes, puts = {}, onError } = options

  async function answer(request: IncomingMessage): Promise<Answer> {
    const [path = '/', query = ''] = (request.url ?? '/').split('?', 2)
    const route = Object.hasOwn(routes, path) ? routes[path] : undefined
    const put = Object.hasOwn(puts, path) ? puts[path] : undefined
    if (request.method === 'PUT' && put !== undefined) {
      const body = await bodyOf(request, putBytesMax)
      if (body === null) return json(413, { error: `more than ${putBytesMax} bytes` })
      const { remoteAddress, remotePort } = request.socket
      return put({ body, query: new URLSearchParams(query), by: `${remoteAddress}:${remotePort}` })
    }
    request.resume()
    if (route === undefined) return json(404, { error: 'not found', paths: Object.keys(routes) })
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      const allow = put === undefined ? 'GET, HEAD' : 'GET, HEAD, PUT'
      return { ...json(405, { error: `only ${allow}` }), headers: { allow } }
    }
    return route()
  }

  const server = createServer(
    { requestTimeout: 10_000, headersTimeout: 5000, keepAliveTimeout: 5000 },
    (request, response) => {
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

/** null: it is too long; what comes of it still is not kept. */
export async function bodyOf(request: IncomingMessage, bytesMax: number): Promise<string | null> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.length
    if (bytes <= bytesMax) parts.push(part)
  }
  return bytes > bytesMax ? null : Buffer.concat(parts).toString('utf8')
}

function send(request: IncomingMessage, response: ServerResponse, { code, type, body, headers }: Answer): void {
  response.writeHead(code, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    ...headers,
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
