/** `millrace state ...` on a real PostgreSQL: sealed and hot days, late events, snapshots, retired days, and what it says when there is no answer. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { partitionName } from '../../src/core/day.ts'
import { loadReducer } from '../../src/process/load-reducer.ts'
import { ensurePartitions } from '../../src/schema/partitions.ts'
import { stateCommand } from '../../src/state/command.ts'
import { withHistory } from '../../src/state/postgres-history.ts'
import { makeSnapshot } from '../../src/state/snapshots.ts'
import { millrace } from '../e2e/millrace.ts'
import { until } from '../keeper/world.ts'
import { noSignal, useServer } from '../schema/database.ts'
import { explain } from '../schema/plan.ts'
import { late, orderRows, table, today, worldOf } from './world.ts'

const server = useServer()
const world = async () => worldOf(await server.database())

test('an order at any instant, its timeline, and what changed between two', async () => {
  const { put, json, run, seal } = await world()
  await put(orderRows)
  await seal(today - 2)
  const statusAt = async (at: string) => {
    const { state, events } = await json('show', ['ord_1'], { at })
    return [state?.status ?? null, state?.amount ?? null, events]
  }
  assert.deepEqual(await statusAt('2026-11-19T09:59:59.999999Z'), [null, null, 0])
  assert.deepEqual(await statusAt('2026-11-19T10:00:00Z'), ['open', 12.5, 1])
  assert.deepEqual(await statusAt('2026-11-19T11:00:00Z'), ['open', 12.5, 1], 'the next is a microsecond later')
  assert.deepEqual(await statusAt('2026-11-19T11:00:00.000001Z'), ['open', 13, 2])
  assert.deepEqual(await statusAt('2026-11-20T23:59:59Z'), ['open', 14, 3])
  assert.deepEqual(await statusAt('now'), ['fulfilled', 14, 4])
  const early = await json('show', ['ord_1'], { at: '2026-11-19' })
  assert.equal(early.begins, '2026-11-19T10:00:00.000000Z')

  const first = await json('timeline', ['ord_1'], { limit: '3', states: true })
  assert.deepEqual(
    first.items.map(({ event, before, after }: never) => [
      (event as { id: string }).id,
      before === null,
      (after as { amount: number }).amount,
    ]),
    [
      ['e1', true, 12.5],
      ['e2', false, 13],
      ['e3', false, 14],
    ],
  )
  const rest = await json('timeline', ['ord_1'], { after: first.next, states: true })
  assert.deepEqual(
    [rest.items.length, rest.items[0].before.status, rest.items[0].after.status, rest.next],
    [1, 'open', 'fulfilled', null],
  )
  assert.equal(rest.items[0].place, 'cloud-events/3@7')

  const changed = await json('diff', ['ord_1'], { from: '2026-11-19T12:00:00Z', to: '2026-11-20T12:00:00Z' })
  assert.deepEqual(
    changed.changes.map(({ path, before, after }: never) => [path, before, after]),
    [
      ['/amount', 13, 14],
      ['/changedAt', '2026-11-19T11:00:00.000001Z', '2026-11-20T09:00:00.000000Z'],
      ['/changes', 2, 3],
    ],
  )
  assert.match(
    (await run('show', ['ord_1'])).out,
    /ord_1, order, at 2026-11-21T12:00:00Z\n\{[\s\S]*"status": "fulfilled"[\s\S]*4 events, the last com.bss.order.fulfilled/,
  )
  assert.match((await run('timeline', ['ord_1'], { states: true })).out, /~ \/status: "open" -> "fulfilled"/)
  assert.match(
    (await run('diff', ['ord_1'], { from: '2026-11-21', to: 'now' })).out,
    /1 event\n\n~ \/status: "open" -> "fulfilled"/,
  )
})

test('a snapshot is used, until an event comes late; made anew, it is right again', async () => {
  const { put, json, run, session } = await world()
  await put(orderRows)
  const at = '2026-11-20T12:00:00Z'
  const made = await json('snapshot', ['ord_1'], { at })
  assert.deepEqual([made[0].events, made[0].isNew], [3, true])
  assert.equal((await json('snapshot', ['ord_1'], { at }))[0].isNew, false)
  const used = await json('show', ['ord_1'])
  assert.deepEqual(
    [used.snapshot.at, used.read, used.events, used.passedOver],
    ['2026-11-20T12:00:00.000000Z', 1, 4, []],
  )
  const full = await json('show', ['ord_1'], { full: true })
  assert.deepEqual([full.snapshot, full.read], [null, 4])
  assert.deepEqual(used.state, full.state)
  assert.equal((await json('restore', ['ord_1'], { check: true })).state.amount, 14)

  await put([late])
  const after = await json('show', ['ord_1'])
  assert.deepEqual([after.snapshot, after.events, after.state.channel], [null, 5, 'shop'])
  assert.deepEqual(after.passedOver, [{ at: '2026-11-20T12:00:00.000000Z', kind: 'late', events: 1 }])
  await assert.rejects(run('restore', ['ord_1']), { code: 'SNAPSHOT_MISSING', message: /1 events came later/ })
  const listed = await json('snapshots', [], { check: true })
  assert.deepEqual(
    listed.snapshots.map(({ verdict, off }: never) => [verdict, off]),
    [['late', 1]],
  )
  await json('snapshot', ['ord_1'], { at })
  const again = await json('show', ['ord_1'])
  assert.deepEqual([again.snapshot.events, again.read, again.state], [4, 1, after.state])
  assert.equal((await json('snapshots', ['ord_1'], { check: true })).snapshots[0].verdict, 'right')

  // Whoever writes into a snapshot by hand, or has a reducer that is not pure, is found by --check, and by nothing cheaper.
  await session.query(`update state_snapshots set state = '{"status":"forged"}'`)
  assert.equal((await json('snapshots', ['ord_1'])).snapshots[0].verdict, 'right')
  await assert.rejects(run('snapshots', ['ord_1'], { check: true }), { code: 'SNAPSHOT_WRONG' })
  await assert.rejects(run('restore', ['ord_1'], { check: true }), { code: 'SNAPSHOT_WRONG' })
  await run('snapshots', [], { check: true, drop: true, yes: true })
  assert.deepEqual((await json('snapshots', [])).snapshots, [])
  const { rows } = await session.query(`select actor, action, target, detail->>'verdict' as verdict from audit`)
  assert.deepEqual(rows, [{ actor: 'ann@desk', action: 'state snapshots --drop', target: 'ord_1', verdict: 'WRONG' }])
})

test('a snapshot of another reducer is told, not used, and dropped on request', async () => {
  const { put, json, session } = await world()
  await put(orderRows)
  await json('snapshot', ['ord_1'], { at: '2026-11-20' })
  await session.query(`update state_snapshots set hash = 'older'`)
  assert.equal((await json('show', ['ord_1'])).snapshot, null)
  const told = await json('snapshots', [], { drop: true })
  assert.deepEqual([told.snapshots[0].verdict, told.dropped, told.isDone], ['another reducer', 1, false])
  assert.equal((await json('snapshots', [])).snapshots.length, 1)
})

test('a day that is retired: a snapshot still knows it, a fold does not, and both say so', async () => {
  const { put, json, run, session } = await world()
  await put(orderRows)
  await json('snapshot', ['ord_1'], { at: '2026-11-20' })
  await session.query(`drop table ${partitionName(table, today - 2)}`)
  const shown = await json('show', ['ord_1'])
  assert.deepEqual([shown.events, shown.state.createdAt, shown.since], [4, '2026-11-19T10:00:00.000000Z', '2026-11-20'])
  assert.equal((await json('show', ['ord_1'], { full: true })).state.createdAt, null)
  assert.equal((await json('snapshots', [], { check: true })).snapshots[0].verdict, 'not to be checked')
  await assert.rejects(run('show', ['ord_1'], { at: '2026-11-19T12:00:00Z' }), { code: 'HISTORY_EXPIRED' })
  // In the middle of a day that is gone: what came behind it that day is not known any more.
  await session.query(`update state_snapshots set at = '2026-11-19T10:30:00Z'`)
  assert.equal((await json('show', ['ord_1'])).snapshot, null)
  assert.equal((await json('restore', ['ord_1'])).at, '2026-11-19T10:30:00.000000Z')
})

test('what was known then', async () => {
  const { put, json, run } = await world()
  await put(orderRows)
  await put([{ ...late, stored: '2026-11-21T07:00:00Z' }])
  const at = '2026-11-20T12:00:00Z'
  assert.equal((await json('show', ['ord_1'], { at })).state.channel, 'shop')
  const then = await json('show', ['ord_1'], { at, known: at })
  assert.deepEqual([then.state.channel, then.events], [null, 3])
  await assert.rejects(run('show', ['ord_1'], { at, known: '2026-11-19' }), { code: 'SUBJECT_UNKNOWN' })
})

test('a subject of sealed days is found by the index alone, counted without a row, and the hot day is told', async () => {
  const { put, fill, seal, session, run } = await world()
  await fill(today - 2, 20_000)
  await fill(today - 1, 20_000)
  await put(orderRows)
  await seal(today - 2)
  await seal(today - 1)
  // What the history asks, word for word: heard at the session.
  const asked: { text: string; values: unknown[] }[] = []
  const heard = {
    query(text: string, values?: unknown[]) {
      asked.push({ text, values: values ?? [] })
      return session.query(text, values)
    },
  }
  await withHistory(heard, table, async (history) => {
    const to = '2026-11-20T23:59:59.999999Z'
    assert.deepEqual(
      (await history.days()).map(({ day, indexed }) => [day, indexed]),
      [
        ['2026-11-19', true],
        ['2026-11-20', true],
        ['2026-11-21', false],
      ],
    )
    await history.counts('ord_1', to)
    for await (const _ of history.events({ subject: 'ord_1', after: null, to: { time: to } }));
    const after = { time: '2026-11-20T00:00:00.000000Z' }
    for await (const _ of history.events({ subject: 'ord_1', after, to: { time: to } }));
  })
  const plans = []
  for (const { text, values } of asked.filter(({ text }) => /subject = \$1/.test(text))) {
    const query = text
      .replace(/^declare \w+ no scroll cursor for/, '')
      .replaceAll(/\$(\d)/g, (_, n) => `'${values[Number(n) - 1]}'`)
    plans.push(await explain(session, query))
  }
  assert.equal(plans.length, 3)
  for (const [n, plan] of plans.entries()) {
    assert.deepEqual(
      plan.scans.map((one) => one.table),
      n === 2 ? ['cloud_events_2026_11_20'] : ['cloud_events_2026_11_19', 'cloud_events_2026_11_20'],
    )
    for (const scan of plan.scans) {
      assert.match(scan.index ?? 'none', /_subject$/, JSON.stringify(plan))
      assert.ok(scan.rows <= 2)
    }
  }
  assert.equal((await run('show', ['ord_1'])).err, '', 'a hot day that is small is not worth a word')
  await fill(today, 250_000)
  await session.query(`analyze ${partitionName(table, today)}`)
  assert.match(
    (await run('show', ['ord_1'])).err,
    /2026-11-21 is not sealed: some 250,00\d rows are read from end to end/,
  )
  assert.equal((await run('show', ['ord_1'], { at: '2026-11-20T12:00:00Z' })).err, '')
})

test('a long history, more than one page of the cursor, equal times: folded in order, with and without a snapshot', async () => {
  const { session, json } = await world()
  await session.query(
    `insert into ${table} (id, event_time, source, event_id, type, subject, data, kafka_topic, kafka_partition, kafka_offset, kafka_time)
     select millrace_event_id(at, '/u', n::text), at, '/u', n::text, 'com.bss.usage.recorded', 'sub_9', jsonb_build_object('meter', 'm' || n % 3, 'quantity', n), 't', 0, n, at
     from generate_series(1, 9000) n, lateral (select timestamptz '2026-11-20T00:00:00Z' + n / 4 * interval '9 s' as at) made`,
  )
  const { state, events } = await json('show', ['sub_9'])
  assert.equal(events, 9000)
  assert.equal(
    Object.values(state.used as Record<string, number>).reduce((sum, one) => sum + one, 0),
    (9000 * 9001) / 2,
  )
  await json('snapshot', ['sub_9'], { at: '2026-11-20T18:00:00Z' })
  const used = await json('show', ['sub_9'])
  assert.deepEqual([used.read, used.state], [9000 - used.snapshot.events, state])
  const { items } = await json('timeline', ['sub_9'], { limit: '9999' })
  const places = items.map(({ event }: { event: { time: string; key: string } }) => `${event.time},${event.key}`)
  assert.deepEqual(places, places.toSorted())
})

test('an event that commits while a snapshot is made is late to it', async () => {
  const { put, json, session, connect } = await world()
  await put(orderRows)
  const beside = await connect()
  let isPut = false
  const slow = {
    async query(text: string, values?: unknown[]) {
      const answer = await session.query(text, values)
      // Its view of the database is of before, its row is written after.
      if (text.startsWith('fetch') && !isPut) {
        isPut = true
        await put([late], beside)
      }
      return answer
    },
  }
  const reducer = await loadReducer('order')
  const made = await makeSnapshot(
    { session: slow, table, actor: 'ann@desk' },
    reducer,
    'ord_1',
    '2026-11-20T12:00:00.000000Z',
  )
  assert.deepEqual([isPut, made.events], [true, 3])
  const shown = await json('show', ['ord_1'])
  assert.deepEqual([shown.snapshot, shown.events, shown.state.channel], [null, 5, 'shop'])
})

test('ten who make the same snapshot at once make one', async () => {
  const { put, json, connect } = await world()
  await put(orderRows)
  const reducer = await loadReducer('order')
  const at = '2026-11-20T12:00:00.000000Z'
  const sessions = await Promise.all(Array.from({ length: 10 }, connect))
  const made = await Promise.all(
    sessions.map((session) => makeSnapshot({ session, table, actor: 'ann@desk' }, reducer, 'ord_1', at)),
  )
  assert.ok(made.every(({ events }) => events === 3))
  assert.equal((await json('snapshots', [], { check: true })).snapshots.length, 1)
})

test('Ctrl-C ends a question at once, and its work on the server soon', async () => {
  const { put, session, connect, context } = await world()
  await put(orderRows)
  const holder = await connect()
  await holder.query(`begin; lock table ${table} in access exclusive mode`)
  const stop = new AbortController()
  let said = ''
  const flags = { consumer: 'cloud-events' }
  const asked = stateCommand('show', ['ord_1'], flags, {
    ...context,
    signal: stop.signal,
    writeError: (text) => {
      said += text
    },
  })
  const backends = async () => {
    const { rows } = await session.query(
      "select count(*)::int as n from pg_stat_activity where application_name = 'millrace state show' and datname = current_database()",
    )
    return rows[0].n as number
  }
  await until('the question to wait', async () => {
    const { rows } = await session.query(
      "select 1 from pg_stat_activity where application_name = 'millrace state show' and wait_event_type = 'Lock' and datname = current_database()",
    )
    return rows.length > 0
  })
  const startMs = performance.now()
  stop.abort(new Error('SIGINT'))
  assert.deepEqual([await asked, said], [1, 'stopped\n'])
  assert.ok(performance.now() - startMs < 1000)
  await until('the server to notice', async () => (await backends()) === 0)
  await holder.query('rollback')
})

test('a subject index made by hand serves the days made from then on', async () => {
  const { session, put } = await world()
  await session.query(`create index on only ${table} (subject, event_time)`)
  await ensurePartitions(session, table, [today + 1], { signal: noSignal })
  await put(orderRows)
  await withHistory(session, table, async (history) => {
    assert.deepEqual(
      (await history.days()).map(({ indexed }) => indexed),
      [false, false, false, true],
    )
  })
})

test('as a process: exit codes, and one line that says what is wrong', async () => {
  const { put, env } = await world()
  await put(orderRows)
  const cases: [args: string[], code: number, said: RegExp][] = [
    [['show', 'ord_1', '--at', '2026-11-20', '--json'], 0, /"status":"open"/],
    [['show', 'ord_9'], 1, /SUBJECT_UNKNOWN|HISTORY_EXPIRED/],
    [['show', 'xyz_1'], 1, /REDUCER_UNKNOWN.*ord_... is order/],
    [['show', 'ord_1', '--reducer', 'ordr'], 1, /REDUCER_UNKNOWN: There is no reducer 'ordr'. Did you mean 'order'/],
    [['show', 'ord_1', '--at', '2026-02-30'], 2, /USAGE: --at reads '2026-02-30', and there is no such time/],
    [['diff', 'ord_1', '--from', '2026-11-21', '--to', '2026-11-20'], 2, /USAGE: .*after.*Swap/],
    [['restore', 'ord_1', '--at', '2026-11-20'], 1, /SNAPSHOT_MISSING/],
    [['show'], 2, /missing required argument 'subject'/],
  ]
  for (const [args, code, said] of cases) {
    const answer = await millrace(env, 'state', ...args)
    assert.equal(answer.code, code, args.join(' ') + answer.err)
    assert.match(answer.out + answer.err, said)
  }
  const help = await millrace(env, 'state', 'show', '--help')
  assert.match(help.out, /--at <time>[\s\S]*not sealed/)
})
