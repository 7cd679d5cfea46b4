import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { type TestContext, test } from 'node:test'
import { mendKafkajs } from '../../../src/flow/consume/kafkajs-mend.ts'

const require = createRequire(import.meta.url)

test('the installed kafkajs is the version that is mended', () => {
  assert.equal(mendKafkajs(), true)
})

test('a request queue without waiting requests sets no timer', (t) => {
  mendKafkajs()
  const RequestQueue = require('kafkajs/src/network/requestQueue')
  const warnings: Error[] = []
  const listen = (warning: Error) => warnings.push(warning)
  process.on('warning', listen)
  t.after(() => process.off('warning', listen))
  const queue = new RequestQueue({
    requestTimeout: 1000,
    clientId: 'c',
    broker: 'b',
    logger: { debug() {}, warn() {} },
  })
  queue.checkPendingRequests()
  assert.equal(queue.throttleCheckTimeoutId, null)
  assert.deepEqual(warnings, [])
})

test('a throttled queue sends what waits once the throttle is over', async () => {
  mendKafkajs()
  const RequestQueue = require('kafkajs/src/network/requestQueue')
  const queue = new RequestQueue({
    requestTimeout: 1000,
    clientId: 'c',
    broker: 'b',
    logger: { debug() {}, warn() {} },
  })
  const started = performance.now()
  queue.maybeThrottle(30)
  await new Promise<void>((resolve) => {
    const entry = { correlationId: 1, resolve() {}, reject() {} }
    queue.push({ entry, expectResponse: false, sendRequest: resolve })
  })
  const ms = performance.now() - started
  assert.ok(ms >= 25 && ms < 1000, `${ms} ms`)
  assert.equal(queue.pending.length, 0)
  queue.destroy()
})

/** Header bytes as the protocol has them: zigzag varints for the count and every length. */
function headerBytes(headers: [string, string | null][]): Buffer {
  const varint = (value: number) => {
    const bytes: number[] = []
    let rest = (value << 1) ^ (value >> 31)
    for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80)
    return Buffer.from([...bytes, rest])
  }
  const text = (value: string | null) =>
    value === null ? [varint(-1)] : [varint(Buffer.byteLength(value)), Buffer.from(value)]
  return Buffer.concat([varint(headers.length), ...headers.flatMap(([name, value]) => [...text(name), ...text(value)])])
}

function read(headers: [string, string | null][]): object {
  mendKafkajs()
  const Decoder = require('kafkajs/src/protocol/decoder')
  const HeaderDecoder = require('kafkajs/src/protocol/recordBatch/header/v0/decoder')
  return new Decoder(headerBytes(headers)).readVarIntArray(HeaderDecoder).reduce()
}

test("names that Object's prototype has are names like any other", () => {
  const names = ['constructor', 'toString', 'valueOf', '__proto__', 'hasOwnProperty']
  const found = Object.entries(read(names.map((name) => [name, `of ${name}`])))
  assert.deepEqual(
    found,
    names.map((name) => [name, Buffer.from(`of ${name}`)]),
  )
})

test('repeated names keep all values in order, null is kept, none is an empty object', () => {
  const found = read([
    ['a', '1'],
    ['b', null],
    ['a', null],
    ['a', '3'],
  ])
  assert.deepEqual(Object.entries(found), [
    ['a', [Buffer.from('1'), null, Buffer.from('3')]],
    ['b', null],
  ])
  assert.deepEqual(Object.entries(read([])), [])
})

test('a hundred thousand headers take no minutes', () => {
  const started = performance.now()
  const found = read(Array.from({ length: 100_000 }, (_, i) => [`h${i}`, 'x']))
  assert.equal(Object.keys(found).length, 100_000)
  assert.ok(performance.now() - started < 5000)
})

/** The wall clock is set by so much; timers and the steady clock are not. */
function setClock(t: TestContext, byMs: number): void {
  const real = Date.now
  Date.now = () => real() + byMs
  t.after(() => {
    Date.now = real
  })
}

test('a member whose clock is set back goes on telling the group that it lives', async (t) => {
  mendKafkajs()
  const ConsumerGroup = require('kafkajs/src/consumer/consumerGroup')
  const logger = { namespace: () => logger }
  const group = new ConsumerGroup({ logger, topics: [], groupId: 'g', instrumentationEmitter: { emit() {} } })
  let heartbeats = 0
  Object.assign(group, { memberId: 'm', coordinator: { heartbeat: async () => void heartbeats++ } })
  await group.heartbeat({ interval: 3000 })
  assert.equal(heartbeats, 0, 'it is not due')
  setClock(t, -3_600_000)
  await group.heartbeat({ interval: 3000 })
  assert.equal(heartbeats, 1)
  await group.heartbeat({ interval: 3000 })
  assert.equal(heartbeats, 1, 'the next one is not due')
})

test('requests under way time out by the steady clock, whatever is done to the other one', async (t) => {
  mendKafkajs()
  const RequestQueue = require('kafkajs/src/network/requestQueue')
  const queue = new RequestQueue({
    requestTimeout: 400,
    enforceRequestTimeout: true,
    clientId: 'c',
    broker: 'b',
    logger: { debug() {}, warn() {} },
    isConnected: () => true,
  })
  queue.scheduleRequestTimeoutCheck()
  t.after(() => queue.destroy())
  const send = (correlationId: number) =>
    new Promise<number>((resolve) => {
      const sent = performance.now()
      const entry = { correlationId, resolve() {}, reject: () => resolve(performance.now() - sent) }
      queue.push({ entry, expectResponse: true, requestTimeout: 400, sendRequest() {} })
    })
  const first = send(1)
  setClock(t, 3_600_000)
  const ms = await first
  assert.ok(ms >= 400 && ms < 3000, `${ms} ms`)
  const second = send(2)
  setClock(t, -7_200_000)
  assert.ok((await second) < 3000)
})

test('a commit that another broker refuses, or that finds its connection gone, asks who coordinates the group', async () => {
  mendKafkajs()
  const OffsetManager = require('kafkajs/src/consumer/offsetManager')
  const committed: string[] = []
  const broker = (name: string, isCoordinator: () => boolean) => ({
    name,
    connected: true,
    isConnected() {
      return this.connected
    },
    async offsetCommit() {
      if (!isCoordinator()) throw Object.assign(new Error('no'), { type: 'NOT_COORDINATOR_FOR_GROUP' })
      committed.push(name)
    },
  })
  let current = 'a'
  const brokers = ['a', 'b'].map((name) => broker(name, () => current === name))
  const [first, second] = brokers as [ReturnType<typeof broker>, ReturnType<typeof broker>]
  const manager = new OffsetManager({
    cluster: {
      committedOffsets: () => ({ t: {} }),
      refreshMetadata: async () => {},
      findGroupCoordinator: async () => brokers.find(({ name }) => name === current),
      // Its number leads elsewhere.
      findBroker: async () => first,
    },
    coordinator: first,
    memberAssignment: { t: [0] },
    instrumentationEmitter: { emit() {} },
    groupId: 'g',
    generationId: 1,
    memberId: 'm',
  })
  const commit = () => manager.commitOffsets({ topics: [{ topic: 't', partitions: [{ partition: 0, offset: '1' }] }] })
  await commit()
  current = 'b'
  await assert.rejects(commit())
  await commit()
  second.connected = false
  await commit()
  assert.deepEqual(committed, ['a', 'b', 'b'])
  second.connected = true
  current = 'a'
  await assert.rejects(commit())
  await commit()
  assert.deepEqual(committed, ['a', 'b', 'b', 'a'])
})
