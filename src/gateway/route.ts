/** One row of the server's table: what is asked for, in which form, and who answers. The server, its checks and the OpenAPI document come from the rows. */
import type { Readable } from 'node:stream'
import type { z } from 'zod'

export interface Asked<Params, Query, Body> {
  readonly params: Params
  readonly query: Query
  readonly body: Body
  /** Of a request that may come twice. */
  readonly key: string | null
  /** The server died at the same request before: it may have been carried out. */
  readonly again: boolean
  /** Aborts when the time of the request is over, when whoever asked has gone, and when the server stops. */
  readonly signal: AbortSignal
  /** Aborts only when whoever asked has gone or the server stops: of a stream, which has no time of its own. */
  readonly gone: AbortSignal
}

export interface Answer {
  readonly status: number
  /** Undefined: there is nothing to say. A stream: server-sent events. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

export interface Route {
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** Behind the prefix; a part in braces is a parameter. */
  readonly path: string
  readonly id: string
  readonly tag: string
  readonly summary: string
  readonly description?: string
  readonly params?: z.ZodType
  readonly query?: z.ZodType
  readonly body?: z.ZodType
  readonly answers: Readonly<Record<number, { readonly description: string; readonly schema?: z.ZodType }>>
  /** Of the answers that are no success, besides those that any request may get. */
  readonly problems?: readonly number[]
  /** Takes an Idempotency-Key. */
  readonly keyed?: KeyedAs
  readonly streams?: boolean
  readonly handle: (asked: Asked<unknown, unknown, unknown>) => Promise<Answer>
}

/** What becomes of a request whose first sending died with the server: `again` where doing it twice is doing it once, `doubt` where nobody can tell. */
export type KeyedAs = 'again' | 'doubt'

type Parsed<T> = T extends z.ZodType ? z.output<T> : undefined

type RouteOf<P, Q, B> = Omit<Route, 'params' | 'query' | 'body' | 'handle'> & {
  readonly params?: P
  readonly query?: Q
  readonly body?: B
  readonly handle: (asked: Asked<Parsed<P>, Parsed<Q>, Parsed<B>>) => Promise<Answer>
}

/** A row whose handler knows what its schemas let through. */
export const route = <
  P extends z.ZodType | undefined = undefined,
  Q extends z.ZodType | undefined = undefined,
  B extends z.ZodType | undefined = undefined,
>(
  row: RouteOf<P, Q, B>,
): Route => row as unknown as Route

export const isStream = (body: unknown): body is Readable =>
  typeof (body as { pipe?: unknown } | undefined)?.pipe === 'function'
