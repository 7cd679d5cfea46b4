import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Command, Redis } from 'ioredis'
import { TransientError } from '../../src/core/errors.ts'
import { streamKey } from '../../src/flow/publish/keys.ts'
import { createMemoryStreams, type MemoryStreams, openMemoryPublish } from '../../src/flow/publish/memory.ts'
import { openRedis } from '../../src/flow/publish/redis.ts'
import type { NodeOptions } from '../../src/process/connect-redis.ts'
import { type Stack, startStack } from '../../src/stack/stack.ts'
import { startProxy, type TcpProxy } from '../e2e/proxy.ts'
import { batchOf, record } from '../flow/batches.ts'
import { publishContract } from './publish.ts'

// --- memory -------------------------------------------------------------------------------------------------------------------------------------

publishContract('memory', async () => {
  const streams = createMemoryStreams()
  let failing: 'before' | 'after' | null = null
  const line: MemoryStreams = {
    ...streams,
    call(apply) {
      const when = failing
      failing = null
      if (when !== 'before') apply()
      if (when !== null) throw new TransientError('REDIS_UNREACHABLE', `failed ${when}`)
    },
  }
  return {
    open: (options = {}) => openMemoryPublish(line, options),
    entries: async (family, partition) =>
      (streams.streams.get(streamKey(family, partition))?.entries ?? []).map(({ id, event }) => ({
        id: `${id}-0`,
        event,
      })),
    async lose(family, partition, behind) {
      const key = streamKey(family, partition)
      const stream = streams.streams.get(key)
      if (stream === undefined || behind === 0) streams.streams.delete(key)
      else {
        stream.entries.splice(0, stream.entries.length, ...stream.entries.filter(({ id }) => id <= behind))
        stream.lastId = behind
      }
    },
    async remove(family, partition, ids) {
      const entries = streams.streams.get(streamKey(family, partition))?.entries
      entries?.splice(0, entries.length, ...entries.filter(({ id }) => !ids.includes(id)))
    },
    async failNext(when) {
      failing = when
    },
  }
})

// --- Redis --------------------------------------------------------------------------------------------------------------------------------------

let stack: Stack
let redis: Redis
/** Cuts the line when a function call comes by, or when its answer does. */
let proxy: TcpProxy
let cutting: 'before' | 'after' | null = null
const clients: Redis[] = []

before(async () => {
  stack = await startStack({
    root: join(import.meta.dirname, '../..'),
    name: `test-${randomUUID().slice(0, 8)}`,
    servers: ['redis'],
    temporary: true,
    quick: true,
  })
  redis = connect(Number(new URL(stack.redis).port))
  proxy = await startProxy(stack.redis, (line) => ({
    fromClient(bytes) {
      if (cutting === 'before' && bytes.includes('millrace2_add')) {
        cutting = null
        return line.cut()
      }
      line.server.write(bytes)
      if (cutting === 'after' && bytes.includes('millrace2_add')) line.server.once('data', () => line.cut())
    },
    fromServer(bytes) {
      if (cutting === 'after') {
        // The server has done it; nobody hears of it.
        cutting = null
        return line.cut()
      }
      line.client.write(bytes)
    },
  }))
})
after(async () => {
  for (const client of clients) client.disconnect()
  await proxy?.close()
  await stack?.remove()
})

/** As the fleet connects: nothing is kept back while the line is down. */
function connect(port: number): Redis {
  const options: NodeOptions = {
    host: '127.0.0.1',
    port,
    replyMapping: 'legacy',
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: () => 10,
    lazyConnect: true,
  }
  const client = new Redis(options)
  client.on('error', () => {})
  clients.push(client)
  return client
}

publishContract('Redis', async () => {
  if (redis.status === 'wait') await redis.connect()
  await redis.flushall()
  await redis.function('FLUSH')
  for (const client of clients.splice(1)) client.disconnect()
  const through = connect(proxy.port)
  await through.connect()
  return {
    open: ({ streamLengthMax = 0 } = {}) => openRedis({ redis: through, streamLengthMax }),
    async entries(family, partition) {
      const all = await redis.xrange(streamKey(family, partition), '-', '+')
      return all.map(([id, fields]) => {
        assert.equal(fields[0], 'event')
        assert.equal(fields.length, 2)
        return { id, event: fields[1] as string }
      })
    },
    async lose(family, partition, behind) {
      const key = streamKey(family, partition)
      const kept = behind === 0 ? [] : await redis.xrange(key, '-', String(behind))
      await redis.del(key)
      for (const [id, fields] of kept) await redis.xadd(key, id, ...fields)
    },
    async remove(family, partition, ids) {
      await redis.xdel(streamKey(family, partition), ...ids.map((id) => `${id}-0`))
    },
    async failNext(when) {
      cutting = when
    },
  }
})

// Partition 5: a call that the last of the tests above gave up may still be on its way to partition 0.

test('the function is loaded when it is needed: at first, and after FUNCTION FLUSH', async () => {
  await redis.flushall()
  await redis.function('FLUSH')
  const publish = openRedis({ redis, streamLengthMax: 0 })
  const never = new AbortController().signal
  const streams = [new Map<string, number>()]
  const send = (from: number) =>
    publish.publish(batchOf({ partition: 5, records: [record(from, { id: `e${from}` })] }), null, streams, never)
  assert.equal(await send(0), 1)
  await redis.function('FLUSH')
  assert.equal(await send(1), 1)
  assert.equal(await redis.xlen('events:cloud:{5}'), 2)
})

test('something else under the name of a stream: fatal, and it says what to do', async () => {
  await redis.flushall()
  await redis.set('events:cloud:{5}', 'not a stream')
  const publish = openRedis({ redis, streamLengthMax: 0 })
  const never = new AbortController().signal
  await assert.rejects(
    publish.publish(batchOf({ partition: 5, records: [record(0, { id: 'a' })] }), null, [new Map()], never),
    { name: 'FatalError', code: 'REDIS_FAILED', remedy: /rename it/ },
  )
})

test('a server that is full refuses the whole call, and takes it when there is room', async () => {
  await redis.flushall()
  const publish = openRedis({ redis, streamLengthMax: 0 })
  const never = new AbortController().signal
  const streams = [new Map<string, number>()]
  const batch = batchOf({
    partition: 5,
    records: [record(0, { id: 'a' }), record(1, { id: 'b', type: 'com.x.order' })],
  })
  await redis.config('SET', 'maxmemory', '1mb')
  try {
    await assert.rejects(publish.publish(batch, null, streams, never), { name: 'TransientError', code: 'REDIS_FULL' })
    assert.equal(await redis.exists('events:cloud:{5}', 'events:order:{5}'), 0)
  } finally {
    await redis.config('SET', 'maxmemory', '0')
  }
  assert.equal(await publish.publish(batch, null, streams, never), 2)
})

test('a call refused in the middle of a batch: those behind it are refused too, instead of leaving a hole', async () => {
  await redis.flushall()
  let calls = 0
  const refusing = new Proxy(redis, {
    get(target, name) {
      if (name !== 'sendCommand') return Reflect.get(target, name)
      return (command: Command) =>
        command.name === 'fcall' && ++calls === 2
          ? Promise.reject(new Error("OOM command not allowed when used memory > 'maxmemory'."))
          : target.sendCommand(command)
    },
  })
  const publish = openRedis({ redis: refusing, streamLengthMax: 0 })
  const never = new AbortController().signal
  const streams = [new Map<string, number>()]
  const batch = batchOf({ partition: 5, records: Array.from({ length: 1600 }, (_, n) => record(n, { id: `e${n}` })) })
  await assert.rejects(publish.publish(batch, null, streams, never), { name: 'TransientError', code: 'REDIS_FULL' })
  assert.equal(calls, 4)
  assert.equal(await redis.xlen('events:cloud:{5}'), 500)
  assert.equal(streams[0]?.size, 0)
  assert.equal(await publish.publish(batch, null, streams, never), 1100)
  const all = await redis.xrange('events:cloud:{5}', '-', '+')
  assert.deepEqual(
    all.map(([id]) => id),
    Array.from({ length: 1600 }, (_, n) => `${n + 1}-0`),
  )
})
