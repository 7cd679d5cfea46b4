import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { Redis } from 'ioredis'
import { Kafka, logLevel } from 'kafkajs'
import { Client } from 'pg'
import { FatalError } from '../../src/core/errors.ts'
import { mendKafkajs } from '../../src/flow/consume/kafkajs-mend.ts'
import { identify } from '../../src/stack/lock.mjs'
import { type Stack, startStack } from '../../src/stack/stack.ts'
import { root, uniqueName } from './root.ts'

mendKafkajs()

async function query(stack: Stack, sql: string): Promise<unknown[]> {
  const client = new Client({ connectionString: stack.postgres })
  await client.connect()
  try {
    return (await client.query({ text: sql, rowMode: 'array' })).rows.flat()
  } finally {
    await client.end()
  }
}

async function redis(stack: Stack, ...words: [string, ...string[]]): Promise<unknown> {
  const client = new Redis(stack.redis)
  try {
    const [command, ...args] = words
    return await client.call(command, ...args)
  } finally {
    client.disconnect()
  }
}

async function topics(stack: Stack, create?: string): Promise<string[]> {
  const admin = new Kafka({ brokers: [stack.kafka], logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  try {
    if (create) await admin.createTopics({ topics: [{ topic: create, numPartitions: 3 }], waitForLeaders: true })
    return (await admin.listTopics()).filter((topic) => !topic.startsWith('__'))
  } finally {
    await admin.disconnect()
  }
}

test('a stack answers, keeps ports and data over restarts and lives, and leaves nothing when it is removed', async () => {
  const name = uniqueName('life')
  const deaths: string[] = []
  const options = { root, name, quick: true, onDeath: (server: string) => void deaths.push(server) }
  const stack = await startStack(options)
  const pids = Object.values(stack.pids)
  assert.equal(pids.length, 3)
  try {
    await topics(stack, 'kept')
    await query(stack, 'CREATE TABLE kept AS SELECT 7 AS n')
    await redis(stack, 'SET', 'kept', '7')

    await assert.rejects(startStack(options), (error) => error instanceof FatalError && error.code === 'STACK_FAILED')

    for (const server of ['kafka', 'postgres', 'redis'] as const) {
      const before = stack.pids[server]
      await stack.restart(server, { signal: 'SIGKILL' })
      assert.notEqual(stack.pids[server], before)
      await stack.restart(server)
    }
    assert.deepEqual(await topics(stack), ['kept'])
    assert.deepEqual(await query(stack, 'SELECT n FROM kept'), [7])
    assert.equal(await redis(stack, 'GET', 'kept'), '7')
    assert.deepEqual(deaths, [], 'what was asked for is no death')
    const last = Object.values(stack.pids)
    await stack.stop()
    assert.deepEqual(
      last.filter((pid) => identify(pid)),
      [],
    )

    const again = await startStack(options)
    try {
      assert.deepEqual([again.kafka, again.postgres, again.redis], [stack.kafka, stack.postgres, stack.redis])
      assert.deepEqual(await topics(again), ['kept'])
      assert.deepEqual(await query(again, 'SELECT n FROM kept'), [7])
    } finally {
      await again.stop()
    }
  } finally {
    await stack.remove()
  }
  assert.equal(existsSync(stack.folder), false)
})

test('the servers have the settings that the fleet is promised, and those that a caller adds', async () => {
  await using stack = await startStack({
    root,
    name: uniqueName('settings'),
    servers: ['postgres', 'redis'],
    temporary: true,
    quick: true,
    postgres: { deadlock_timeout: '123ms' },
    redis: { maxmemory: '123mb' },
  })
  const shown = await query(
    stack,
    `SELECT name || '=' || setting FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes', 'io_method',
       'TimeZone', 'listen_addresses', 'deadlock_timeout', 'server_encoding') ORDER BY name COLLATE "C"`,
  )
  assert.deepEqual(shown, [
    'TimeZone=UTC',
    'deadlock_timeout=123',
    'fsync=on',
    'full_page_writes=on',
    'io_method=worker',
    'listen_addresses=127.0.0.1',
    'server_encoding=UTF8',
    'synchronous_commit=on',
  ])
  assert.deepEqual(await query(stack, 'SELECT datlocale FROM pg_database WHERE datname = current_database()'), [
    'C.UTF-8',
  ])
  assert.deepEqual(await redis(stack, 'CONFIG', 'GET', 'maxmemory-policy'), ['maxmemory-policy', 'noeviction'])
  assert.deepEqual(await redis(stack, 'CONFIG', 'GET', 'appendonly'), ['appendonly', 'yes'])
  assert.deepEqual(await redis(stack, 'CONFIG', 'GET', 'maxmemory'), ['maxmemory', String(123 * 1024 * 1024)])
  const url = new URL(stack.postgres)
  url.password = 'wrong'
  await assert.rejects(query({ ...stack, postgres: url.href }, 'SELECT 1'), /password authentication failed/)
})

test('two stacks side by side know nothing of each other', async () => {
  const start = (what: string) =>
    startStack({ root, name: uniqueName(what), servers: ['postgres', 'redis'], temporary: true, quick: true })
  const [left, right] = await Promise.all([start('left'), start('right')])
  try {
    await Promise.all([redis(left, 'SET', 'who', 'left'), redis(right, 'SET', 'who', 'right')])
    assert.equal(await redis(left, 'GET', 'who'), 'left')
    await left.stop()
    assert.equal(await redis(right, 'GET', 'who'), 'right')
  } finally {
    await Promise.all([left.stop(), right.stop()])
  }
})

test('a death that nobody asked for is told', async () => {
  const died = Promise.withResolvers<string>()
  await using stack = await startStack({
    root,
    name: uniqueName('death'),
    servers: ['redis'],
    temporary: true,
    onDeath: (server, how) => died.resolve(`${server} ${how}`),
  })
  process.kill(stack.pids.redis!, 'SIGKILL')
  assert.equal(await died.promise, 'redis ended by SIGKILL')
  await stack.startServer('redis')
  assert.equal(await redis(stack, 'PING'), 'PONG')
})

test('a busy port, a setting that a server refuses, a name that is no name: one error, nothing left running', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  const options = { root, name: uniqueName('wrong'), temporary: true, quick: true } as const
  const fails = (pattern: RegExp) => (error: unknown) => {
    assert.ok(error instanceof FatalError)
    assert.match(`${error.message} ${error.remedy}`, pattern)
    return true
  }
  await assert.rejects(
    startStack({ ...options, servers: ['redis'], ports: { redis: port } }),
    fails(/Port \d+ for redis .* is taken/),
  )
  server.close()
  await assert.rejects(
    startStack({ ...options, servers: ['redis', 'postgres'], postgres: { no_such_setting: '1' } }),
    fails(/postgres did not start: .*no_such_setting.* Read .*postgres\.log/),
  )
  assert.equal(existsSync(`${root}/.local/stacks/${options.name}`), false)
  await assert.rejects(startStack({ ...options, name: '../outside' }), fails(/is no name for a stack/))
})
