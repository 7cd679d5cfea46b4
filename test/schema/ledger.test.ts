import assert from 'node:assert/strict'
import { test } from 'node:test'
import type pg from 'pg'
import type { Session } from '../../src/schema/sql.ts'
import { type Database, useServer } from './database.ts'

const server = useServer()

interface Move {
  partition: number
  expected: number
  next: number
  stored?: number
  duplicated?: number
  published?: number | null
  streams?: Record<string, number> | null
}

async function ledgerOf(partitions: number): Promise<Database> {
  const database = await server.database()
  await (await database.connect()).query(
    `insert into ledger (consumer, topic, partition, start_offset, next_offset)
     select 'c', 't', n, 0, 0 from generate_series($1::integer - 1, 0, -1) n`,
    [partitions],
  )
  return database
}

/** As the persist room does: everything in the text of one message. */
function call(moves: Move[]): string {
  const list = (value: (move: Move) => unknown) => `'{${moves.map((move) => value(move) ?? 'null').join(',')}}'`
  const streams = moves.map((move) => (move.streams ? `'${JSON.stringify(move.streams)}'` : 'null')).join(',')
  const none = list(() => 0)
  return `call millrace_advance('c', 't', ${list((m) => m.partition)}, ${list((m) => m.expected)}, ${list((m) => m.next)},
    ${list((m) => m.stored ?? 0)}, ${none}, ${list((m) => m.duplicated ?? 0)}, ${none}, ${list((m) => m.published)}, array[${streams}]::jsonb[])`
}

/** Until `session` waits for another one's lock. */
async function waitedFor(watcher: Session, session: pg.Client): Promise<void> {
  const { processID } = session as unknown as { processID: number }
  while ((await watcher.query('select pg_blocking_pids($1) as pids', [processID])).rows[0].pids.length === 0);
}

async function nextOffsets(session: Session): Promise<number[]> {
  return (await session.query('select next_offset from ledger order by partition')).rows.map((row) =>
    Number(row.next_offset),
  )
}

test('advance moves every partition given, counts, and keeps the higher published mark', async () => {
  const session = await (await ledgerOf(3)).connect()
  await session.query(
    call([
      { partition: 0, expected: 0, next: 5, stored: 4, duplicated: 1 },
      { partition: 2, expected: 0, next: 7, stored: 7 },
    ]),
  )
  await session.query(
    call([{ partition: 2, expected: 7, next: 9, stored: 2, published: 7, streams: { 'events:a': 7, 'events:b': 3 } }]),
  )
  await session.query(
    call([{ partition: 2, expected: 9, next: 12, duplicated: 3, published: 4, streams: { 'events:a': 9 } }]),
  )
  const { rows } = await session.query(
    `select partition, next_offset, published_offset, streams, stored, duplicated from ledger order by partition`,
  )
  assert.deepEqual(rows, [
    { partition: 0, next_offset: '5', published_offset: null, streams: {}, stored: '4', duplicated: '1' },
    { partition: 1, next_offset: '0', published_offset: null, streams: {}, stored: '0', duplicated: '0' },
    {
      partition: 2,
      next_offset: '12',
      published_offset: '7',
      streams: { 'events:a': 9, 'events:b': 3 },
      stored: '9',
      duplicated: '3',
    },
  ])
})

test('one partition out of place and none moves; the error names the first with both offsets', async () => {
  const session = await (await ledgerOf(4)).connect()
  await session.query(
    call([
      { partition: 2, expected: 0, next: 5 },
      { partition: 3, expected: 0, next: 5 },
    ]),
  )
  const moves = [0, 1, 3, 2].map((partition) => ({ partition, expected: 0, next: 5 }))
  await assert.rejects(session.query(call(moves)), {
    code: 'MR001',
    message: 'partition 2 of c/t: expected next offset 0, found 5',
  })
  await assert.rejects(
    session.query(
      call([
        { partition: 1, expected: 0, next: 1 },
        { partition: 77, expected: 3, next: 4 },
      ]),
    ),
    {
      code: 'MR001',
      message: 'partition 77 of c/t: expected next offset 3, found no row',
    },
  )
  assert.deepEqual(await nextOffsets(session), [0, 0, 5, 5])
})

test('a call that makes no sense is not taken for a fenced one', async () => {
  const session = await (await ledgerOf(2)).connect()
  await session.query(call([{ partition: 0, expected: 0, next: 5 }]))
  const twice = call([
    { partition: 0, expected: 5, next: 6 },
    { partition: 0, expected: 5, next: 6 },
  ])
  const backwards = call([{ partition: 0, expected: 5, next: 4 }])
  const nothing = `call millrace_advance('c', 't', null, null, null, null, null, null, null, null, null)`
  for (const query of [twice, backwards, nothing]) await assert.rejects(session.query(query), { code: 'MR002' })
  const ahead = call([{ partition: 0, expected: 5, next: 6, published: 7 }])
  await assert.rejects(session.query(ahead), { code: '23514', constraint: 'ledger_marks' })
  assert.deepEqual(await nextOffsets(session), [5, 0])
})

test('a zombie that waited for its successor is fenced, though both took the very same records', async () => {
  const database = await ledgerOf(2)
  const [successor, zombie, watcher] = [await database.connect(), await database.connect(), await database.connect()]
  const batch = call([0, 1].map((partition) => ({ partition, expected: 0, next: 5, stored: 5 })))
  await successor.query(`begin; ${batch}`)
  const fenced = assert.rejects(zombie.query(`begin; ${batch}; commit`), {
    code: 'MR001',
    message: 'partition 0 of c/t: expected next offset 0, found 5',
  })
  await waitedFor(watcher, zombie)
  await successor.query('commit')
  await fenced
  await zombie.query('rollback')
  assert.deepEqual(await nextOffsets(watcher), [5, 5])
})

test('who waited for the process before it, and expects what that one left, moves on from there', async () => {
  const database = await ledgerOf(2)
  const [first, second, watcher] = [await database.connect(), await database.connect(), await database.connect()]
  await first.query(`begin; ${call([0, 1].map((partition) => ({ partition, expected: 0, next: 5, stored: 5 })))}`)
  const following = second.query(
    call([1, 0].map((partition) => ({ partition, expected: 5, next: 8 + partition, stored: 3 }))),
  )
  await waitedFor(watcher, second)
  await first.query('commit')
  await following
  assert.deepEqual(await nextOffsets(watcher), [8, 9])
  assert.equal((await watcher.query('select sum(stored)::integer as n from ledger')).rows[0].n, 16)
})

test('processes that name the same partitions in any order never deadlock', async () => {
  const database = await ledgerOf(30)
  const sessions = await Promise.all(Array.from({ length: 6 }, () => database.connect()))
  // Half of them find the rows by index, from the first partition on, half by reading the table, which begins with the last.
  await Promise.all(
    sessions.slice(3).map((session) => session.query('set enable_indexscan = off; set enable_bitmapscan = off')),
  )
  const outcomes = { moved: 0, fenced: 0 }
  await Promise.all(
    sessions.map(async (session, index) => {
      for (let round = 0; round < 40; round++) {
        const offsets = await nextOffsets(session)
        // Each session walks the partitions at a stride of its own, so that no two agree on the order of the array.
        const order = offsets.map((_, at) => ((at + round) * [1, 7, 11, 13, 17, 29][index]!) % 30)
        const moves = order.map((partition) => ({
          partition,
          expected: offsets[partition]!,
          next: offsets[partition]! + 1,
        }))
        try {
          await session.query(`begin; ${call(moves)}; commit`)
          outcomes.moved++
        } catch (error) {
          await session.query('rollback')
          assert.equal((error as { code: string }).code, 'MR001')
          outcomes.fenced++
        }
      }
    }),
  )
  assert.deepEqual(await nextOffsets(sessions[0]!), Array(30).fill(outcomes.moved))
  assert.equal(outcomes.moved + outcomes.fenced, 240)
  assert.ok(outcomes.fenced > 0, 'sessions must have met')
})

test('advancing leaves the index alone: updates of the ledger are HOT', async () => {
  const session = await (await ledgerOf(100)).connect()
  for (let round = 0; round < 100; round++) {
    const moves = Array.from({ length: 100 }, (_, partition) => ({
      partition,
      expected: round,
      next: round + 1,
      streams: { 'events:cloud': round + 1, 'events:payments': round + 1, 'events:usage': round + 1 },
    }))
    await session.query(`begin; ${call(moves)}; commit`)
  }
  await session.query('select pg_stat_force_next_flush()')
  const { rows } = await session.query(
    `select n_tup_upd::integer as updated, (n_tup_upd - n_tup_hot_upd)::integer as cold, pg_relation_size('ledger')::integer as bytes
     from pg_stat_user_tables where relname = 'ledger'`,
  )
  assert.equal(rows[0].updated, 10_000)
  // All of them, but for moments when something else (autovacuum in this young database) holds an old snapshot.
  assert.ok(rows[0].cold <= 5_000, `${rows[0].cold} updates touched the index`)
  assert.ok(rows[0].bytes < 2_000_000, `${rows[0].bytes} bytes for 100 rows`)
})
