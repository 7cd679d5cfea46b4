/**
 * What a question about the past costs: the state of a subject with many events on sealed days, among the events of everybody else.
 *
 *   full       a fold of all its events
 *   snapshot   from a snapshot that has most of them: look at the catalog, count in the index, read what is behind it
 *   hot day    the same subject on a day that is not sealed, so that it is read from end to end
 *
 * The whole call is measured as `millrace state show` makes it, on one connection that is open, in turns; medians and the worst. The goal is 50 ms with a
 * snapshot. What is answered is compared: all ways must say the same.
 */
import pg from 'pg'
import { count } from '../src/core/count.ts'
import { dayMs, dayOf, partitionName } from '../src/core/day.ts'
import { canonicalJson } from '../src/core/json.ts'
import { median } from '../src/core/median.ts'
import { seal } from '../src/keeper/seal.ts'
import { keeperSession } from '../src/keeper/turn.ts'
import { loadReducer } from '../src/process/load-reducer.ts'
import { migrate } from '../src/schema/migrate.ts'
import { ensurePartitions } from '../src/schema/partitions.ts'
import { startStack } from '../src/stack/stack.ts'
import { instantOfMs } from '../src/state/instant.ts'
import { withHistory } from '../src/state/postgres-history.ts'
import { makeSnapshot } from '../src/state/snapshots.ts'
import { type FoldOptions, type StateAt, stateAt } from '../src/state/state-at.ts'
import { number, table } from './report.ts'
import { root } from './world.ts'

export interface StateOptions {
  /** Of the subject that is asked for, over the sealed days. */
  readonly events: number
  /** Of everybody else, a day. */
  readonly others: number
  readonly rounds: number
  readonly signal: AbortSignal
  readonly say: (text: string) => void
}

const events = 'cloud_events'
const subject = 'sub_asked'
const sealedDays = 3
const goalMs = 50

export async function state({ events: own, others, rounds, signal, say }: StateOptions): Promise<object> {
  await using open = new AsyncDisposableStack()
  say('starting PostgreSQL')
  const stack = open.use(
    await startStack({ root, name: 'bench-state', servers: ['postgres'], fresh: true, lasting: true, signal }),
  )
  const connect = async () => {
    const client = new pg.Client({ connectionString: stack.postgres })
    client.on('error', () => {})
    await client.connect()
    open.defer(() => client.end().catch(() => {}))
    return client
  }
  const session = await connect()
  await migrate({ session, signal })
  const today = dayOf(Date.now())
  const days = Array.from({ length: sealedDays }, (_, n) => today - sealedDays + n)
  await ensurePartitions(session, events, [...days, today], { signal })
  const keeper = await connect()
  await keeper.query(keeperSession)
  for (const day of days) {
    say(`filling and sealing ${partitionName(events, day)}`)
    await fill(session, day, others, Math.ceil(own / sealedDays))
    await seal(keeper, events, day, { signal })
  }
  await session.query(`VACUUM ANALYZE ${events}`)
  const reducer = await loadReducer('subscription')
  const end = instantOfMs(today * dayMs - 1)
  // Most of it is behind a snapshot, a tenth of the last day is not.
  const snapshotAt = instantOfMs(today * dayMs - dayMs / 10)
  await makeSnapshot({ session, table: events, actor: 'bench' }, reducer, subject, snapshotAt)

  const ask = async (at: string, options: FoldOptions): Promise<[StateAt, number]> => {
    const from = performance.now()
    const found = await withHistory(session, events, (history) => stateAt(history, reducer, subject, at, options))
    return [found, performance.now() - from]
  }
  const ways = { full: { full: true }, snapshot: {} } as const
  const found: Record<string, number[]> = { full: [], snapshot: [], hot: [] }
  const answers = new Set<string>()
  const read: Record<string, number> = {}
  // The first round warms what it meets, and does not count.
  for (let round = -1; round < rounds; round++) {
    const names = Object.keys(ways) as (keyof typeof ways)[]
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      signal.throwIfAborted()
      const [answer, ms] = await ask(end, ways[name])
      answers.add(canonicalJson(answer.state))
      read[name] = answer.read
      if (round >= 0) found[name]?.push(ms)
    }
  }
  if (answers.size !== 1) throw new Error('a snapshot and a full fold do not say the same')
  say(`filling ${partitionName(events, today)}, which stays hot`)
  await fill(session, today, others, Math.ceil(own / sealedDays))
  await session.query(`ANALYZE ${events}`)
  for (let round = -1; round < rounds; round++) {
    const [answer, ms] = await ask(instantOfMs((today + 1) * dayMs - 1), {})
    read.hot = answer.read
    if (round >= 0) found.hot?.push(ms)
  }
  const snapshotMs = median(found.snapshot ?? [])
  const line = (title: string, name: string) => {
    const runs = found[name] ?? []
    return [title, count(read[name] ?? 0), number(median(runs), 1), number(Math.max(...runs), 1)]
  }
  const titles = [
    `state of a subject with ${count(own)} events, ${count(others)} of others a day`,
    'events read',
    'ms',
    'worst ms',
  ]
  process.stdout.write(
    `${table(titles as [string, ...string[]], [
      line('a fold of all events', 'full'),
      line('from a snapshot', 'snapshot'),
      line('from a snapshot, and a hot day', 'hot'),
    ])}\n${snapshotMs <= goalMs ? 'holds' : 'DOES NOT HOLD'}: ${number(snapshotMs, 1)} ms with a snapshot, ${goalMs} ms are the goal\n`,
  )
  return { own, others, rounds, goalMs, holds: snapshotMs <= goalMs, read, ms: found }
}

/** Events spread over the day: of others, and of the one that will be asked for. */
async function fill(session: pg.Client, day: number, others: number, own: number): Promise<void> {
  for (const [who, total] of [["'sub_' || n % 50000", others] as const, [`'${subject}'`, own] as const]) {
    await session.query(
      `INSERT INTO ${partitionName(events, day)} (id, event_time, source, event_id, type, subject, data, kafka_topic, kafka_partition, kafka_offset, kafka_time)
       SELECT millrace_event_id(at, source, n::text), at, source, n::text, 'com.bss.usage.recorded', ${who},
         jsonb_build_object('meter', 'm' || n % 5, 'quantity', n % 1000, 'customerId', 'cus_' || n % 1000, 'network', '5g', 'cell', md5(n::text)),
         'cloud-events', n % 100, n, at
       FROM generate_series(1, $1::int) n,
         LATERAL (SELECT to_timestamp(($2::float8 + n::float8 * ${dayMs - 1000} / $1) / 1000) AS at, '/bench/' || ${who === `'${subject}'` ? "'asked'" : "'others'"} AS source) made`,
      [total, day * dayMs],
    )
  }
}
