/** The reading by windows, on a server in memory that knows the three questions it asks. The real one is asked in test/e2e/replay.test.ts. */
import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import type pg from 'pg'
import { idFloor } from '../../src/core/day.ts'
import { compareKeys, type Key } from '../../src/replay/key.ts'
import { openPostgresSource } from '../../src/replay/postgres-source.ts'
import { describe } from './world.ts'

const epochMicros = 946_684_800_000_000n

function tuple({ micros, partition, offset }: Key, bytes: number): Buffer {
  const int64 = (value: bigint) => {
    const one = Buffer.alloc(8)
    one.writeBigInt64BE(value)
    return one
  }
  const int32 = (value: number) => {
    const one = Buffer.alloc(4)
    one.writeInt32BE(value)
    return one
  }
  const text = (value: string) => Buffer.from(value)
  const data = Buffer.concat([Buffer.from([1]), Buffer.alloc(bytes, 0x31)])
  const fields = [
    int64(BigInt(micros) - epochMicros),
    int32(partition),
    int64(BigInt(offset)),
    text('/s'),
    text('1'),
    text('t'),
    null,
    null,
    data,
    null,
    null,
  ]
  return Buffer.concat([
    Buffer.from([0, 11]),
    ...fields.flatMap((one) => (one === null ? [int32(-1)] : [int32(one.length), one])),
  ])
}

function message(kind: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5)
  head.write(kind, 'latin1')
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

const msOf = (id: string) => Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16)

interface Server {
  readonly client: pg.Client
  readonly windows: { fromMs: number; toMs: number; rows: number }[]
  paused: number
  ended: boolean
  /** The next COPY fails. */
  fails: boolean
  /** None of the rows is wanted. */
  barren: boolean
}

function serverOf(rows: readonly Key[], bytes = 1): Server {
  const sorted = rows.toSorted(compareKeys)
  const server: Server = { client: {} as pg.Client, windows: [], paused: 0, ended: false, fails: false, barren: false }
  let resumed = Promise.withResolvers<void>()
  resumed.resolve()
  const within = (sql: string) => {
    const [, from = '', to = ''] = /id >= '([^']+)' AND id < '([^']+)'/.exec(sql) ?? []
    const [fromMs, toMs] = [msOf(from), msOf(to)]
    return { fromMs, toMs, found: sorted.filter(({ micros }) => micros >= fromMs * 1000 && micros < toMs * 1000) }
  }
  const stream = Object.assign(new EventEmitter(), {
    pause() {
      server.paused++
      resumed = Promise.withResolvers()
    },
    resume: () => resumed.resolve(),
  })
  let busy: { handleReadyForQuery(): void } | null = null
  // The driver: it must see whole messages, and none of the rows.
  stream.on('data', (bytes: Buffer) => {
    assert.equal(bytes.readInt32BE(1), bytes.length - 1)
    assert('cZ'.includes(String.fromCharCode(bytes[0] as number)))
    if (bytes[0] === 0x5a) busy?.handleReadyForQuery()
  })
  const copy = async (
    sql: string,
    query: {
      handleReadyForQuery(): void
      handleError(error: Error): void
    },
  ) => {
    await turn()
    if (server.fails) return query.handleError(new Error('the server is away'))
    const { fromMs, toMs, found } = within(sql)
    server.windows.push({ fromMs, toMs, rows: found.length })
    let rest: Buffer = Buffer.alloc(0)
    for (const [index, row] of server.barren ? [] : found.entries()) {
      if (index % 50 === 0) await turn()
      await resumed.promise
      if (server.ended) return query.handleError(new Error('Connection terminated'))
      // As a socket has it: in pieces that know nothing of messages.
      const sent = Buffer.concat([rest, message('d', tuple(row, bytes))])
      const cut = sent.length - (index % 40)
      stream.emit('data', sent.subarray(0, cut))
      rest = sent.subarray(cut)
    }
    busy = query
    stream.emit('data', Buffer.concat([rest, message('c', Buffer.alloc(0)), message('Z', Buffer.from('I'))]))
  }
  const client = {
    escapeLiteral: (text: string) => `'${text}'`,
    query(sql: string | { submit(connection: object): void }) {
      if (typeof sql !== 'string') {
        return sql.submit({ stream, query: (text: string) => void copy(text, sql as never) })
      }
      if (!sql.includes('SELECT')) return Promise.resolve({ rows: [] })
      const { found } = within(sql)
      const row = sql.includes('DESC') ? found.at(-1) : found[0]
      return Promise.resolve({ rows: row === undefined ? [] : [{ id: idFloor(Math.floor(row.micros / 1000)) }] })
    },
    async end() {
      server.ended = true
      resumed.resolve()
    },
  }
  return Object.assign(server, { client: client as unknown as pg.Client })
}

const sourceOf = (server: Server) =>
  openPostgresSource({
    connect: async () => server.client,
    description: describe(),
    table: 't',
    topic: 'c',
    cuts: { 0: 5 },
  })
const keyOf = ({ micros, partition, offset }: Key): Key => ({ micros, partition, offset })

const begin = 1_763_700_000_000_000
/** Bursts, gaps of hours, several in a microsecond. */
const rows = fc
  .array(fc.tuple(fc.constantFrom(0, 1, 999, 1000, 3_600_000_000, 40 * 3_600_000_000), fc.nat(3)), { maxLength: 300 })
  .map((steps) => {
    let micros = begin
    return steps.map(([gap, partition], offset): Key => {
      micros += gap
      return { micros, partition, offset }
    })
  })

test('every row once, in order, from any place on; windows neither overlap nor leave out anything', async () => {
  await fc.assert(
    fc.asyncProperty(rows, fc.nat(), async (all, place) => {
      const server = serverOf(all)
      const sorted = all.toSorted(compareKeys)
      const index = (place % (sorted.length + 1)) - 1
      const got: Key[] = []
      let share = 0
      const from = { after: sorted[index] ?? null, kafka: null }
      for await (const batch of sourceOf(server).read(from, AbortSignal.timeout(20_000))) {
        got.push(...batch.events.map(keyOf))
        assert(batch.share >= share && batch.share <= 1)
        share = batch.share
      }
      assert.deepEqual(got, sorted.slice(index + 1))
      assert(server.ended)
      for (const [at, { fromMs }] of server.windows.entries()) assert(fromMs >= (server.windows[at - 1]?.toMs ?? 0))
      // Days without anything are passed over, not asked for piece by piece.
      assert(server.windows.length <= 3 * (new Set(all.map(({ micros }) => Math.floor(micros / 1_000_000))).size + 1))
    }),
    { numRuns: 60 },
  )
})

test('where nobody takes what has come, the server waits; nothing is lost by that', async () => {
  const count = 3000
  const all = Array.from({ length: count }, (_, offset) => ({ micros: begin + offset, partition: 0, offset }))
  const server = serverOf(all, 20_000)
  const reading = sourceOf(server).read({ after: null, kafka: null }, AbortSignal.timeout(20_000))
  let got = (await reading.next()).value?.events.length ?? 0
  for (let i = 0; i < 500; i++) await turn()
  assert(server.paused > 0, 'the server was not told to wait')
  for await (const { events } of reading) got += events.length
  assert.equal(got, count)
})

test('where no row is wanted, it is told how far the search is', async () => {
  const hourMicros = 3_600_000_000
  const all = Array.from({ length: 500 }, (_, offset) => ({
    micros: begin + offset * hourMicros,
    partition: 0,
    offset,
  }))
  const server = serverOf(all)
  server.barren = true
  const shares: number[] = []
  for await (const { events, share } of sourceOf(server).read(
    { after: null, kafka: null },
    AbortSignal.timeout(20_000),
  )) {
    assert.deepEqual(events, [])
    shares.push(share)
  }
  assert(shares.length > 5, `${shares.length} times`)
  assert.deepEqual(
    shares,
    shares.toSorted((a, b) => a - b),
  )
  assert((shares.at(-1) as number) <= 1)
})

test('left early, or called off, the connection is closed; a failure is told behind what came before it', async () => {
  const all = Array.from({ length: 5000 }, (_, offset) => ({ micros: begin + offset * 1000, partition: 0, offset }))
  const left = serverOf(all)
  for await (const _ of sourceOf(left).read({ after: null, kafka: null }, AbortSignal.timeout(20_000))) break
  assert(left.ended)

  const off = new AbortController()
  const called = serverOf(all)
  const reading = sourceOf(called).read({ after: null, kafka: null }, off.signal)
  await reading.next()
  off.abort(new Error('enough'))
  await assert.rejects(async () => {
    for await (const _ of reading);
  }, /enough/)
  assert(called.ended)

  const failing = serverOf(all)
  const until = sourceOf(failing).read({ after: null, kafka: null }, AbortSignal.timeout(20_000))
  await until.next()
  failing.fails = true
  await assert.rejects(async () => {
    for await (const _ of until);
  }, /the server is away/)
})
