/** What every request goes through: the token, the document, checks, limits, and problems in one form. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Validator } from '@seriousme/openapi-schema-validator'
import { z } from 'zod'
import { codes } from '../../src/core/errors.ts'
import { debugRoutes } from '../../src/gateway/debug-routes.ts'
import { openApi } from '../../src/gateway/openapi.ts'
import { type Route, route } from '../../src/gateway/route.ts'
import { prefix } from '../../src/gateway/server.ts'
import { stateRoutes } from '../../src/gateway/state-routes.ts'
import { type Heard, keep, openWorld, token } from './world.ts'

const none = {} as never
const others: readonly Route[] = [
  ...stateRoutes({ settings: none, loadConsumer: none, actor: 'a@b', now: none }),
  ...debugRoutes({ settings: none, loadConsumer: none, pool: none, newId: none, now: none }),
]

const slow = route({
  method: 'GET',
  path: '/slow',
  id: 'slow',
  tag: 'test',
  summary: 'Never answers',
  answers: { 200: { description: 'Never.', schema: z.object({}) } },
  handle: () => new Promise(() => {}),
})
const broken = route({
  method: 'POST',
  path: '/broken',
  id: 'broken',
  tag: 'test',
  summary: 'Fails',
  body: z.strictObject({}),
  answers: { 200: { description: 'Never.' } },
  handle: () => Promise.reject(new TypeError('the password is 12345')),
})

function isProblem({ status, body, headers }: Heard, wanted: number, code: string): void {
  assert.equal(status, wanted, JSON.stringify(body))
  assert.match(String(headers['content-type']), /^application\/problem\+json/)
  assert.equal(body.status, wanted)
  assert.equal(body.code, code)
  assert.equal(body.title, codes[code as keyof typeof codes])
  assert.match(body.detail, /\.$/)
}

test('the document is valid OpenAPI 3.1, names each operation once, and is served to anybody', async () => {
  const world = openWorld(keep(), { more: others })
  const { payload, statusCode } = await world.app.inject({ url: `${prefix}/openapi.json` })
  assert.equal(statusCode, 200)
  const document = JSON.parse(payload)
  const found = await new Validator().validate(document)
  assert.deepEqual([found.valid, found.errors], [true, undefined])
  assert.equal(document.openapi, '3.1.0')
  const operations = Object.entries(document.paths as Record<string, Record<string, { operationId: string }>>)
  const ids = operations.flatMap(([, methods]) => Object.values(methods).map(({ operationId }) => operationId))
  assert.equal(new Set(ids).size, ids.length)
  const faces = ['replay', 'reconstruct-state', 'timeline', 'offsets/{topic}', 'offsets', 'snapshot', 'restore']
  for (const face of [...faces, 'debug-session', 'controlled-replay'])
    assert.ok(`${prefix}/${face}` in document.paths, face)
  await world.stop()
})

test('a document that is wrong is found wrong', async () => {
  const bad = structuredClone(openApi(others, prefix, '1')) as { paths: Record<string, Record<string, unknown>> }
  const [first] = Object.values(bad.paths)
  if (first !== undefined) first.post = { responses: 'none' }
  assert.equal((await new Validator().validate(bad)).valid, false)
})

test('without the token nothing is told but the document, the page and that it lives', async () => {
  const world = openWorld(keep())
  for (const authorization of [undefined, 'Bearer', 'Bearer wrong', `Basic ${token}`, `Bearer ${token}x`]) {
    const headers = authorization === undefined ? {} : { authorization }
    for (const url of [`${prefix}/replay`, `${prefix}/nothing`, '/api/v2']) {
      const { statusCode, headers: got, payload } = await world.app.inject({ url, headers })
      assert.equal(statusCode, 401, `${url} ${authorization}`)
      assert.match(String(got['www-authenticate']), /^Bearer/)
      assert.equal(JSON.parse(payload).code, 'TOKEN_WRONG')
    }
  }
  for (const url of ['/', '/healthz', `${prefix}/openapi.json`])
    assert.equal((await world.app.inject({ url })).statusCode, 200)
  assert.equal((await world.get('/replay')).status, 200)
  await world.stop()
})

test('what is not there, and what a path does not take', async () => {
  const world = openWorld(keep())
  isProblem(await world.get('/nothing'), 404, 'REQUEST_UNKNOWN')
  isProblem(await world.get('/replay/r-9'), 404, 'REPLAY_UNKNOWN')
  const wrong = await world.delete('/replay')
  isProblem(wrong, 405, 'REQUEST_UNKNOWN')
  assert.deepEqual(String(wrong.headers.allow).split(', ').sort(), ['GET', 'POST'])
  isProblem(await world.get('/replay/%zz'), 400, 'REQUEST_INVALID')
  await world.stop()
})

test('what does not fit the document is refused, with the place of each fault', async () => {
  const world = openWorld(keep())
  const json = { 'content-type': 'application/json' }
  const target = { kind: 'redis', stream: 'replay:a' }
  isProblem(await world.post('/replay', '{"a":', json), 400, 'REQUEST_INVALID')
  isProblem(await world.post('/replay', '{"__proto__":{}}', json), 400, 'REQUEST_INVALID')
  isProblem(await world.post('/replay', undefined), 400, 'REQUEST_INVALID')
  isProblem(await world.post('/replay', 'text', { 'content-type': 'text/plain' }), 415, 'REQUEST_INVALID')
  isProblem(await world.post('/replay', { target, jsonpath: 'x'.repeat(5000) }), 413, 'REQUEST_LIMIT')
  for (const [body, at] of [
    [{}, 'body.target'],
    [{ target, speed: 0 }, 'body.speed'],
    [{ target, speed: '10x' }, 'body.speed'],
    [{ target, rate: -1 }, 'body.rate'],
    [{ target, from: 'yesterday' }, 'body.from'],
    [{ target, from: '2026-02-30T00:00:00Z' }, 'body.from'],
    [{ target, types: ['a\0b'] }, 'body.types.0'],
    [{ target, types: ['\ud800'] }, 'body.types.0'],
    [{ target: { kind: 'stdout' } }, 'body.target.kind'],
    [{ target, id: 'No Such' }, 'body.id'],
    [{ target, spede: 1 }, 'body'],
  ] as const) {
    const heard = await world.post('/replay', body)
    isProblem(heard, 400, 'REQUEST_INVALID')
    assert.equal(heard.body.errors[0].at, at, JSON.stringify(body))
  }
  // What schemas cannot say: the words of the command line.
  const swapped = { target, from: '2026-11-21T10:00:00Z', to: '2026-11-21T09:00:00Z' }
  isProblem(await world.post('/replay', swapped), 400, 'USAGE')
  isProblem(await world.post('/replay', { target: { kind: 'redis', stream: 'events:cloud:{1}' } }), 400, 'USAGE')
  isProblem(await world.post('/replay', { target: { kind: 'redis', stream: 'replay:full' } }), 507, 'REDIS_FULL')
  for (const path of ['/etc/passwd', '../x', 'a/../../x', '', '.'])
    assert.equal((await world.post('/replay', { target: { kind: 'file', path } })).status, 400, path)
  for (const query of [
    'limit=0',
    'limit=x',
    'limit=1&limit=2',
    'after=x',
    'after=0000-00-00T00:00:00.000000Z,a',
    'page=2',
  ])
    isProblem(await world.get(`/replay?${query}`), 400, 'REQUEST_INVALID')
  assert.deepEqual((await world.get('/replay')).body.items, [])
  assert.deepEqual(world.faults, [])
  await world.stop()
})

test('a request has its time, and a fault of ours tells nothing of itself', async () => {
  const world = openWorld(keep(), { timeoutMs: 50, more: [slow, broken] })
  isProblem(await world.get('/slow'), 504, 'REQUEST_TIMEOUT')
  const heard = await world.post('/broken', {})
  isProblem(heard, 500, 'BUG')
  assert.doesNotMatch(JSON.stringify(heard.body), /12345/)
  assert.equal((world.faults[0] as Error).message, 'the password is 12345')
  await world.stop()
})

test('a server that stops ends what is under way', async () => {
  const world = openWorld(keep(), { more: [slow] })
  const waiting = world.get('/slow')
  await new Promise(setImmediate)
  await Promise.all([world.stop(), waiting.then((heard) => isProblem(heard, 503, 'REQUEST_LIMIT'))])
})

test('the page holds no token and runs its own script alone', async () => {
  const world = openWorld(keep())
  const { payload, headers } = await world.app.inject({ url: '/' })
  assert.doesNotMatch(payload, new RegExp(token))
  assert.match(String(headers['content-security-policy']), /default-src 'none'.*script-src 'sha256-/)
  assert.doesNotMatch(payload, /https?:\/\/\w|<script src|<link rel="stylesheet"/)
  await world.stop()
})
