/** Streams under load, on a real Redis. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { FatalError } from '../../src/core/errors.ts'
import { simulateRedisCommand } from '../../src/simulate/redis-command.ts'
import { type RedisFlags, readRedisFlags } from '../../src/simulate/redis-flags.ts'
import { type Stack, startStack } from '../../src/stack/stack.ts'
import { runCommand } from './run-command.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
let stack: Stack
let redis: Redis

before(async () => {
  const name = `test-simulate-redis-${process.pid}`
  stack = await startStack({ root, name, servers: ['redis'], temporary: true, quick: true, fresh: true })
  redis = new Redis(stack.redis)
})
after(async () => {
  redis?.disconnect()
  await stack?.remove()
})

const run = (flags: RedisFlags, signal = new AbortController().signal) =>
  runCommand(simulateRedisCommand, flags, { MILLRACE_REDIS: stack.redis }, signal)

test('every group acknowledges everything once, what was abandoned by way of a claim', async () => {
  const { code, result, told } = await run({
    events: '3000',
    rate: '3000',
    seed: '5',
    groups: 'payment-service,ledger-service',
    abandon: '0.02',
    claimIdle: '300ms',
    streams: '4',
  })
  assert.equal(code, 0, told)
  assert.match(told, /Works in millrace-sim:\{0\} to millrace-sim:\{3\} .* left behind: --clean deletes them/)
  assert.equal(result.added, 3000)
  assert.equal(result.missing, 0)
  for (const group of result.groups) {
    assert.equal(group.acknowledged, 3000)
    assert.equal(group.read, 3000)
    assert.ok(group.abandoned > 10 && group.claimed >= group.abandoned, JSON.stringify(group))
    assert.ok(group.readMsP99 > 0)
  }
  let entries = 0
  for (let stream = 0; stream < 4; stream++) {
    entries += await redis.xlen(`millrace-sim:{${stream}}`)
    const pending = (await redis.xpending(`millrace-sim:{${stream}}`, 'payment-service')) as [number]
    assert.equal(pending[0], 0)
  }
  assert.equal(entries, 3000)
})

test('the same seed adds the same events', async () => {
  const read = async (prefix: string) => {
    await run({ prefix, events: '200', rate: 'max', seed: '9', groups: 'none', streams: '2' })
    const entries = await Promise.all([0, 1].map((stream) => redis.xrange(`${prefix}:{${stream}}`, '-', '+')))
    return entries.map((all) => all.map(([, fields]) => /"id":"([^"]+)"/.exec(fields[1] as string)?.[1]))
  }
  const [one, two] = [await read('one'), await read('two')]
  assert.deepEqual(
    one.map((ids) => ids.length),
    two.map((ids) => ids.length),
  )
  assert.deepEqual(one, two)
})

test('trimming bounds the streams, a TTL ends them, and --clean deletes what was made and nothing else', async () => {
  await redis.set('mine', 'stays')
  const trimmed = await run({
    prefix: 'short',
    events: '5000',
    rate: 'max',
    maxlen: '100',
    ttl: '1h',
    streams: '1',
    groups: 'none',
  })
  assert.equal(trimmed.code, 0)
  assert.ok((await redis.xlen('short:{0}')) < 500)
  assert.ok((await redis.pttl('short:{0}')) > 3_000_000)
  const { told } = await run({ prefix: 'short', clean: true })
  assert.match(told, /Deleted 1 streams/)
  assert.equal(await redis.exists('short:{0}', 'short:made'), 0)
  assert.equal(await redis.get('mine'), 'stays')
})

test('a stream that somebody else has made is not touched; by its name it can be read', async () => {
  for (let n = 0; n < 50; n++) await redis.xadd('events:payment:{0}', `${n + 1}-0`, 'event', '{}')
  await assert.rejects(
    run({ prefix: 'events:payment', events: '10', streams: '1' }),
    (error: unknown) => error instanceof FatalError && error.code === 'USAGE' && /has made it/.test(error.message),
  )
  assert.equal(await redis.xlen('events:payment:{0}'), 50)
  const reading = run({ read: 'events:payment', for: '1500ms', groups: 'audit', abandon: '0', clean: true })
  for (
    let tries = 0;
    tries < 100 && ((await redis.xinfo('GROUPS', 'events:payment:{0}')) as unknown[]).length === 0;
    tries++
  )
    await new Promise((resolve) => setTimeout(resolve, 20))
  const event = `{"time":"${new Date().toISOString()}"}`
  for (let n = 50; n < 60; n++) await redis.xadd('events:payment:{0}', `${n + 1}-0`, 'event', event)
  const { code, result } = await reading
  assert.equal(code, 0)
  assert.deepEqual([result.groups[0].read, result.groups[0].acknowledged, result.added], [10, 10, 0])
  assert.deepEqual(await redis.xinfo('GROUPS', 'events:payment:{0}'), [])
  assert.equal(await redis.xlen('events:payment:{0}'), 60)
})

test('a signal ends the schedule; what was added is read to its end', async () => {
  const stop = new AbortController()
  const running = run({ prefix: 'stopped', rate: '1000' }, stop.signal)
  setTimeout(() => stop.abort(), 800)
  const { code, result } = await running
  assert.equal(code, 0)
  assert.ok(result.added > 300 && result.added < 3000, `${result.added}`)
  assert.equal(result.groups[0].acknowledged, result.added)
})

test('flags: what is wrong is named', () => {
  for (const [flags, says] of [
    [{ prefix: 'a*' }, /--prefix/],
    [{ groups: 'a,,b' }, /--groups/],
    [{ read: 'x', groups: 'none' }, /reads nothing/],
    [{ read: 'x', ttl: '1s' }, /own/],
    [{ rate: '0' }, /--rate/],
    [{ abandon: '2' }, /--abandon/],
  ] as const) {
    assert.throws(
      () => readRedisFlags(flags, 0),
      (error: unknown) => error instanceof FatalError && error.code === 'USAGE' && says.test(error.message),
    )
  }
  assert.equal(readRedisFlags({ clean: true }, 0).onlyClean, true)
  assert.equal(readRedisFlags({ clean: true, for: '1s' }, 0).onlyClean, false)
})
