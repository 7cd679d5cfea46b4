/** The worst patient: every server accepts the connection and says nothing. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { after, test } from 'node:test'
import { parseSettings } from '../../src/core/settings.ts'
import { doctor } from '../../src/doctor/doctor.ts'

const sockets = new Set<Socket>()
const server = createServer((socket) => {
  sockets.add(socket)
  socket.on('error', () => {})
})
server.listen(0, '127.0.0.1')
await once(server, 'listening')
after(() => {
  for (const socket of sockets) socket.destroy()
  server.close()
})

const at = `127.0.0.1:${(server.address() as AddressInfo).port}`
const { settings } = parseSettings({
  env: { MILLRACE_KAFKA: at, MILLRACE_POSTGRES: `postgres://u:s3cret@${at}/db`, MILLRACE_REDIS: `redis://${at}` },
  readFile: () => assert.fail('no files'),
})

test('servers that are silent are named within seconds, all three', async () => {
  const out: string[] = []
  const began = performance.now()
  const { ok, findings } = await doctor({
    settings,
    consumer: 'c',
    topic: 't',
    table: 'e',
    json: false,
    write: (text) => void out.push(text),
    now: Date.now,
    signal: new AbortController().signal,
  })
  assert(performance.now() - began < 9000)
  assert.equal(ok, false)
  const failed = findings.filter(({ level }) => level === 'fail')
  assert.deepEqual(
    failed.map(({ area }) => area),
    ['kafka', 'postgres', 'redis'],
  )
  for (const { found, remedy } of failed) {
    assert.match(found, /_UNREACHABLE/)
    assert(remedy)
  }
  assert.match(out.join(''), /^FAIL {2}kafka {5}KAFKA_UNREACHABLE: .*\n {16}-> Check MILLRACE_KAFKA/m)
  assert.match(out.join(''), /3 to mend before it can run/)
  assert.doesNotMatch(out.join(''), /s3cret/)
})

test('the deadline holds even when a driver does not give up', async () => {
  const out: string[] = []
  const { findings } = await doctor({
    settings,
    consumer: 'c',
    topic: 't',
    table: 'e',
    json: true,
    write: (text) => void out.push(text),
    now: Date.now,
    signal: new AbortController().signal,
    timeoutMs: 300,
  })
  assert.equal(findings.filter(({ found }) => found === 'no answer in time').length, 3)
  assert.equal(JSON.parse(out.join('')).ok, false)
})
