import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { stackCommand } from '../../src/stack/command.ts'
import type { StackAction, StackFlags } from '../../src/stack/flags.ts'
import { startStack } from '../../src/stack/stack.ts'
import { stackFolder } from '../../src/stack/state.ts'
import { root, uniqueName } from './root.ts'

const name = uniqueName('command')

async function say(action: StackAction, flags: StackFlags = {}) {
  const said: string[] = []
  const io = { root, write: (text: string) => void said.push(text), writeError: () => {}, now: Date.now }
  const code = await stackCommand(action, { name, ...flags }, io)
  return { code, out: said.join('') }
}

test('up leaves servers that outlive it, again changes nothing, others use them, down ends them', async () => {
  const server = ['postgres', 'redis']
  try {
    assert.match((await say('up', { server })).out, /postgres +running +postgres:\/\//)
    const before = JSON.parse((await say('status', { json: true })).out)
    const again = await say('up', { server })
    assert.match(again.out, /^Already running\./)
    assert.equal(again.code, 0)
    const { code, out } = await say('status', { json: true })
    assert.equal(code, 1, 'Kafka is down')
    assert.deepEqual(JSON.parse(out).servers.postgres.pid, before.servers.postgres.pid)

    const env = (await say('env')).out
    assert.match(env, /^export MILLRACE_POSTGRES='postgres:\/\/millrace:millrace@127\.0\.0\.1:\d+\/millrace'$/m)
    assert.match(env, /^export MILLRACE_REDIS='redis:\/\/127\.0\.0\.1:\d+'$/m)
    assert.doesNotMatch(env, /KAFKA/)

    const stack = await startStack({ root, name, servers: ['postgres', 'redis'] })
    assert.equal(stack.adopted, true)
    assert.equal(stack.pids.postgres, before.servers.postgres.pid)
    await stack.stop()
    assert.match((await say('status')).out, /redis +running/)

    assert.match((await say('logs', { lines: '3', server: ['redis'] })).out, /^redis {4}\| .+/m)
  } finally {
    assert.match((await say('down')).out, /is stopped/)
  }
  assert.match((await say('down')).out, /was not running/)
  assert.equal((await say('status')).code, 1)
  await assert.rejects(say('env'), /is not running/)
  await say('down', { remove: true })
  assert.equal(existsSync(stackFolder(root, name)), false)
})

test('words that mean nothing are refused', async () => {
  await assert.rejects(say('up', { server: ['mysql'] }), /There is no server "mysql"/)
  await assert.rejects(say('logs'), /is not running/)
})
