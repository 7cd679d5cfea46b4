/**
 * Whatever is sent, as the document has it or nearly so: never a fault of the server, never a status that the document does not know, always a problem
 * with a code where it is refused.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { codes, FatalError } from '../../src/core/errors.ts'
import { debugRoutes } from '../../src/gateway/debug-routes.ts'
import { prefix } from '../../src/gateway/server.ts'
import { stateRoutes } from '../../src/gateway/state-routes.ts'
import { keep, openWorld, token } from './world.ts'

interface Schema {
  readonly type?: string | readonly string[]
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly anyOf?: readonly Schema[]
  readonly oneOf?: readonly Schema[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly items?: Schema
  readonly pattern?: string
  readonly format?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly maxLength?: number
}
interface Operation {
  readonly parameters: readonly { name: string; in: string; required: boolean; schema: Schema }[]
  readonly requestBody?: { readonly content: Record<string, { schema: Schema }> }
  readonly responses: Record<string, unknown>
}

/** What goes through more than the schema: most of the time it is this. */
const sensible: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  id: fc.nat(10_000).map((number) => `r-${number}`),
  stream: fc.nat(100).map((number) => `replay:${number}`),
  table: fc.constant('shadow'),
  topic: fc.constant('again'),
  url: fc.constant('http://127.0.0.1:1/'),
  path: fc.constant('x/y.jsonl'),
  consumer: fc.constant('cloud-events'),
  reducer: fc.constant('order'),
  from: fc.constant('2026-11-20T00:00:00Z'),
  to: fc.constant('2026-11-21T00:00:00Z'),
  offsets: fc.constant([]),
  keys: fc.constant([]),
}

/** What the schema lets through, mostly; patterns by examples, since what matches one is no business of this test. */
function valid(schema: Schema): fc.Arbitrary<unknown> {
  if (schema.const !== undefined) return fc.constant(schema.const)
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum)
  const choices = schema.anyOf ?? schema.oneOf
  if (choices !== undefined) return fc.oneof(...choices.map(valid))
  if (schema.format === 'date-time')
    return fc.constantFrom(
      '2026-11-21T09:30:00Z',
      '2026-11-21T09:30:00.123456+02:00',
      '1969-12-31T23:59:59Z',
      '9999-12-31T23:59:59Z',
    )
  switch (schema.type) {
    case 'object': {
      const { properties = {}, required = [] } = schema
      const shapes = Object.fromEntries(Object.entries(properties).map(([name, one]) => [name, member(name, one)]))
      return fc.record(shapes, { requiredKeys: [...required] })
    }
    case 'array':
      return fc.array(valid(schema.items ?? {}), { maxLength: 3 })
    case 'integer':
      return fc.integer({ min: schema.minimum ?? -10, max: Math.min(schema.maximum ?? 10_000, 2 ** 31 - 1) })
    case 'number':
      return fc.double({ min: 0.001, max: 1e6, noNaN: true })
    case 'boolean':
      return fc.boolean()
    case 'null':
      return fc.constant(null)
    default:
      return fc.constantFrom(
        'a',
        'r-1',
        'replay:a',
        'ord_1',
        'cloud-events',
        'com.bss.order.*',
        '$.amount > 1',
        'http://127.0.0.1:1/',
        'x/../y',
        'é',
        '1,2',
      )
  }
}

function member(name: string, schema: Schema): fc.Arbitrary<unknown> {
  const usual = sensible[name]
  const any = valid(schema)
  return usual === undefined ? any : fc.oneof({ weight: 9, arbitrary: usual }, { weight: 1, arbitrary: any })
}

/** As it is, with one thing put in the place of another, or anything at all. */
const nearly = (schema: Schema): fc.Arbitrary<unknown> =>
  fc.oneof(
    { weight: 5, arbitrary: valid(schema) },
    {
      weight: 3,
      arbitrary: fc.tuple(valid(schema), fc.string({ maxLength: 8 }), fc.jsonValue()).map(([value, name, other]) => {
        if (value === null || typeof value !== 'object' || Array.isArray(value)) return other
        const keys = Object.keys(value)
        const at = keys[name.length % Math.max(1, keys.length)] ?? name
        return { ...value, [name.length % 2 === 0 ? at : name]: other }
      }),
    },
    { weight: 1, arbitrary: fc.jsonValue() },
  )

test('anything, to every path by every method', async () => {
  const unknown = () => Promise.reject(new FatalError('CONSUMER_UNKNOWN', 'There is no such consumer.', 'Look.'))
  const some = {} as never
  const more = [
    ...stateRoutes({ settings: some, loadConsumer: unknown, actor: 'a@b', now: () => 0 }),
    ...debugRoutes({ settings: some, loadConsumer: unknown, pool: some, newId: () => 'd', now: () => 0 }),
  ]
  const world = openWorld(keep(), { more, replaysMax: 1000 })
  const { payload } = await world.app.inject({ url: `${prefix}/openapi.json` })
  const { paths } = JSON.parse(payload) as { paths: Record<string, Record<string, Operation>> }
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
  )
  const seen = new Map<number, number>()
  const requests = fc.nat(operations.length - 1).chain((index) => {
    const one = operations[index] as (typeof operations)[number]
    const { parameters, requestBody } = one.operation
    const named = (where: string) =>
      fc.record(
        Object.fromEntries(
          parameters
            .filter((parameter) => parameter.in === where)
            .map(({ name, schema }) => [
              name,
              nearly(schema).map((value) => (typeof value === 'string' ? value : JSON.stringify(value))),
            ]),
        ),
        {
          requiredKeys: parameters
            .filter((parameter) => parameter.in === where && parameter.required)
            .map(({ name }) => name),
        },
      )
    const body = requestBody?.content['application/json']?.schema
    return fc.record({
      index: fc.constant(index),
      path: named('path'),
      query: named('query'),
      body: body === undefined ? fc.constant(undefined) : nearly(body),
    })
  })
  await fc.assert(
    fc.asyncProperty(requests, async ({ index, path, query, body }) => {
      const one = operations[index] as (typeof operations)[number]
      const at = one.path.replaceAll(/\{(\w+)\}/g, (_, name: string) =>
        encodeURIComponent(String((path as Record<string, unknown>)[name])),
      )
      const asked = new URLSearchParams(query as Record<string, string>).toString()
      const isStream = at.endsWith('/progress')
      const answer = await world.app
        .inject({
          method: one.method as 'GET',
          url: `${at}${asked === '' ? '' : `?${asked}`}`,
          headers: {
            authorization: `Bearer ${token}`,
            ...(body !== undefined && { 'content-type': 'application/json' }),
          },
          ...(body !== undefined && { payload: JSON.stringify(body) }),
          // What stands still tells of itself for ever.
          ...(isStream && { signal: AbortSignal.timeout(20) }),
        })
        .catch((error: Error) => {
          if (isStream) return null
          throw error
        })
      if (answer === null) return
      const { statusCode, payload: text, headers } = answer
      seen.set(statusCode, (seen.get(statusCode) ?? 0) + 1)
      assert.notEqual(statusCode, 500, text)
      // A path that a parameter has broken up is another path.
      if (statusCode !== 404 && statusCode !== 405)
        assert.ok(String(statusCode) in one.operation.responses, `${statusCode}: ${text}`)
      if (statusCode < 400) return
      assert.match(String(headers['content-type']), /^application\/problem\+json/)
      const problem = JSON.parse(text)
      assert.equal(problem.status, statusCode)
      assert.ok(problem.code in codes)
    }),
    { numRuns: 1500 },
  )
  assert.deepEqual(world.faults, [])
  for (const status of [200, 201, 400, 404, 422])
    assert.ok((seen.get(status) ?? 0) > 0, `never ${status}: ${JSON.stringify([...seen])}`)
  await world.stop()
})
