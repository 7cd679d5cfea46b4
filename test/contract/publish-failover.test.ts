/** publish/ on a Redis that changes under it: an address that moves to another server, a cluster that loses a node, moves slots, and gets empty nodes. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { test } from 'node:test'
import { Cluster, type Command } from 'ioredis'
import { TransientError } from '../../src/core/errors.ts'
import { parseSettings } from '../../src/core/settings.ts'
import { openRedis } from '../../src/flow/publish/redis.ts'
import { connectRedis } from '../../src/process/connect-redis.ts'
import { startRedis } from '../chaos/ground/redis.ts'
import { until } from '../e2e/until.ts'
import { batchOf, record } from '../flow/batches.ts'

const options = () => ({ root: join(import.meta.dirname, '../..'), name: `test-publish-${randomUUID().slice(0, 8)}` })
const never = new AbortController().signal

const clientOf = (env: Readonly<Record<string, string>>) =>
  connectRedis(
    parseSettings({
      env: {
        MILLRACE_KAFKA: 'nowhere:9092',
        MILLRACE_POSTGRES: 'postgres://nowhere/none',
        MILLRACE_REDIS_TIMEOUT_MS: '1000',
        MILLRACE_RETRY_BACKOFF_MAX_MS: '200',
        ...env,
      },
      readFile: () => '',
    }).settings,
  )

/** Again and again until it goes through; only what passes by itself is endured. */
async function patiently<T>(what: string, work: () => Promise<T>): Promise<T> {
  const failed: unknown[] = []
  return until(what, 30_000, async () => {
    if (failed.length > 0) throw failed[0]
    try {
      return await work()
    } catch (error) {
      if (error instanceof TransientError) throw error
      failed.push(error)
      throw error
    }
  })
}

test('a primary that is demoted while connections to it stay open: a new connection leads to the new one', async (t) => {
  const { pair, env, remove } = await startRedis('pair', options())
  t.after(remove)
  const client = await clientOf(env)
  t.after(() => client.disconnect())
  const publish = openRedis({ redis: client, streamLengthMax: 0 })
  const streams = [new Map<string, number>()]
  const send = (offset: number) =>
    publish.publish(batchOf({ partition: 0, records: [record(offset, { id: `e${offset}` })] }), null, streams, never)
  assert.equal(await send(0), 1)
  await pair?.promote({ keepLines: true })
  await pair?.follow()
  assert.equal(await patiently('the new primary', () => send(1)), 1)
  assert.equal(await pair?.primary.admin.xlen('events:cloud:{0}'), 2)
})

test('a cluster', async (t) => {
  const { cluster, env, remove } = await startRedis('cluster', options())
  t.after(remove)
  assert(cluster)
  const client = await clientOf(env)
  t.after(() => client.disconnect())
  const publish = openRedis({ redis: client, streamLengthMax: 0 })
  const partitions = Array.from({ length: 12 }, (_, index) => index)
  const streams = partitions.map(() => new Map<string, number>())
  let next = 0
  /** One record of each of two kinds for every partition. */
  const send = () => {
    const from = next
    return publish.publish(
      batchOf(
        ...partitions.map((partition) => ({
          partition,
          records: [record(from, { id: `e${from}` }), record(from + 1, { id: `o${from}`, type: 'com.x.order' })],
        })),
      ),
      null,
      streams,
      never,
    )
  }
  const sendNext = async () => {
    await patiently('the entries to be added', send)
    next += 2
  }
  await sendNext()

  await t.test('no probe passes while the master of a stream is away, whatever the others answer', async () => {
    const [victim] = cluster.nodes
    assert(victim && (await victim.admin.dbsize()) > 0)
    await victim.kill()
    await assert.rejects(send(), TransientError)
    for (let times = 0; times < 6; times++) await assert.rejects(publish.probe(), TransientError)
    await victim.start()
    await cluster.whole()
    await patiently('a probe to pass', () => publish.probe())
    await sendNext()
  })

  await t.test('all slots of a node move while entries are added, and to nodes that lack the function', async () => {
    const [a, b] = cluster.nodes
    assert(a && b)
    const added = await cluster.addNode()
    const own = await cluster.slotsOf(a)
    for (const [from, to] of [
      [a, added],
      [added, b],
      [b, a],
    ] as const) {
      let isMoving = true
      const moving = cluster.moveSlots(from, to, { slots: own, pauseMs: 100 }).finally(() => {
        isMoving = false
      })
      moving.catch(() => {})
      while (isMoving) await sendNext()
      await moving
      await to.admin.function('FLUSH')
      await sendNext()
    }
    const expected = Array.from({ length: next / 2 }, (_, index) => 2 * index + 1)
    for (const partition of partitions) {
      for (const [kind, past] of [
        ['cloud', 0],
        ['order', 1],
      ] as const) {
        const entries: [id: string, fields: string[]][] = await cluster.client.xrange(
          `events:${kind}:{${partition}}`,
          '-',
          '+',
        )
        assert.deepEqual(
          entries.map(([id]) => id),
          expected.map((id) => `${id + past}-0`),
        )
      }
    }
  })

  await t.test('a node dies while a moving slot redirects to it: tried again', async () => {
    const [a, b] = cluster.nodes
    assert(a && b)
    const slots = new Set(await cluster.slotsOf(a))
    const slotOf = (partition: number) => cluster.client.cluster('KEYSLOT', `events:cloud:{${partition}}`)
    let chosen = 1000
    while (!slots.has(await slotOf(chosen))) chosen++
    const slot = await slotOf(chosen)
    await b.admin.cluster('SETSLOT', slot, 'IMPORTING', String(await a.admin.cluster('MYID')))
    await a.admin.cluster('SETSLOT', slot, 'MIGRATING', String(await b.admin.cluster('MYID')))
    b.stall()
    const batch = batchOf({ partition: chosen, records: [record(0, { id: 'a' })] })
    const sent = publish.publish(batch, null, [new Map()], never)
    const refused = assert.rejects(sent, TransientError)
    await new Promise((resolve) => setTimeout(resolve, 300))
    await b.kill()
    await refused
    await a.admin.cluster('SETSLOT', slot, 'STABLE')
    await b.start()
    await b.admin.cluster('SETSLOT', slot, 'STABLE')
    await cluster.whole()
    // The one that was given up may have arrived after all.
    await patiently('it to be added', () => publish.publish(batch, null, [new Map()], never))
    assert.equal(await cluster.client.xlen(`events:cloud:{${chosen}}`), 1)
  })

  await t.test('a call that arrives before the one it rests on is no lost stream', async () => {
    assert(client instanceof Cluster)
    let calls = 0
    // The first goes astray for a moment, as a call does that is told to try again while its slot moves.
    const straying = new Proxy(client, {
      get(target, name) {
        const value = Reflect.get(target, name)
        if (name !== 'sendCommand') return typeof value === 'function' ? value.bind(target) : value
        return async (command: Command) => {
          if (command.name === 'fcall' && calls++ === 0) await new Promise((resolve) => setTimeout(resolve, 100))
          return target.sendCommand(command)
        }
      },
    })
    const publish = openRedis({ redis: straying, streamLengthMax: 0 })
    const batch = batchOf({ partition: 99, records: Array.from({ length: 900 }, (_, n) => record(n, { id: `e${n}` })) })
    const known = [new Map<string, number>()]
    await assert.rejects(publish.publish(batch, null, known, never), { name: 'TransientError', code: 'REDIS_BUSY' })
    assert.equal(await publish.publish(batch, null, known, never), 400)
    assert.equal(await cluster.client.xlen('events:cloud:{99}'), 900)
  })
})
