/** The OpenAPI 3.1 document, from the same rows and schemas that the server checks requests with: they cannot say two things. Pure. */
import { z } from 'zod'
import type { Route } from './route.ts'

type Json = Readonly<Record<string, unknown>>

function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, target: 'draft-2020-12' }) as Record<string, unknown>
  return rest
}

const problemSchema: Json = {
  type: 'object',
  required: ['type', 'title', 'status', 'detail', 'code'],
  properties: {
    type: { type: 'string' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string', description: 'What is wrong, in one sentence.' },
    code: { type: 'string', description: 'As in the table of error codes.' },
    remedy: { type: 'string', description: 'What to do, in one sentence.' },
    errors: {
      type: 'array',
      items: {
        type: 'object',
        required: ['at', 'message'],
        properties: { at: { type: 'string' }, message: { type: 'string' } },
      },
    },
  },
}

const reasons: Readonly<Record<number, string>> = {
  400: 'The request is not as it has to be.',
  401: 'No token, or a wrong one.',
  403: 'The user that this server has may not do that.',
  404: 'There is no such thing.',
  409: 'It does not go with how things are.',
  410: 'It is not kept any more.',
  413: 'The body is too large.',
  415: 'The body is no JSON.',
  422: 'What the request names does not do.',
  429: 'Too much is under way.',
  500: 'The server failed; its log says more.',
  503: 'A server behind this one does not answer.',
  504: 'It took too long.',
  507: 'A disk or a memory is full.',
}

/** Any request may get these. */
const always = [400, 401, 403, 422, 429, 500, 503, 504, 507]
const ofBodies = [413, 415]

const problemAnswer = (status: number): Json => ({
  description: reasons[status] ?? 'A problem.',
  content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
})

function parameters(schema: z.ZodType | undefined, where: 'path' | 'query'): Json[] {
  if (schema === undefined) return []
  const { properties = {}, required = [] } = jsonSchema(schema, 'input') as {
    properties?: Record<string, Json>
    required?: string[]
  }
  return Object.entries(properties).map(([name, { description, ...rest }]) => ({
    name,
    in: where,
    required: where === 'path' || required.includes(name),
    ...(description !== undefined && { description }),
    schema: rest,
  }))
}

const keyParameter: Json = {
  name: 'Idempotency-Key',
  in: 'header',
  required: false,
  description: 'The same request under the same key is carried out once, and answered as the first time; for a day.',
  schema: { type: 'string', minLength: 1, maxLength: 200, pattern: '^[!-~]+$' },
}

function operation({
  id,
  tag,
  summary,
  description,
  params,
  query,
  body,
  answers,
  problems = [],
  keyed,
  streams,
}: Route): Json {
  const successes = Object.entries(answers).map(([status, { description: says, schema }]) => [
    status,
    {
      description: says,
      ...(schema !== undefined && {
        content: {
          [streams ? 'text/event-stream' : 'application/json']: {
            schema: streams ? { type: 'string' } : jsonSchema(schema, 'output'),
          },
        },
      }),
    },
  ])
  const statuses = new Set([...always, ...(body === undefined ? [] : ofBodies), ...problems])
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description !== undefined && { description }),
    parameters: [
      ...parameters(params, 'path'),
      ...parameters(query, 'query'),
      ...(keyed === undefined ? [] : [keyParameter]),
    ],
    ...(body !== undefined && {
      requestBody: { required: true, content: { 'application/json': { schema: jsonSchema(body, 'input') } } },
    }),
    responses: Object.fromEntries([
      ...successes,
      ...[...statuses].sort((a, b) => a - b).map((status) => [String(status), problemAnswer(status)]),
    ]),
  }
}

export function openApi(routes: readonly Route[], prefix: string, version: string): Json {
  const paths: Record<string, Record<string, Json>> = {}
  for (const one of routes) {
    const path = `${prefix}${one.path}`
    paths[path] = { ...paths[path], [one.method.toLowerCase()]: operation(one) }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Millrace: replay and time travel',
      version,
      description: 'Stored events sent again, and what was known of a subject at a time.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/' }],
    security: [{ token: [] }],
    tags: [...new Set(routes.map(({ tag }) => tag))].map((name) => ({ name })),
    paths,
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      schemas: { Problem: problemSchema },
    },
  }
}
