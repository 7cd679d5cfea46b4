/**
 * Nothing that the keeper does holds up those who store: the longest pause of lanes that never stop, on the fast path and on the slow one, and of
 * queries, while days are made, retired and sealed, and readers hold the parent and the days in open transactions.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dayMs, dayText, partitionName } from '../../src/core/day.ts'
import { partitionDays, readPartitions } from '../../src/schema/partitions.ts'
import { useServer } from '../schema/database.ts'
import { openStoring } from './flow.ts'
import { keep, keeperClient, makeDays, put, states, table, today, until } from './world.ts'

const server = useServer()
const pauseMsMax = 2000
const old = today - 50
const closed = today - 3

/** Works without a break until told to stop; answers how often, and how long the longest took. */
function working(work: (n: number) => Promise<unknown>) {
  let stopped = false
  let longestMs = 0
  let count = 0
  const running = (async () => {
    while (!stopped) {
      const from = performance.now()
      await work(count++)
      longestMs = Math.max(longestMs, performance.now() - from)
    }
  })()
  running.catch(() => {})
  return async () => {
    stopped = true
    await running
    return { count, longestMs: Math.round(longestMs) }
  }
}

test('a reader in an open transaction, days made, retired and sealed: no lane and no query pauses for 2 s', async (t) => {
  const database = await server.database()
  const [session, reader, querying] = [await keeperClient(database), await database.connect(), await database.connect()]
  await makeDays(session, [old, closed, today - 1, today], 2000)
  await using lane = await openStoring(database.url, 0)
  await using slow = await openStoring(database.url, 1)
  const events = (kind: string, n: number, count: number) =>
    Array.from({ length: count }, (_, at) => ({ id: `${kind}-${n}-${at}`, timeMs: Date.now() - (at % 2) * dayMs }))
  const stops = {
    fast: working((n) => lane.store(events('fast', n, 50), Date.now())),
    // The same event twice: staged, and inserted through the parent.
    slow: working((n) => slow.store([...events('slow', n, 10), { id: 'again', timeMs: today * dayMs }], Date.now())),
    late: working((n) => put(session, closed, 1, `late-${n}-`)),
    query: working(() => querying.query('select count(*) from cloud_events where id >= millrace_id_floor(now())')),
  }
  await reader.query('begin; select * from cloud_events')

  const policy = { aheadDays: 5, sealAfterHours: 1, retentionDays: 40, retention: 'drop' } as const
  const { keeper, hear, actions } = keep(database, { policy })
  await until('the days are made, although the reader holds the parent', () => actions('made') === 5)
  await hear(/retention of .*waits for a lock/)
  assert.equal((await states(reader))[dayText(old)], 'pending')
  await until('an index waits for the reader', async () => {
    const { partitions } = await readPartitions(querying, table)
    return partitions.some(({ indexes }) => indexes.some(({ valid }) => !valid))
  })
  await reader.query('commit')
  await hear(/dropped/)
  await until('sealed', () => actions('sealed') >= 1)
  await keeper.stop()
  for (const [name, stop] of Object.entries(stops)) {
    const { count, longestMs } = await stop()
    t.diagnostic(`${name}: ${count} times, the longest ${longestMs} ms`)
    assert.ok(count > 10, name)
    assert.ok(longestMs <= pauseMsMax, `${name} paused for ${longestMs} ms`)
  }
  assert.equal((await partitionDays(session, table)).includes(old), false)
})

test('a reader of the very day that is to be dropped: who writes to it by name waits for no more than a lock_timeout', async (t) => {
  const database = await server.database()
  const [session, reader, writer] = [await keeperClient(database), await database.connect(), await database.connect()]
  await makeDays(session, [old], 10)
  await writer.query("set lock_timeout = '6s'")
  await reader.query(`begin; select * from ${partitionName(table, old)}`)
  const stop = working((n) => put(writer, old, 1, `direct-${n}-`))
  const policy = { aheadDays: 1, sealAfterHours: 0, retentionDays: 40, retention: 'drop' } as const
  const { keeper, hear } = keep(database, { policy })
  await hear(/retention of .*\((pending|detached)\) waits for a lock/)
  await keeper.stop()
  const { count, longestMs } = await stop()
  t.diagnostic(`${count} times, the longest ${longestMs} ms`)
  assert.ok(longestMs > 500, 'it did wait')
  assert.ok(longestMs <= pauseMsMax, `paused for ${longestMs} ms`)
  await reader.query('commit')
})
