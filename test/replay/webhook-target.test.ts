/** Against a receiver in this process that answers as it is told. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import { FatalError, TransientError } from '../../src/core/errors.ts'
import { openWebhookTarget } from '../../src/replay/webhook-target.ts'
import { begin, createClock, describe, eventAt, memorySource } from './world.ts'

let status = 204
const got: string[] = []
const server = createServer((request, response) => {
  got.push(String(request.headers['ce-id'] ?? ''))
  request.resume()
  // Never answered.
  if (status === 0) return
  response.writeHead(status, status === 302 ? { location: '/elsewhere' } : {}).end(`status ${status}`)
})
server.listen(0, '127.0.0.1')
await once(server, 'listening')
after(() => {
  server.closeAllConnections()
  server.close()
})
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
const target = openWebhookTarget({ url, mode: 'binary' })
const event = (n: number) => ({
  ...eventAt(1000 + n, n),
  entry: Buffer.from(`{"specversion":"1.0","id":"${n}","source":"/s","type":"t"}`),
})
const saved = { position: { after: null, kafka: null }, last: null, events: 0, bytes: 0 }
const never = new AbortController().signal
const write = () => target.write([event(1)], saved, never)

test('what is busy is asked again; what refuses, or sends us elsewhere, is told with its answer', async () => {
  status = 204
  await write()
  status = 503
  await assert.rejects(write(), TransientError)
  for (const one of [302, 404, 410]) {
    status = one
    await assert.rejects(
      write(),
      (error) =>
        error instanceof FatalError && error.message.endsWith(`refuses the event (/s, 1): ${one} status ${one}`),
    )
  }
})

test('a replay that is stopped does not wait for an answer, and nothing behind that event was sent', async () => {
  status = 0
  got.length = 0
  const clock = createClock()
  const source = memorySource(Array.from({ length: 50 }, (_, n) => event(n)))
  const { replay } = begin(clock, source, target, describe())
  while (got.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  replay.stop()
  const { state, events } = await replay.done
  assert.deepEqual([state, events, got], ['stopped', 0, ['0']])
})
