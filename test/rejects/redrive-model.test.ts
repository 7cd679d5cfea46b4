/**
 * The state machine of a redrive on a real database, against a Kafka that fails in every way it can: before a transaction commits, after it has, at a
 * record it does not take, and by having forgotten. Runs die anywhere. Whatever comes, each reject is sent once, in order, and what is told is true.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type pg from 'pg'
import { FatalError } from '../../src/core/errors.ts'
import {
  beginSequence,
  lockRedrive,
  planRedrive,
  type RedriveLog,
  redrive,
  type Selection,
  TooLargeError,
} from '../../src/rejects/redrive.ts'
import { settle } from '../../src/rejects/redrive-doubt.ts'
import { audit } from '../../src/schema/audit.ts'
import { useServer } from '../schema/database.ts'

const server = useServer()
const consumer = 'cloud-events'
const topic = 'cloud-events'

type Fate = 'well' | 'refused' | 'answer lost' | 'dies before' | 'dies after'
class Death extends Error {}

/** Kafka, as far as a redrive can see it. Each opening takes over: what an older one sends is refused. */
function createKafka(sizeMax: number) {
  const kafka = { sent: [] as string[], committed: null as number | null, fates: [] as Fate[], epoch: 0 }
  const open = async (): Promise<RedriveLog> => {
    const epoch = ++kafka.epoch
    return {
      committed: async () => kafka.committed,
      async send(records, next, onStep) {
        if (epoch !== kafka.epoch) throw new Error('fenced')
        const bytes = records.reduce((sum, { value }) => sum + (value?.length ?? 0), 0)
        if (bytes > sizeMax) throw new TooLargeError()
        const fate = records.length === 0 ? 'well' : (kafka.fates.shift() ?? 'well')
        if (fate === 'dies before') throw new Death()
        if (fate === 'refused') throw new Error('refused')
        onStep('noted')
        kafka.sent.push(...records.map(({ id }) => id))
        kafka.committed = next
        if (fate === 'dies after') throw new Death()
        if (fate === 'answer lost') throw new Error('connection closed')
        onStep('committed')
      },
      async close() {},
    }
  }
  return { kafka, open }
}

async function insert(session: pg.Client, count: number, more = ''): Promise<string[]> {
  const { rows } = await session.query(
    `insert into rejects (consumer, topic, partition, kafka_offset, kafka_time, value, code, reason, decoder, attempts)
     select $1, $2, n % 3, coalesce((select max(kafka_offset) from rejects), 0) + n, now(), convert_to('x', 'UTF8'), 'not_json', '', '', 0
     from generate_series(1, $3::int) n returning id::text`,
    [consumer, topic, count],
  )
  if (more !== '') await session.query(more)
  return rows.map(({ id }) => id)
}

const selection: Selection = {
  filter: { consumer, states: ['open'] },
  attemptsMax: 3,
  partitions: new Map([[topic, 3]]),
}

/** As the command does it; the session of a dead run goes on, its process would not. */
async function run(session: pg.Client, open: () => Promise<RedriveLog>, limit: number, ratePerSecond: number) {
  // A process that dies does not catch its own death.
  const mortal = async (): Promise<RedriveLog> => {
    if (dead) throw new Death()
    const log = await open()
    return {
      ...log,
      send: (...given) =>
        log.send(...given).catch((error: unknown) => {
          dead ||= error instanceof Death
          throw error
        }),
    }
  }
  let dead = false
  const living = {
    query: (text: string, values?: unknown[]) => {
      if (dead) throw new Death()
      return session.query(text, values)
    },
  }
  const log = await mortal()
  const settled = await settle(living, consumer, log, { askAgainMs: 1 })
  const plan = await planRedrive(living, selection, null)
  const auditId = await audit(living, { actor: 'a', action: 'rejects redrive', target: consumer })
  await beginSequence(living, consumer, log)
  const signal = new AbortController().signal
  const result = await redrive({
    session: living,
    openLog: mortal,
    log,
    selection,
    maxId: plan.maxId,
    auditId,
    limit,
    ratePerSecond,
    now: () => performance.now() * 1000,
    pauseMs: 1,
    askAgainMs: 1,
    signal,
  })
  return { settled, plan, result }
}

const fates = fc.array(
  fc.constantFrom<Fate>('well', 'well', 'well', 'answer lost', 'dies before', 'dies after', 'refused'),
  { maxLength: 8 },
)

test('whatever fails and whoever dies, each is sent once, and no fewer', async () => {
  const session = await (await server.database()).connect()
  let deaths = 0
  const property = fc.asyncProperty(
    fates,
    fc.integer({ min: 1, max: 40 }),
    fc.integer({ min: 1, max: 60 }),
    async (given, count, rate) => {
      await session.query('truncate rejects, audit restart identity')
      const ids = await insert(session, count)
      const { kafka, open } = createKafka(1000)
      kafka.fates.push(...given)
      for (;;) {
        try {
          const { result } = await run(session, open, Number.POSITIVE_INFINITY, rate)
          assert.equal(result.stopped, false)
          break
        } catch (error) {
          if (!(error instanceof Death)) throw error
          deaths++
        }
      }
      assert.deepEqual(kafka.sent, ids)
      const { rows } = await session.query('select state, count(*)::int from rejects group by 1')
      assert.deepEqual(rows, [{ state: 'redriven', count }])
    },
  )
  await fc.assert(property, { numRuns: 40 })
  assert(deaths > 10)
})

test('what may not be sent is left out and told: attempts, unreadable batches, partitions that are gone, states', async () => {
  const session = await (await server.database()).connect()
  const ids = await insert(session, 30)
  await session.query(
    "update rejects set attempts = 3 where id in (1, 2); update rejects set code = 'unreadable_batch' where id in (2, 3, 4)",
  )
  await session.query(
    "update rejects set partition = 3 where id in (5, 6); update rejects set topic = 'gone' where id = 7",
  )
  await session.query(
    "update rejects set state = 'discarded' where id = 8; update rejects set consumer = 'other' where id = 9",
  )
  const { kafka, open } = createKafka(1000)
  const { plan, result } = await run(session, open, 5, 1000)
  assert.deepEqual(plan, { ready: 21, unreadable: 3, attempts: 1, partitionGone: 3, maxId: '30' })
  assert.deepEqual(result, { redriven: 5, tooLarge: [], stopped: false })
  await run(session, open, Number.POSITIVE_INFINITY, 1000)
  assert.deepEqual(kafka.sent, ids.slice(9))
})

test('a record that the topic does not take any more is left open, and no other with it', async () => {
  const session = await (await server.database()).connect()
  const ids = await insert(
    session,
    40,
    "update rejects set value = convert_to(repeat('x', 5000), 'UTF8') where id in (7, 8, 33)",
  )
  const { kafka, open } = createKafka(1000)
  const { result } = await run(session, open, Number.POSITIVE_INFINITY, 1000)
  assert.deepEqual(result, { redriven: 37, tooLarge: ['7', '8', '33'], stopped: false })
  assert.deepEqual(
    kafka.sent,
    ids.filter((id) => !['7', '8', '33'].includes(id)),
  )
  const { rows } = await session.query(
    "select id::text, audit_id, redrive_seq from rejects where state = 'open' order by rejects.id",
  )
  assert.deepEqual(
    rows,
    ['7', '8', '33'].map((id) => ({ id, audit_id: null, redrive_seq: null })),
  )
})

test('a batch is as many bytes as a topic takes', async () => {
  const session = await (await server.database()).connect()
  const ids = await insert(session, 20, "update rejects set value = convert_to(repeat('x', 100000), 'UTF8')")
  const { kafka, open } = createKafka(512 * 1024)
  const { result } = await run(session, open, Number.POSITIVE_INFINITY, 1000)
  assert.deepEqual(result, { redriven: 20, tooLarge: [], stopped: false })
  assert.deepEqual(kafka.sent, ids)
})

test('a memory that is gone, or somebody else, is never read as "not sent": a person decides', async () => {
  const session = await (await server.database()).connect()
  for (const forgotten of [null, 1, 99]) {
    for (const decision of ['sent', 'open'] as const) {
      await session.query('truncate rejects, audit restart identity')
      await insert(session, 10)
      const { kafka, open } = createKafka(1000)
      kafka.fates.push('well', 'dies after')
      await assert.rejects(run(session, open, 10, 20), Death)
      kafka.committed = forgotten
      await assert.rejects(
        run(session, open, 10, 20),
        (error: unknown) => error instanceof FatalError && error.code === 'REDRIVE_IN_DOUBT',
      )
      const before = (await session.query("select count(*)::int from rejects where state = 'redriving'")).rows[0].count
      assert.equal(before, 4)
      const settled = await settle(session, consumer, await open(), { inDoubt: decision, askAgainMs: 1 })
      assert.deepEqual(settled, decision === 'sent' ? { sent: 4, reopened: 0 } : { sent: 0, reopened: 4 })
      const { result } = await run(session, open, 10, 20)
      assert.equal(result.redriven, decision === 'sent' ? 2 : 6)
    }
  }
})

test('one at a time, as long as the session of the other lives; another consumer does not mind', async () => {
  const database = await server.database()
  const [one, two] = [await database.connect(), await database.connect()]
  await lockRedrive(one, consumer)
  await assert.rejects(lockRedrive(two, consumer), (error: unknown) => (error as FatalError).code === 'REDRIVE_BUSY')
  await lockRedrive(two, 'another')
  await one.end()
  for (;;) {
    // The server notices a moment later.
    const error = await lockRedrive(two, consumer).catch((error: unknown) => error)
    if (error === undefined) return
  }
})

test('the role of an operator is enough', async () => {
  const session = await (await server.database()).connect()
  const { readFile } = await import('node:fs/promises')
  await session.query(await readFile(new URL('../../migrations/roles.sql', import.meta.url), 'utf8'))
  const ids = await insert(session, 3)
  await session.query('set role millrace_operator')
  const { kafka, open } = createKafka(1000)
  await lockRedrive(session, consumer)
  await run(session, open, 10, 1000)
  assert.deepEqual(kafka.sent, ids)
})
