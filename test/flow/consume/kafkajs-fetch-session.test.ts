import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import fc from 'fast-check'
import { installFetch } from '../../../src/flow/consume/kafkajs-fetch.ts'
import { createFetchSession, type FetchRequest } from '../../../src/flow/consume/kafkajs-fetch-session.ts'

const require = createRequire(import.meta.url)

interface Asked {
  readonly sessionId: number
  readonly epoch: number
  readonly named: readonly (readonly [place: string, fetchOffset: string])[]
  readonly forgotten: readonly string[]
  readonly maxBytes: readonly number[]
}

/** The body of Fetch v11, to its last byte. */
function decode(bytes: Buffer): Asked {
  let at = 17
  const int32 = () => {
    at += 4
    return bytes.readInt32BE(at - 4)
  }
  const int64 = () => {
    at += 8
    return String(bytes.readBigInt64BE(at - 8))
  }
  const text = () => {
    const size = bytes.readInt16BE(at)
    at += 2 + size
    return bytes.toString('utf8', at - size, at)
  }
  const list = <T>(read: () => T): T[] => Array.from({ length: int32() }, read)
  const maxBytes: number[] = []
  const sessionId = int32()
  const epoch = int32()
  const named = list(() => {
    const topic = text()
    return list((): [string, string] => {
      const partition = int32()
      assert.equal(int32(), -1)
      const offset = int64()
      assert.equal(int64(), '-1')
      maxBytes.push(int32())
      return [`${topic} ${partition}`, offset]
    })
  }).flat()
  const forgotten = list(() => {
    const topic = text()
    return list(() => `${topic} ${int32()}`)
  }).flat()
  assert.equal(text(), 'räck')
  assert.equal(at, bytes.length)
  return { sessionId, epoch, named, forgotten, maxBytes }
}

/** A broker's side of KIP-227. */
function createBroker() {
  let sessions = 0
  const open = new Map<number, { epoch: number; reads: Map<string, string> }>()
  return {
    /** Answers what it reads now, and the session it says; or an error, as 70 and 71 do. */
    fetch(body: Buffer, hasRoom: boolean): { sessionId: number; reads: Map<string, string> } | 'error' {
      const { sessionId, epoch, named, forgotten } = decode(body)
      if (epoch === 0) {
        assert.deepEqual(forgotten, [])
        open.delete(sessionId)
        const reads = new Map(named)
        if (!hasRoom) return { sessionId: 0, reads }
        open.set(++sessions, { epoch: 1, reads })
        return { sessionId: sessions, reads }
      }
      const session = open.get(sessionId)
      if (session === undefined || session.epoch !== epoch) return 'error'
      session.epoch++
      for (const [place, offset] of named) session.reads.set(place, offset)
      for (const place of forgotten) assert.ok(session.reads.delete(place), 'only what is read can be forgotten')
      return { sessionId, reads: session.reads }
    },
    forgetAll: () => open.clear(),
  }
}

const request = (reads: ReadonlyMap<string, string>): FetchRequest => ({
  rackId: 'räck',
  topics: Object.entries(Object.groupBy([...reads], ([place]) => place.split(' ')[0] as string)).map(
    ([topic, places]) => ({
      topic,
      partitions: (places ?? []).map(([place, fetchOffset]) => ({
        partition: Number(place.split(' ')[1]),
        fetchOffset,
        maxBytes: 77,
      })),
    }),
  ),
})

const wanted = fc
  .dictionary(fc.constantFrom('a 0', 'a 1', 'a 2', 'ü 0', 'ü 7'), fc.constantFrom('0', '1', '9007199254740993'))
  .map((found) => new Map(Object.entries(found)))
const event = fc.record({
  wanted,
  hasRoom: fc.constantFrom(true, true, false),
  fate: fc.constantFrom('answered', 'answered', 'answered', 'lost on its way', 'answer lost', 'forgotten'),
})

test('whatever is lost or forgotten on the way, the broker reads what was asked for whenever it answers', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 30 }), (events) => {
      const broker = createBroker()
      const session = createFetchSession()
      for (const { wanted, hasRoom, fate } of events) {
        if (fate === 'forgotten') broker.forgetAll()
        const body = session.ask(request(wanted))
        const answer = fate === 'lost on its way' ? 'error' : broker.fetch(body, hasRoom)
        if (answer === 'error' || fate === 'answer lost') {
          session.reset()
          continue
        }
        assert.deepEqual(answer.reads, wanted)
        session.answered(answer.sessionId)
      }
    }),
  )
})

test('what has not moved is not named again, and what is read no more is named once', () => {
  const session = createFetchSession()
  const ask = (reads: Record<string, string>) => decode(session.ask(request(new Map(Object.entries(reads)))))
  assert.deepEqual(ask({ 'a 0': '5', 'a 1': '7' }), {
    sessionId: 0,
    epoch: 0,
    named: [
      ['a 0', '5'],
      ['a 1', '7'],
    ],
    forgotten: [],
    maxBytes: [77, 77],
  })
  session.answered(42)
  const nothing = { sessionId: 42, named: [], forgotten: [], maxBytes: [] }
  assert.deepEqual(ask({ 'a 0': '5', 'a 1': '7' }), { ...nothing, epoch: 1 })
  session.answered(42)
  assert.deepEqual(ask({ 'a 1': '8' }), {
    ...nothing,
    epoch: 2,
    named: [['a 1', '8']],
    forgotten: ['a 0'],
    maxBytes: [77],
  })
  session.answered(42)
  assert.deepEqual(ask({ 'a 1': '8' }), { ...nothing, epoch: 3 })
})

test('a broker that has forgotten the session is asked again at once, for everything', async () => {
  assert.ok(installFetch())
  const { prototype } = require('kafkajs/src/broker')
  const send = Object.getOwnPropertySymbols(prototype).find(({ description }) => description?.endsWith('sendRequest'))
  const asked: Asked[] = []
  const answers = [0, 70, 0, 71, 71]
  const broker = {
    fetch: prototype.fetch,
    async [send as symbol]({ request }: { request: { encode(): Promise<{ buffer: Buffer }> } }) {
      asked.push(decode((await request.encode()).buffer))
      const errorCode = answers.shift()
      return { throttleTime: 0, clientSideThrottleTime: 0, errorCode, sessionId: errorCode ? 0 : 9, responses: [] }
    },
  }
  const fetch = () => broker.fetch(request(new Map([['a 0', '5']])))
  await fetch()
  await fetch()
  await assert.rejects(fetch, { type: 'INVALID_FETCH_SESSION_EPOCH' })
  assert.deepEqual(
    asked.map(({ sessionId, epoch, named }) => [sessionId, epoch, named.length]),
    [
      [0, 0, 1],
      [9, 1, 0],
      [9, 0, 1],
      [9, 1, 0],
      [9, 0, 1],
    ],
  )
})
