/** The server on a real PostgreSQL: jobs, keys and sessions as they are kept, ends of every kind, and state at a time through its network face. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import consumer from '../../consumers/cloud-events.ts'
import { partitionName } from '../../src/core/day.ts'
import { endWatchdog } from '../e2e/replica.ts'
import { until } from '../e2e/until.ts'
import { useServer } from '../schema/database.ts'
import { late, orderRows, today, worldOf } from '../state/world.ts'
import { type Serving, startServing } from './serving.ts'

const server = useServer()
after(endWatchdog)
const events = 3000

async function ground(t: TestContext) {
  const world = await worldOf(await server.database())
  // Below the ledger's marks everything is a row.
  await world.session.query(
    `insert into ledger (consumer, topic, partition, start_offset, next_offset)
     select 'cloud-events', $1, partition, 0, 1000000 from unnest('{0,3}'::int[]) as partition`,
    [consumer.topic],
  )
  const directory = mkdtempSync(join(tmpdir(), 'millrace-gateway-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  const env = { ...world.env, MILLRACE_GATEWAY_DIRECTORY: directory }
  const open = async (more = {}) => {
    const serving = await startServing({ ...env, ...more })
    t.after(() => serving.end('SIGKILL'))
    return serving
  }
  const lines = (name: string) => readFileSync(join(directory, name), 'utf8').split('\n').slice(0, -1)
  const ids = (name: string) => lines(name).map((line) => JSON.parse(line).id as string)
  return { ...world, directory, open, lines, ids }
}

const ended = (serving: Serving, id: string, state: string) =>
  until(`${id} to be ${state}`, 60_000, async () => {
    const { body } = await serving.get(`/replay/${id}`)
    assert.ok(state === 'failed' || body.state !== 'failed', body.failure)
    return body.state === state ? body : null
  })

const file = (path: string, more = {}) => ({ source: 'postgres', target: { kind: 'file', path }, ...more })

test('a replay into a file: begun, listened to, listed; each event once', async (t) => {
  const { fill, open, ids, directory } = await ground(t)
  await fill(today, events)
  const serving = await open()
  const estimate = await serving.post('/replay/estimate', { source: 'postgres', types: ['no.such'] })
  assert.match(estimate.body.warnings[0], /No stored event has the type 'no.such'/)
  const { status, body } = await serving.post('/replay', file('all.jsonl', { rate: 'max' }))
  assert.equal(status, 201)
  const heard = await serving.listen(`/replay/${body.id}/progress`)
  assert.deepEqual([heard.at(-1)?.event, heard.at(-1)?.data.state, heard.at(-1)?.data.events], ['end', 'done', events])
  assert.equal(new Set(ids('all.jsonl')).size, events)
  assert.equal(ids('all.jsonl').length, events)
  const { items } = (await serving.get('/replay?limit=1')).body
  assert.deepEqual([items.length, items[0].id, items[0].request.target.path], [1, body.id, 'all.jsonl'])
  // A file of that name is there by now: told before anything happens, and nothing of it is left.
  const again = await serving.post('/replay', file('all.jsonl', { id: 'again' }))
  assert.equal(again.status, 409, JSON.stringify(again.body))
  assert.equal((await serving.get('/replay/again')).status, 404)
  assert.ok(!existsSync(join(directory, 'all.jsonl.part')))
  // A day of the live table is no table of its own, however empty.
  const day = { kind: 'table', table: partitionName('cloud_events', today - 1) }
  assert.equal((await serving.post('/replay', { source: 'postgres', target: day })).body.code, 'REPLAY_TARGET')
  assert.equal(await serving.end('SIGTERM'), 0)
})

for (const how of ['SIGINT', 'SIGTERM', 'SIGKILL'] as const) {
  test(`${how} in the middle of two replays, one of them paused: the next server goes on with both as they stood`, async (t) => {
    const { fill, open, ids, session } = await ground(t)
    await fill(today, events)
    const first = await open()
    await first.post('/replay', file('going.jsonl', { id: 'going', rate: events / 4 }))
    await first.post('/controlled-replay', file('still.jsonl', { id: 'still', speed: 'max', rate: 'max' }))
    await first.post('/controlled-replay/still', { action: 'step', count: 10 })
    await until('both to be noted on their way', 30_000, async () => {
      const { rows } = await session.query("select id from replays where (saved->'events')::int >= 10")
      return rows.length === 2 || null
    })
    assert.equal(await first.end(how), how === 'SIGKILL' ? null : 0)
    const { rows: left } = await session.query('select state from replays order by id')
    const state = how === 'SIGKILL' ? 'running' : 'stopped'
    assert.deepEqual(
      left.map((row) => row.state),
      [state, state],
    )

    const second = await open()
    await ended(second, 'going', 'done')
    const still = await ended(second, 'still', 'paused')
    assert.equal(still.events, 10)
    await second.post('/controlled-replay/still', { action: 'resume' })
    await ended(second, 'still', 'done')
    for (const name of ['going.jsonl', 'still.jsonl']) {
      const found = ids(name)
      assert.deepEqual([found.length, new Set(found).size], [events, events], name)
    }
    assert.equal(await second.end('SIGTERM'), 0)
  })
}

test('of two servers one runs a job; when it dies the other takes it up', async (t) => {
  const { fill, open, ids } = await ground(t)
  await fill(today, events)
  const [first, second] = [await open(), await open()]
  await first.post('/replay', file('two.jsonl', { id: 'two', rate: events / 6 }))
  assert.equal((await second.get('/replay/two')).body.state, 'waiting')
  assert.equal((await second.post('/controlled-replay/two', { action: 'step' })).status, 409)
  await first.end('SIGKILL')
  await ended(second, 'two', 'done')
  assert.deepEqual([ids('two.jsonl').length, new Set(ids('two.jsonl')).size], [events, events])
})

test('a request under a key', async (t) => {
  const { fill, open, session } = await ground(t)
  await fill(today, 10)
  const serving = await open()
  const key = { 'idempotency-key': randomUUID() }
  // Twelve at a time: more than there are connections for keys.
  const all = await Promise.all(
    Array.from({ length: 12 }, () => serving.post('/replay', file('once.jsonl', { rate: 'max' }), key)),
  )
  const statuses = all.map(({ status }) => status)
  assert.ok(statuses.includes(201))
  for (const { status, body } of all)
    assert.ok(status === 201 || body.code === 'REQUEST_REPEATED', JSON.stringify(body))
  const { rows } = await session.query('select count(*)::int as n from gateway_jobs')
  assert.equal(rows[0].n, 1)
  const other = await serving.post('/replay', file('other.jsonl'), key)
  assert.deepEqual([other.status, other.body.code], [422, 'REQUEST_REPEATED'])
  // The server died at it. A replay is looked for; where a group was taken back nobody can tell.
  await session.query('update gateway_requests set status = null, body = null')
  const found = await serving.post('/replay', file('once.jsonl', { rate: 'max' }), key)
  assert.equal(found.body.id, all.find(({ status }) => status === 201)?.body.id)
  const restore = { kind: 'state', subject: 'ord_1' }
  const doubted = { 'idempotency-key': randomUUID() }
  assert.equal((await serving.post('/restore', restore, doubted)).status, 404)
  assert.equal((await session.query('select from gateway_requests')).rows.length, 1, 'refused is not kept')
})

test('state, timeline, snapshots and their restoring', async (t) => {
  const { put, open, seal } = await ground(t)
  await put(orderRows)
  await seal(today - 2)
  const serving = await open()
  const subject = 'ord_1'
  const at = '2026-11-20T12:00:00Z'
  const then = await serving.post('/reconstruct-state', { subject, at: '2026-11-19T11:00:00Z' })
  assert.deepEqual([then.body.state.status, then.body.state.amount, then.body.events], ['open', 12.5, 1])
  const since = await serving.post('/reconstruct-state', {
    subject,
    from: '2026-11-20T12:00:00Z',
    at: '2026-11-21T09:00:00Z',
  })
  assert.deepEqual([since.body.before.status, since.body.after.status], ['open', 'fulfilled'])
  const pages: string[] = []
  for (let next: string | null = ''; next !== null; ) {
    const more = next === '' ? '' : `&after=${encodeURIComponent(next)}`
    const { body } = await serving.get(
      `/timeline?subject=${subject}&limit=3&to=2026-11-21T09:00:00Z&states=true${more}`,
    )
    pages.push(body.items.map(({ event }: { event: { id: string } }) => event.id).join())
    next = body.next
  }
  assert.deepEqual(pages, ['e1,e2,e3', 'e4'])
  const made = await serving.post('/snapshot', { kind: 'state', subjects: [subject], at })
  assert.deepEqual([made.status, made.body.items[0].events], [201, 3])
  assert.equal((await serving.get('/snapshot?check=true')).body.items[0].verdict, 'right')
  assert.equal((await serving.post('/restore', { kind: 'state', subject, check: true })).body.state.amount, 14)
  await put([late])
  assert.equal((await serving.post('/restore', { kind: 'state', subject })).body.code, 'SNAPSHOT_MISSING')
  for (const [status, code, body] of [
    [404, 'SUBJECT_UNKNOWN', { subject: 'ord_9' }],
    [410, 'HISTORY_EXPIRED', { subject, at: '2026-10-01T00:00:00Z' }],
    [400, 'USAGE', { subject, at: '2099-01-01T00:00:00Z' }],
    [400, 'REQUEST_INVALID', { subject: '' }],
    [422, 'REDUCER_UNKNOWN', { subject: 'zebra' }],
    [422, 'REDUCER_UNKNOWN', { subject, reducer: 'zebra' }],
    [422, 'CONSUMER_UNKNOWN', { subject, consumer: 'zebra' }],
  ] as const) {
    const heard = await serving.post('/reconstruct-state', body)
    assert.deepEqual([heard.status, heard.body.code], [status, code], JSON.stringify(heard.body))
  }
})

test('a debug session', async (t) => {
  const { put, open } = await ground(t)
  await put(orderRows)
  const serving = await open()
  const to = '2026-11-21T09:00:00Z'
  const opened = await serving.post('/debug-session', { subject: 'ord_1', to, breakpoints: ['after.status changes'] })
  assert.deepEqual([opened.status, opened.body.position], [201, 0])
  const { id } = opened.body
  const move = async (body: object) => (await serving.post(`/debug-session/${id}`, body)).body
  assert.deepEqual(
    [(await move({ action: 'step' })).event.id, (await move({ action: 'step', count: 2 })).event.id],
    ['e1', 'e3'],
  )
  assert.equal((await move({ action: 'back' })).event.id, 'e2')
  const hit = await move({ action: 'run' })
  assert.deepEqual(
    [hit.event.id, hit.hit, hit.before.status, hit.after.status, hit.atEnd],
    ['e4', 'after.status changes', 'open', 'fulfilled', true],
  )
  assert.equal((await move({ action: 'toggle', breakpoint: 'no such thing' })).code, 'USAGE')
  assert.equal((await serving.get('/debug-session')).body.items[0].id, id)
  assert.equal((await serving.call('DELETE', `/debug-session/${id}`)).status, 204)
  assert.equal((await serving.get(`/debug-session/${id}`)).body.code, 'DEBUG_UNKNOWN')
  assert.equal((await serving.post('/debug-session', {})).body.code, 'USAGE')
})

test('servers that are away are 503, each by its name', async (t) => {
  const { fill, open } = await ground(t)
  await fill(today, 10)
  const serving = await open({ MILLRACE_CONNECT_TIMEOUT_MS: '500' })
  const kafka = await serving.get('/offsets')
  assert.deepEqual([kafka.status, kafka.body.code], [503, 'KAFKA_UNREACHABLE'])
  assert.equal(kafka.headers['retry-after'], '2')
  const redis = await serving.post('/replay', { source: 'postgres', target: { kind: 'redis', stream: 'replay:x' } })
  assert.deepEqual([redis.status, redis.body.code], [422, 'SETTINGS_INVALID'], 'there is no Redis in the settings')
})
