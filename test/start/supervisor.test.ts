import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { lastLine, type Replica, restartDelayMs, superviseReplica } from '../../src/start/supervisor.ts'
import { parseUsage, readUsage } from '../../src/start/usage.ts'

let folder: string
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-supervisor-'))
})
after(() => rmSync(folder, { recursive: true }))

/** Serves at once, drains at SIGTERM or when its channel closes; `env.ENDS` makes it end before it serves. */
const script = `
import { createServer } from 'node:http'
if (process.env.ENDS) { console.error('millrace: KAFKA_UNREACHABLE: nobody there.'); process.exit(1) }
process.on('SIGTERM', () => process.env.STUBBORN || process.exit(0))
process.on('disconnect', () => process.exit(0))
process.on('message', ({ type, count }) => console.log(type + ' ' + count))
setInterval(() => {}, 1000)
const server = createServer((_, response) => response.end()).listen(0, '127.0.0.1', () =>
  process.send({ type: 'ready', adminUrl: \`http://127.0.0.1:\${server.address().port}\`, pid: process.pid }))
`

function supervise(name: string, env: Record<string, string> = {}) {
  const events: string[] = []
  const path = join(folder, `${name}.mjs`)
  writeFileSync(path, script)
  const replica = superviseReplica({
    name,
    log: join(folder, `${name}.log`),
    execPath: process.execPath,
    args: [path],
    env: { ...process.env, ...env },
    now: Date.now,
    onEvent: (text) => events.push(text),
    silentMs: 1500,
  })
  return { replica, events }
}

async function pidOf(replica: Replica, not = 0): Promise<number> {
  for (;;) {
    const { state } = replica
    if (state.kind === 'serving' && state.pid !== not) return state.pid
    await sleep(10)
  }
}

const isGone = (pid: number) => {
  try {
    process.kill(pid, 0)
    return false
  } catch {
    return true
  }
}

test('the pause doubles up to ten seconds', () => {
  assert.deepEqual([1, 2, 3, 4, 5, 6, 100].map(restartDelayMs), [500, 1000, 2000, 4000, 8000, 10_000, 10_000])
})

test('what dies is started again; what is asked to stop ends in order', async () => {
  const { replica, events } = supervise('dies')
  const first = await pidOf(replica)
  process.kill(first, 'SIGKILL')
  const second = await pidOf(replica, first)
  assert.equal(replica.restarts, 1)
  while (!readFileSync(replica.log, 'utf8').includes('restarts 1')) await sleep(10)
  assert.deepEqual(events, ['dies ended (SIGKILL), starts again in 0.5 s', 'dies serves again'])
  assert.equal(await replica.stop(5000), null)
  assert.equal(replica.state.kind, 'ended')
  assert.ok(isGone(second))
})

test('what answers no more is killed and started again; what answers is left alone', async () => {
  const { replica, events } = supervise('stopped')
  const first = await pidOf(replica)
  await sleep(3000)
  assert.equal(replica.restarts, 0)
  process.kill(first, 'SIGSTOP')
  const second = await pidOf(replica, first)
  assert.deepEqual(events.slice(0, 2), [
    'stopped does not answer: it is killed',
    'stopped ended (SIGKILL), starts again in 0.5 s',
  ])
  assert.match(lastLine(replica.log) as string, /^NO_PROGRESS: no answer/)
  assert.ok(isGone(first))
  replica.kill()
  assert.equal(await replica.stop(100), 'SIGKILL')
  assert.ok(isGone(second))
})

test('killed while it waits to be started again, it has ended', async () => {
  const { replica } = supervise('killed')
  process.kill(await pidOf(replica), 'SIGKILL')
  while (replica.state.kind !== 'waiting') await sleep(5)
  replica.kill()
  assert.equal(await replica.stop(100), null)
})

test('what does not stop in time is killed, and that is told', async () => {
  const { replica } = supervise('stubborn', { STUBBORN: '1' })
  const pid = await pidOf(replica)
  assert.equal(await replica.stop(100), 'SIGKILL')
  assert.ok(isGone(pid))
})

test('what ends before it ever served is given up, with its last words', async () => {
  const { replica } = supervise('ends', { ENDS: '1' })
  await assert.rejects(replica.failed, {
    code: 'NO_PROGRESS',
    message: 'ends does not get as far as serving (exit code 1): KAFKA_UNREACHABLE: nobody there.',
  })
  assert.match(readFileSync(replica.log, 'utf8'), /nobody there/)
  assert.equal(await replica.stop(100), null)
})

test('a stop during the pause starts nothing any more', async () => {
  const { replica } = supervise('waits')
  process.kill(await pidOf(replica), 'SIGKILL')
  while (replica.state.kind !== 'waiting') await sleep(5)
  assert.equal(await replica.stop(100), null)
  assert.equal(replica.state.kind, 'ended')
})

test('the last line of a log that says something', () => {
  const path = join(folder, 'some.log')
  writeFileSync(path, 'one\nmillrace: USAGE: two.\n    at three\n\n')
  assert.equal(lastLine(path), 'USAGE: two.')
  assert.equal(lastLine(join(folder, 'none.log')), null)
})

test('memory and CPU as the kernel counts them', () => {
  const status = 'Name:\tnode\nVmHWM:\t  300000 kB\nVmRSS:\t  200000 kB\n'
  const stat = '12 (a ) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 11'
  assert.deepEqual(parseUsage(status, stat), {
    residentBytes: 204_800_000,
    residentBytesPeak: 307_200_000,
    cpuSeconds: 2,
  })
  assert.equal(parseUsage('Name: gone', stat), null)
  if (process.platform === 'linux') assert.ok((readUsage(process.pid)?.residentBytes ?? 0) > 10_000_000)
  assert.equal(readUsage(2 ** 22 + 1), null)
})
