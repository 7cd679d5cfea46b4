import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, test } from 'node:test'
import { pino } from 'pino'
import { FatalError } from '../../src/core/errors.ts'
import { createMetrics } from '../../src/core/registry.ts'
import { type AdminOptions, startAdmin } from '../../src/process/admin.ts'
import type { Verdict } from '../../src/process/health.ts'

const metrics = createMetrics({ processMetrics: false })
let live: Verdict = { ok: true, reasons: [] }
let status: () => unknown = () => ({ consumer: 'c' })
const options: AdminOptions = {
  host: '127.0.0.1',
  port: 0,
  metrics,
  live: () => live,
  ready: () => ({ ok: false, reasons: ['Redis is down'] }),
  status: () => status(),
  logLevel: {
    get: () => ({ code: 200, type: 'text/plain', body: 'info' }),
    put: ({ body, query, by }) => ({ code: 200, type: 'text/plain', body: `${body} ${query.get('for')} ${by}` }),
  },
  logger: pino({ level: 'silent' }),
}
const admin = await startAdmin(options)
after(() => admin.close())
const get = (path: string, init?: RequestInit) => fetch(admin.url + path, init)

test('metrics, health, readiness and status', async () => {
  metrics.counter('rows_total').add(7)
  const scraped = await get('/metrics?x=1')
  assert.match(scraped.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/)
  assert.match(await scraped.text(), /^millrace_rows_total 7$/m)

  assert.equal((await get('/healthz')).status, 200)
  live = { ok: false, reasons: ['nothing has moved'] }
  const sick = await get('/healthz')
  assert.deepEqual([sick.status, await sick.json()], [503, { ok: false, reasons: ['nothing has moved'] }])
  const ready = await get('/readyz')
  assert.deepEqual([ready.status, await ready.json()], [503, { ok: false, reasons: ['Redis is down'] }])
  assert.deepEqual(await (await get('/status.json')).json(), { consumer: 'c' })
})

test('HEAD has the length and no body; other paths and methods are refused in JSON', async () => {
  const head = await get('/status.json', { method: 'HEAD' })
  assert.deepEqual([head.status, head.headers.get('content-length'), await head.text()], [200, '17', ''])
  for (const path of ['/', '/constructor', '/metrics/', '/%2e%2e']) {
    const missing = await get(path)
    assert.equal(missing.status, 404)
    assert.deepEqual(((await missing.json()) as { paths: string[] }).paths[0], '/metrics')
  }
  const posted = await get('/metrics', { method: 'POST', body: 'x'.repeat(100_000) })
  assert.deepEqual([posted.status, posted.headers.get('allow')], [405, 'GET, HEAD'])
})

test('the log level may be put, and nothing else; a long body is refused', async () => {
  assert.equal(await (await get('/log-level')).text(), 'info')
  const put = await get('/log-level?for=5m', { method: 'PUT', body: 'debug' })
  assert.match(await put.text(), /^debug 5m (::ffff:)?127\.0\.0\.1:\d+$/)
  assert.equal((await get('/log-level', { method: 'PUT', body: 'x'.repeat(100_000) })).status, 413)
  const posted = await get('/log-level', { method: 'POST', body: 'debug' })
  assert.deepEqual([posted.status, posted.headers.get('allow')], [405, 'GET, HEAD, PUT'])
  assert.equal((await get('/metrics', { method: 'PUT', body: 'debug' })).status, 405)
  assert.equal((await get('/log-level', { method: 'OPTIONS' })).status, 405)
})

test('an answer that throws is a 500, and the server goes on', async () => {
  status = () => assert.fail('broken')
  assert.equal((await get('/status.json')).status, 500)
  status = () => ({})
  assert.equal((await get('/status.json')).status, 200)
})

test('a taken port is said in one line', async () => {
  await assert.rejects(startAdmin({ ...options, port: admin.port }), (error) => {
    assert(error instanceof FatalError)
    assert.equal(error.code, 'PORT_BUSY')
    assert.match(error.remedy, /MILLRACE_ADMIN_PORT/)
    return true
  })
  await assert.rejects(startAdmin({ ...options, host: '203.0.113.1' }), { code: 'SETTINGS_INVALID' })
})

test('closing does not wait for connections that are kept open', async () => {
  const other = await startAdmin(options)
  const socket = connect(other.port, '127.0.0.1')
  await once(socket, 'connect')
  const closed = once(socket, 'close')
  await other.close()
  await closed
})

test('with a page, people are answered too', async () => {
  const page = { '/': () => ({ code: 200, type: 'text/html', body: '<p>', headers: { 'x-frame': 'none' } }) }
  const other = await startAdmin({ ...options, page })
  const answer = await fetch(other.url)
  assert.deepEqual([answer.status, answer.headers.get('x-frame'), await answer.text()], [200, 'none', '<p>'])
  await other.close()
})
