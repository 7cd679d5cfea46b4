import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
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
  queue.maybeThrottle(30)
  const started = performance.now()
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
