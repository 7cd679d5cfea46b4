/** Server-sent events, alone and over a socket: changes are told once, silence is filled, and an end is an end for both sides. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { FatalError } from '../../src/core/errors.ts'
import { prefix } from '../../src/gateway/server.ts'
import { eventStream } from '../../src/gateway/stream.ts'
import { keep, openWorld, token } from './world.ts'

const text = async (stream: AsyncIterable<unknown>) => {
  let all = ''
  for await (const part of stream) all += String(part)
  return all
}
const never = new AbortController().signal
/** Time that goes as fast as it is asked to. */
const quick = async () => {}

test('what has not changed is not told again, and the last is told as the end', async () => {
  const values = [1, 1, 2, 2, 3]
  const stream = eventStream(
    { look: async () => values.shift() ?? null, isLast: (value) => value === 3, sleep: quick },
    never,
  )
  assert.equal(
    await text(stream),
    'retry: 2000\n\nevent: progress\ndata: 1\n\nevent: progress\ndata: 2\n\nevent: end\ndata: 3\n\n',
  )
})

test('a silence is filled every fifteen seconds', async () => {
  let looks = 0
  const stream = eventStream(
    { look: async () => (looks++ < 62 ? 'same' : null), isLast: () => false, sleep: quick },
    never,
  )
  assert.equal((await text(stream)).split(': still here\n\n').length - 1, 2)
})

test('whoever cannot tell any more says so', async () => {
  const look = () => Promise.reject(new FatalError('POSTGRES_UNREACHABLE', 'It is away.', 'Wait.'))
  const told = await text(eventStream({ look, isLast: () => false, sleep: quick }, never))
  assert.match(told, /^retry: 2000\n\nevent: problem\ndata: \{.*"status":503.*"code":"POSTGRES_UNREACHABLE".*\}\n\n$/)
})

test('over a socket: a listener that leaves is let go, and a server that stops ends the ones that are left', async () => {
  const world = openWorld(keep(), { replaysMax: 100 })
  const url = await world.app.listen({ host: '127.0.0.1', port: 0 })
  const { body } = await world.post('/controlled-replay', { target: { kind: 'redis', stream: 'replay:a' } })
  const headers = { authorization: `Bearer ${token}` }
  const listen = (signal?: AbortSignal) =>
    fetch(`${url}${prefix}/replay/${body.id}/progress`, { headers, ...(signal !== undefined && { signal }) })
  // More of them, one after the other, than may listen at a time.
  for (let turn = 0; turn < 80; turn++) {
    const leaving = new AbortController()
    const response = await listen(leaving.signal)
    assert.equal(response.status, 200, `turn ${turn}`)
    const reading = response.body?.getReader()
    assert.match(Buffer.from((await reading?.read())?.value ?? []).toString(), /^retry/)
    leaving.abort()
    await reading?.closed.catch(() => {})
    if (turn % 20 === 19) await sleep(20)
  }
  const left = await listen()
  const reading = left.text().catch(() => 'cut')
  await sleep(20)
  const startedMs = performance.now()
  await world.stop()
  await reading
  assert.ok(performance.now() - startedMs < 2000)
  assert.deepEqual(world.faults, [])
})
