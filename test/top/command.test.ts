/** `millrace top` as a person runs it, against admin ports that tell what a test says. */
import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Status } from '../../src/core/status.ts'
import { type TopIo, topCommand } from '../../src/top/command.ts'
import { flowing, partitionStatus } from '../live/statuses.ts'

const servers: Server[] = []
after(() => {
  for (const server of servers) server.close().closeAllConnections()
})

async function adminPort(tell: () => Status | string): Promise<string> {
  const server = createServer((request, response) => {
    const told = request.url === '/status.json' ? tell() : 'no'
    response.writeHead(typeof told === 'string' ? 404 : 200).end(JSON.stringify(told))
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

function makeIo(changes: Partial<TopIo> = {}) {
  const out: string[] = []
  const stop = new AbortController()
  const io: TopIo = {
    root: '/nonexistent',
    env: { LANG: 'C.UTF-8' },
    replicaAddresses: [],
    adminPort: 9464,
    lookup: async (host) => [{ address: host, family: 4 }],
    stdout: { write: (text) => void out.push(text), isTerminal: false, columns: 80, rows: 24 },
    now: Date.now,
    signal: stop.signal,
    ...changes,
  }
  return { io, out, stop }
}

const beganMs = Date.now()
const seconds = () => (Date.now() - beganMs) / 1000 + 1
const flow = flowing(1000, 0.8, { partitions: [partitionStatus(0, 90, 100), partitionStatus(1, 5, 50_005, 12)] })
const told = (): Status => ({ ...flow(seconds()), lagRecords: 50_010, lagSeconds: 12 })

test('--once shows rooms, marks and lag, and ends', async () => {
  const at = await adminPort(told)
  const { io, out } = makeIo()
  assert.equal(await topCommand({ at: [at], once: true }, io), 0)
  const text = out.join('')
  for (const expected of [
    /cloud-events, 1 replica /,
    /consume .* decode .* persist .* publish .* settle/,
    /▲ bottleneck/,
    /replica-1 +2 +50,010 +12\.0 +\d,?\d+/,
    /^partition +lag +lag s +consume +decode +persist +publish +settle +replica$/m,
    /^1 +50\.0k +12\.0 +50005 +50005 +5 +5 +5 +replica-1$/m,
    /^0 +10 +0\.0 +100 +100 +90/m,
  ])
    assert.match(text, expected)
})

test('--json is one line a look, for programs', async () => {
  const at = await adminPort(told)
  const { io, out, stop } = makeIo({ replicaAddresses: [at] })
  const running = topCommand({ json: true, every: '200ms' }, io)
  while (out.length < 3) await sleep(20)
  stop.abort()
  assert.equal(await running, 0)
  const pictures = out.map((line) => JSON.parse(line))
  assert.equal(pictures[2].rooms.length, 5)
  assert.equal(pictures[2].partitions[1].behind.persist, 50_000)
  assert.equal(pictures[2].storedHistory, undefined)
})

test('without a terminal it is a plain line a look; one that goes away and comes back is told', async () => {
  const first = await adminPort(told)
  let isAway = false
  const second = await adminPort(() => (isAway ? 'away' : { ...told(), replica: 'replica-2', pid: 7 }))
  const { io, out, stop } = makeIo()
  const running = topCommand({ at: [first, second], every: '200ms', json: true }, io)
  const until = async (
    holds: (picture: { events: { text: string }[]; replicas: { state: string | null }[] }) => boolean,
  ) => {
    const deadline = Date.now() + 10_000
    while (!holds(JSON.parse(out.at(-1) ?? '{"events":[],"replicas":[]}'))) {
      assert.ok(Date.now() < deadline, out.at(-1))
      await sleep(20)
    }
  }
  await until(({ replicas }) => replicas.length === 2 && replicas.every(({ state }) => state === null))
  isAway = true
  await until(({ replicas }) => replicas[1]?.state === 'no answer')
  isAway = false
  await until(({ events }) => events.some(({ text }) => text === `${second} answers again`))
  stop.abort()
  assert.equal(await running, 0)
})

test('on a terminal it draws in place, and Ctrl-C gives the terminal back', async () => {
  const at = await adminPort(told)
  const { io, out, stop } = makeIo()
  const running = topCommand({ at: [at], every: '200ms' }, { ...io, stdout: { ...io.stdout, isTerminal: true } })
  while (out.length < 3) await sleep(20)
  stop.abort()
  assert.equal(await running, 0)
  assert.ok(out[0]?.startsWith('\x1b[?1049h'))
  assert.ok(out.at(-1)?.startsWith('\x1b[?25h\x1b[?1049l'))
})

test('where nobody answers, it says where it asked and what to do', async () => {
  const other = await adminPort(() => 'not found')
  const { io } = makeIo()
  await assert.rejects(topCommand({ at: [other] }, io), {
    code: 'REPLICA_UNREACHABLE',
    message: `No replica answers at ${other}.`,
  })
  await assert.rejects(topCommand({ stack: 'nobody' }, io), {
    code: 'REPLICA_UNREACHABLE',
    message: "There is no replica of the local fleet 'nobody'.",
  })
})
