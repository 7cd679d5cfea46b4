/**
 * Serves a table of routes over HTTP: lets in who bears the token, checks what is asked against the row's schemas, gives it a time, and answers in JSON or
 * with a problem. Knows neither replays nor databases.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { Readable } from 'node:stream'
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify'
import type { z } from 'zod'
import { FatalError } from '../core/errors.ts'
import { openApi } from './openapi.ts'
import { ownFault, type Problem, problemOf, RequestError } from './problem.ts'
import { type Answer, isStream, type KeyedAs, type Route } from './route.ts'

export const prefix = '/api/v1/event-replay'

/** What was answered under a key, kept: postgres-keys.ts. */
export interface Keys {
  carryOut(key: string, requestHash: string, as: KeyedAs, work: (again: boolean) => Promise<Answer>): Promise<Answer>
}

export interface ServerOptions {
  readonly routes: readonly Route[]
  readonly token: string
  readonly version: string
  readonly bodyBytesMax: number
  readonly timeoutMs: number
  readonly keys: Keys
  /** By path: what anybody may see. */
  readonly pages: Readonly<
    Record<string, { readonly headers: Readonly<Record<string, string>>; readonly body: string }>
  >
  /** Aborts when the server is to stop: what is under way ends then. */
  readonly stopped: AbortSignal
  readonly onFault: (error: unknown, what: { readonly method: string; readonly path: string }) => void
}

/** Each may have a connection to PostgreSQL of its own. */
const inFlightMax = 16
const streamsMax = 64
const connectionsMax = 200

export function createServer(options: ServerOptions): FastifyInstance {
  const { routes, token, version, bodyBytesMax, timeoutMs, keys, pages, stopped, onFault } = options
  const document = openApi(routes, prefix, version)
  const wanted = digest(token)
  let inFlight = 0
  let streams = 0
  const app = fastify({
    bodyLimit: bodyBytesMax,
    exposeHeadRoutes: false,
    forceCloseConnections: true,
    requestTimeout: 10_000,
    keepAliveTimeout: 5000,
    routerOptions: { maxParamLength: 300 },
    frameworkErrors: (error, request, reply) => void fail(error, request, reply as FastifyReply),
  })
  app.server.maxConnections = connectionsMax
  // JSON alone.
  app.removeContentTypeParser('text/plain')

  function fail(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
    const found = problemOf(ofFramework(error, bodyBytesMax))
    if (found === null || found.problem.status === 500)
      onFault(error, { method: request.method, path: pathOf(request) })
    const { problem, headers } = found ?? { problem: ownFault, headers: {} }
    void reply
      .code(problem.status)
      .headers(headers)
      .type('application/problem+json')
      .send(JSON.stringify(problem satisfies Problem))
  }

  app.setErrorHandler(fail)
  app.setNotFoundHandler((request, reply) => {
    const allowed = methodsOf(routes, pathOf(request))
    if (allowed.length === 0) return fail(unknown('There is nothing under this path.'), request, reply)
    const allow = allowed.join(', ')
    fail(unknown(`This path takes ${allow}.`, { status: 405, headers: { allow } }), request, reply)
  })

  app.addHook('onRequest', async (request, reply) => {
    reply.headers({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' })
    const path = pathOf(request)
    if (!path.startsWith('/api/') || path === `${prefix}/openapi.json`) return
    const [, given] = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '') ?? []
    if (given !== undefined && timingSafeEqual(digest(given), wanted)) return
    throw new RequestError(
      'TOKEN_WRONG',
      given === undefined ? 'The request bears no token.' : 'The token is not the one that the server has.',
      'Send Authorization: Bearer and what gatewayToken is set to.',
      { headers: { 'www-authenticate': 'Bearer realm="millrace"' } },
    )
  })

  app.get(`${prefix}/openapi.json`, async () => document)
  app.get('/healthz', async () => ({ ok: true }))
  for (const [path, { headers, body }] of Object.entries(pages))
    app.get(path, async (_, reply) => reply.headers(headers).send(body))

  for (const route of routes) {
    app.route({
      method: route.method,
      url: `${prefix}${route.path.replaceAll(/\{(\w+)\}/g, ':$1')}`,
      handler: (request, reply) => serve(route, request, reply),
    })
  }

  async function serve(route: Route, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
    if (inFlight >= inFlightMax || (route.streams === true && streams >= streamsMax))
      throw new RequestError('REQUEST_LIMIT', 'Too many requests are under way.', 'Ask again in a moment.')
    const gone = new AbortController()
    reply.raw.once('close', () => gone.abort(new Error('whoever asked has gone')))
    const ended = AbortSignal.any([gone.signal, stopped])
    const signal = AbortSignal.any([ended, AbortSignal.timeout(timeoutMs)])
    const asked = {
      params: check(route.params, request.params, 'path'),
      query: check(route.query, request.query, 'query'),
      body: check(route.body, request.body, 'body'),
      signal,
      gone: ended,
    }
    const key = keyOf(request, route)
    const work = (again: boolean) => route.handle({ ...asked, key: key ?? null, again })
    inFlight++
    try {
      const { keyed } = route
      const answering =
        key === undefined || keyed === undefined ? work(false) : keys.carryOut(key, hashOf(route, asked), keyed, work)
      const { status, body, headers = {} } = await inTime(answering, signal, stopped)
      reply.code(status).headers(headers)
      if (isStream(body)) return sendStream(body, reply)
      return body === undefined ? reply.send() : reply.type('application/json').send(JSON.stringify(body))
    } finally {
      inFlight--
    }
  }

  function sendStream(body: Readable, reply: FastifyReply): FastifyReply {
    streams++
    body.once('close', () => streams--)
    return reply.headers({ 'content-type': 'text/event-stream; charset=utf-8', 'x-accel-buffering': 'no' }).send(body)
  }

  return app
}

const digest = (text: string) => createHash('sha256').update(text).digest()

const pathOf = ({ url }: FastifyRequest): string => url.split('?', 1)[0] as string

const unknown = (what: string, more: ConstructorParameters<typeof RequestError>[3] = {}) =>
  new RequestError('REQUEST_UNKNOWN', what, `${prefix}/openapi.json tells what there is.`, more)

function methodsOf(routes: readonly Route[], path: string): string[] {
  if (path === `${prefix}/openapi.json`) return ['GET']
  return routes
    .filter((route) => new RegExp(`^${prefix}${route.path.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(path))
    .map(({ method }) => method)
}

function check(schema: z.ZodType | undefined, given: unknown, where: string): unknown {
  if (schema === undefined) return undefined
  const parsed = schema.safeParse(given)
  if (parsed.success) return parsed.data
  const errors = parsed.error.issues.map(({ path, message }) => ({
    at: [where, ...path.map(String)].join('.'),
    message,
  }))
  const [first] = errors
  throw new RequestError(
    'REQUEST_INVALID',
    `${first?.at}: ${first?.message}${errors.length > 1 ? `; and ${errors.length - 1} more` : ''}.`,
    `Correct it; ${prefix}/openapi.json tells what it takes.`,
    { errors },
  )
}

function keyOf({ headers }: FastifyRequest, { keyed }: Route): string | undefined {
  const given = headers['idempotency-key']
  if (given === undefined || keyed === undefined) return undefined
  if (typeof given === 'string' && /^[!-~]{1,200}$/.test(given)) return given
  throw new RequestError(
    'REQUEST_INVALID',
    'The Idempotency-Key is not as it has to be.',
    'Use 1 to 200 printable characters without spaces, a UUID say.',
  )
}

/** What makes two requests the same: what was understood of them, not how it was written. */
const hashOf = ({ id }: Route, { params, query, body }: { params: unknown; query: unknown; body: unknown }): string =>
  createHash('sha256')
    .update(JSON.stringify([id, params, query, body]))
    .digest('hex')

/** What goes on all the same behind the time of a request ends by its signal, or by itself. */
async function inTime<T>(work: Promise<T>, signal: AbortSignal, stopped: AbortSignal): Promise<T> {
  const over = () =>
    stopped.aborted
      ? new RequestError('REQUEST_LIMIT', 'The server stops.', 'Ask the next one.', { status: 503 })
      : new FatalError(
          'REQUEST_TIMEOUT',
          'The request took longer than it may.',
          'Ask for less, or raise gatewayTimeoutMs.',
        )
  const late = Promise.withResolvers<never>()
  const onAbort = () => late.reject(over())
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([work, late.promise])
  } catch (error) {
    throw signal.aborted ? over() : error
  } finally {
    signal.removeEventListener('abort', onAbort)
    work.catch(() => {})
  }
}

/** What the framework refuses by itself, in our words. */
function ofFramework(error: unknown, bodyBytesMax: number): unknown {
  const { code, statusCode } = error as { code?: string; statusCode?: number }
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    const what = `The body has more than ${bodyBytesMax} bytes.`
    return new RequestError('REQUEST_LIMIT', what, 'Send less, or raise gatewayBodyBytesMax.', { status: 413 })
  }
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE')
    return new RequestError('REQUEST_INVALID', 'The body is no JSON.', 'Send content-type: application/json.', {
      status: 415,
    })
  if (error instanceof Error && statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return new RequestError('REQUEST_INVALID', `${error.message.replace(/\.$/, '')}.`, 'Correct the request.')
  return error
}
