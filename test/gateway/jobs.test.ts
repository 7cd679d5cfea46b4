/** Replays as jobs of a server: begun, steered, listed, watched; and what becomes of them when the server does not live as long as they do. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { keep, openWorld, type World } from './world.ts'

const target = { kind: 'redis', stream: 'replay:a' }
const offsets = (kept: ReturnType<typeof keep>) => kept.target.got.map(({ event }) => event.offset)
const upTo = (count: number) => Array.from({ length: count }, (_, at) => at)
const never = new AbortController().signal

async function until(world: World, id: string, state: string) {
  for (let looks = 0; looks < 200; looks++) {
    const { body } = await world.get(`/replay/${id}`)
    if (body.state === state) return body
    await sleep(5)
  }
  assert.fail(`${id} never was ${state}`)
}

test('a replay is begun, told of while it runs, and done', async () => {
  const kept = keep()
  const world = openWorld(kept)
  const begun = await world.post('/replay', { target, from: '2026-11-21T09:30:00Z', types: ['a.*'], rate: 'max' })
  assert.equal(begun.status, 201)
  const { id } = begun.body
  assert.equal(begun.headers.location, `replay/${id}`)
  assert.equal(begun.body.request.from, '2026-11-21T09:30:00.000Z')
  const done = await until(world, id, 'done')
  assert.deepEqual([done.events, done.share, done.failure], [20, 1, null])
  assert.deepEqual(offsets(kept), upTo(20))
  // Its stream says so at once, and ends.
  const { payload, headers } = await world.app.inject({
    url: `/api/v1/event-replay/replay/${id}/progress`,
    headers: { authorization: `Bearer a-token-that-is-long-enough` },
  })
  assert.match(String(headers['content-type']), /^text\/event-stream/)
  assert.match(payload, /^retry: 2000\n\nevent: end\ndata: \{"id":"r-1","state":"done"/)
  assert.equal((await world.delete(`/replay/${id}`)).status, 409)
  assert.equal((await world.post('/replay', { target, id })).status, 409)
  await world.stop()
})

test('the stream of a replay tells of each change, and of its end', async () => {
  const world = openWorld(keep(), { events: 3 })
  const { body } = await world.post('/controlled-replay', { target })
  const listening = world.app.inject({
    url: `/api/v1/event-replay/replay/${body.id}/progress`,
    headers: { authorization: `Bearer a-token-that-is-long-enough` },
  })
  await sleep(50)
  await world.post(`/controlled-replay/${body.id}`, { action: 'speed', speed: 'max' })
  await world.post(`/controlled-replay/${body.id}`, { action: 'resume' })
  const events = [...(await listening).payload.matchAll(/event: (\w+)\ndata: (.*)\n/g)]
  assert.deepEqual(
    events.map(([, name, data]) => [name, JSON.parse(data as string).state]),
    [
      ['progress', 'paused'],
      ['end', 'done'],
    ],
  )
  await world.stop()
})

test('a controlled replay stands still at its beginning, and goes as it is told', async () => {
  const kept = keep()
  const world = openWorld(kept)
  const { body } = await world.post('/controlled-replay', { target, speed: 10 })
  const steer = (command: object) => world.post(`/controlled-replay/${body.id}`, command)
  assert.deepEqual([body.state, body.request.speed], ['paused', 10])
  await sleep(20)
  assert.deepEqual(offsets(kept), [])
  assert.equal((await steer({ action: 'step' })).status, 200)
  await sleep(10)
  await steer({ action: 'step', count: 2 })
  await sleep(10)
  assert.deepEqual(offsets(kept), [0, 1, 2])
  assert.equal((await steer({ action: 'jump', to: '1970-01-01T00:00:01Z' })).status, 400)
  await steer({ action: 'jump', to: '1970-01-01T00:00:18Z' })
  const faster = await steer({ action: 'speed', speed: 'max' })
  assert.deepEqual([faster.body.state, faster.body.request.speed], ['paused', 'max'])
  await steer({ action: 'resume' })
  await until(world, body.id, 'done')
  assert.deepEqual(offsets(kept), [0, 1, 2, 17, 18, 19])
  assert.equal((await steer({ action: 'pause' })).status, 409)
  await world.stop()
})

test('cancelled is for good; stopped can be gone on with', async () => {
  const kept = keep()
  const world = openWorld(kept)
  const one = (await world.post('/controlled-replay', { target })).body.id
  assert.equal((await world.delete(`/replay/${one}`)).body.state, 'cancelled')
  assert.equal(kept.target.discarded, true)
  assert.equal((await world.post(`/controlled-replay/${one}`, { action: 'resume' })).status, 409)
  const two = (await world.post('/controlled-replay', { target })).body.id
  await world.post(`/controlled-replay/${two}`, { action: 'step', count: 5 })
  await sleep(10)
  assert.equal((await world.post(`/controlled-replay/${two}`, { action: 'stop' })).body.state, 'stopped')
  // What somebody has stopped is not taken up by itself.
  await world.jobs.takeUp(never)
  assert.equal((await world.get(`/replay/${two}`)).body.state, 'stopped')
  assert.equal((await world.post(`/controlled-replay/${two}`, { action: 'step' })).status, 409)
  await world.post(`/controlled-replay/${two}`, { action: 'speed', speed: 'max' })
  await world.post(`/controlled-replay/${two}`, { action: 'resume' })
  await until(world, two, 'done')
  assert.deepEqual(offsets(kept), upTo(20))
  await world.stop()
})

test('a server is stopped and another one goes on: nothing lost, nothing twice, what stood still stands still', async () => {
  const kept = keep()
  const first = openWorld(kept)
  const { id } = (await first.post('/controlled-replay', { target, speed: 'max' })).body
  await first.post(`/controlled-replay/${id}`, { action: 'step', count: 7 })
  await sleep(10)
  await first.stop()
  assert.equal(kept.rows.get(id)?.state, 'stopped')

  const second = openWorld(kept)
  assert.equal((await second.get(`/replay/${id}`)).body.state, 'waiting')
  await second.jobs.takeUp(never)
  await second.jobs.takeUp(never)
  assert.deepEqual(kept.begun, [id, id])
  assert.equal((await second.get(`/replay/${id}`)).body.state, 'paused')
  await sleep(20)
  assert.deepEqual(offsets(kept), upTo(7))
  await second.post(`/controlled-replay/${id}`, { action: 'resume' })
  await until(second, id, 'done')
  assert.deepEqual(offsets(kept), upTo(20))
  await second.stop()
})

test('a server dies before a replay has begun, or in the middle of it: the next one takes both up', async () => {
  const kept = keep()
  const first = openWorld(kept)
  const { id } = (await first.post('/controlled-replay', { target, speed: 'max' })).body
  await first.post(`/controlled-replay/${id}`, { action: 'step', count: 3 })
  await sleep(10)
  await first.stop()
  // As a kill leaves it: the row still says running, and nobody holds the lock.
  const row = kept.rows.get(id)
  assert.ok(row)
  row.state = 'running'
  const job = kept.jobs.get(id)
  assert.ok(job)
  kept.jobs.set(id, { ...job, wanted: 'running' })
  kept.jobs.set('r-early', {
    ...job,
    id: 'r-early',
    wanted: 'running',
    description: { ...job.description, id: 'r-early' },
  })

  const second = openWorld(kept)
  await second.jobs.takeUp(never)
  await until(second, id, 'done')
  await until(second, 'r-early', 'done')
  assert.deepEqual(kept.begun.sort(), ['r-1', 'r-1', 'r-early'])
  await second.stop()
})

test('what cannot be gone on with is told once, and what may be otherwise in a moment is tried again', async () => {
  const kept = keep()
  const world = openWorld(kept)
  const { id } = (await world.post('/controlled-replay', { target })).body
  const job = kept.jobs.get(id)
  assert.ok(job)
  const full = { ...job.description, id: 'r-full', target: { kind: 'redis', stream: 'replay:full' } as const }
  kept.jobs.set('r-full', { ...job, id: 'r-full', wanted: 'running', description: full })
  // Another server has this one.
  kept.jobs.set('r-there', {
    ...job,
    id: 'r-there',
    wanted: 'running',
    description: { ...job.description, id: 'r-there' },
  })
  kept.locks.add('r-there')
  await world.jobs.takeUp(never)
  await world.jobs.takeUp(never)
  const failed = (await world.get('/replay/r-full')).body
  assert.deepEqual([failed.state, world.faults.length], ['failed', 1])
  assert.match(failed.failure, /Redis is full/)
  assert.equal((await world.get('/replay/r-there')).body.state, 'waiting')
  kept.locks.delete('r-there')
  await world.jobs.takeUp(never)
  assert.notEqual((await world.get('/replay/r-there')).body.state, 'waiting')
  await world.stop()
})

test('of two servers one runs a replay; what the other is told reaches it', async () => {
  const kept = keep()
  const [first, second] = [openWorld(kept), openWorld(kept)]
  await first.post('/replay', { target, id: 'far', speed: 1 })
  await second.jobs.takeUp(never)
  const steer = (command: object) => second.post('/controlled-replay/far', command)
  for (const action of ['step', 'resume', 'jump', 'speed']) {
    const more = action === 'jump' ? { to: '1970-01-01T00:00:05Z' } : action === 'speed' ? { speed: 2 } : {}
    const { status, body } = await steer({ action, ...more })
    if (action !== 'speed') assert.deepEqual([status, body.code], [409, 'REPLAY_BUSY'], action)
  }
  assert.equal((await first.get('/replay/far')).body.state, 'running')
  assert.equal((await steer({ action: 'pause' })).status, 200)
  await first.jobs.takeUp(never)
  assert.equal((await first.get('/replay/far')).body.state, 'paused')
  await first.post('/controlled-replay/far', { action: 'resume' })
  assert.equal((await first.get('/replay/far')).body.state, 'running')
  await steer({ action: 'stop' })
  await first.jobs.takeUp(never)
  await until(first, 'far', 'stopped')
  await Promise.all([first.stop(), second.stop()])
})

test('so many replays at a time', async () => {
  const world = openWorld(keep(), { replaysMax: 2 })
  for (const id of ['a', 'b']) assert.equal((await world.post('/controlled-replay', { target, id })).status, 201)
  const refused = await world.post('/controlled-replay', { target, id: 'c' })
  assert.deepEqual([refused.status, refused.body.code], [429, 'REQUEST_LIMIT'])
  assert.equal(refused.headers['retry-after'], '2')
  assert.equal((await world.get('/replay/c')).status, 404)
  await world.delete('/replay/a')
  assert.equal((await world.post('/controlled-replay', { target, id: 'c' })).status, 201)
  await world.stop()
})

test('a request under a key is carried out once, also when the server died at it', async () => {
  const kept = keep()
  const world = openWorld(kept)
  const key = { 'idempotency-key': 'k1' }
  const first = await world.post('/controlled-replay', { target }, key)
  const second = await world.post('/controlled-replay', { target }, key)
  assert.deepEqual([first.status, second.status], [201, 201])
  assert.equal(second.body.id, first.body.id)
  assert.equal(second.headers['idempotency-replayed'], 'true')
  const request = kept.requests.get('k1')
  assert.ok(request)
  request.answer = null
  assert.equal((await world.post('/controlled-replay', { target }, key)).body.id, first.body.id)
  assert.equal(kept.begun.length, 1)
  assert.equal((await world.post('/replay', { target }, { 'idempotency-key': 'with space' })).status, 400)
  await world.stop()
})

test('a list goes by pages, newest first', async () => {
  const world = openWorld(keep(), { replaysMax: 10 })
  for (const id of ['a', 'b', 'c', 'd', 'e']) await world.post('/controlled-replay', { target, id })
  const pages: string[][] = []
  for (let next: string | null = ''; next !== null; ) {
    const { body } = await world.get(`/replay?limit=2${next === '' ? '' : `&after=${next}`}`)
    pages.push(body.items.map(({ id }: { id: string }) => id))
    next = body.next
  }
  assert.deepEqual(pages, [['e', 'd'], ['c', 'b'], ['a']])
  await world.stop()
})

test('an estimate tells what is odd, and so does a replay that is begun all the same', async () => {
  const world = openWorld(keep())
  const { status, body } = await world.post('/replay/estimate', { types: ['no.such'] })
  assert.deepEqual([status, body.events, body.warnings.length], [200, 20, 1])
  const begun = await world.post('/controlled-replay', { target, types: ['no.such'] })
  assert.deepEqual([begun.status, begun.body.warnings.length], [201, 1])
  await world.stop()
})
