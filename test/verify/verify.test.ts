/** A sound deployment holds; whatever is broken in it, by one row, entry, counter or byte, is found and named. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Stack, startStack } from '../../src/stack/stack.ts'
import type { Kind } from '../../src/verify/findings.ts'
import type { VerifyOptions, VerifyResult } from '../../src/verify/verify.ts'
import { makeOriginal, type Original, type World } from './world.ts'

interface Breach {
  readonly name: string
  readonly breaks: (world: World) => Promise<unknown>
  readonly finds: Partial<Record<Kind, number>>
  readonly says: RegExp
  readonly options?: Partial<VerifyOptions>
}

const rowAt = (partition: number, offset: number) => `kafka_partition = ${partition} AND kafka_offset = ${offset}`
const columns = `event_time, source, event_id, type, subject, tenant_id, data, extensions, kafka_topic, kafka_partition, kafka_offset, kafka_time, data_bytes`
/** A key of the same day that no event makes. */
const otherKey = `(left(id::text, 13) || '-7000-8000-000000000000')::uuid`

const breaches: readonly Breach[] = [
  {
    name: 'a row is gone',
    breaks: ({ sql }) => sql.query(`DELETE FROM cloud_events WHERE ${rowAt(1, 30)}`),
    // Its entry is then one too many, and the ledger counts one more than there is.
    finds: { lost: 1, duplicated: 1, wrong: 1 },
    says: /record \S+\/1\/30: event \(\/tests, e-1-30\), no row, no reject/,
  },
  {
    name: 'the row that a duplicate was counted against is gone',
    breaks: ({ sql }) => sql.query(`DELETE FROM cloud_events WHERE ${rowAt(0, 5)}`),
    finds: { lost: 2, duplicated: 1, wrong: 2 },
    says: /record \S+\/0\/20: event \(\/tests, e-0-5\)/,
  },
  {
    name: 'a row is there twice under another key',
    breaks: ({ sql }) =>
      sql.query(
        `INSERT INTO cloud_events (id, ${columns}) SELECT ${otherKey}, ${columns} FROM cloud_events WHERE ${rowAt(2, 40)}`,
      ),
    finds: { duplicated: 1, wrong: 3 },
    says: /record \S+\/2\/40 has 2 rows: /,
  },
  {
    name: 'an event has rows of two records',
    breaks: ({ sql }) =>
      sql.query(
        `INSERT INTO cloud_events (id, ${columns})
         SELECT ${otherKey}, ${columns.replace('kafka_offset', '20')} FROM cloud_events WHERE ${rowAt(2, 5)}`,
      ),
    finds: { duplicated: 1, lost: 1, wrong: 4 },
    says: /event \(\/tests, e-2-5\) has rows of 2 records: \S+\/2\/20, \S+\/2\/5/,
  },
  {
    name: 'a row has coordinates that Kafka never had',
    breaks: ({ sql }) => sql.query(`UPDATE cloud_events SET kafka_partition = 7 WHERE ${rowAt(2, 41)}`),
    // Its event has a row, so the record counts as a duplicate; both counters and the place itself are wrong.
    finds: { duplicated: 1, wrong: 3 },
    says: /row \S+\/7\/41: the ledger has no such partition/,
  },
  {
    name: 'a row lies beyond the ledger',
    breaks: ({ sql }) =>
      sql.query(
        `INSERT INTO cloud_events (id, ${columns}) SELECT ${otherKey}, ${columns.replace('event_id', "'new'").replace('kafka_offset', '100')}
         FROM cloud_events WHERE ${rowAt(0, 3)}`,
      ),
    finds: { wrong: 2 },
    says: /row \S+ of \S+\/0\/100 lies beyond the ledger, which ends at 100/,
  },
  {
    name: 'a record is a row and a reject',
    breaks: ({ sql, consumer, topic }) =>
      sql.query(`INSERT INTO rejects (consumer, topic, partition, kafka_offset, kafka_time, code, reason, decoder)
        VALUES ('${consumer}', '${topic}', 0, 33, now(), 'not_json', '', 'test/1')`),
    finds: { duplicated: 1, wrong: 1 },
    says: /record \S+\/0\/33 is a row and a reject \(not_json\)/,
  },
  {
    name: 'a reject is gone',
    breaks: ({ sql, consumer }) => sql.query(`DELETE FROM rejects WHERE consumer = '${consumer}' AND partition = 1`),
    finds: { lost: 1, wrong: 1 },
    says: /record \S+\/1\/10: not a CloudEvent, no row, no reject/,
  },
  {
    name: 'a counter is wrong',
    breaks: ({ sql }) => sql.query('UPDATE ledger SET stored = stored + 1 WHERE partition = 2'),
    finds: { wrong: 1 },
    says: /\S+\/2: the ledger says 99 stored, counted are 98/,
  },
  {
    name: 'bytes where there were none',
    breaks: ({ sql }) =>
      sql.query(
        `UPDATE cloud_events SET data = NULL, data_bytes = convert_to(data::text, 'UTF8') WHERE ${rowAt(1, 50)}`,
      ),
    finds: { wrong: 1 },
    says: /row \S+ of \S+\/1\/50: data_bytes differs from its record/,
  },
  {
    name: 'data differs',
    breaks: ({ sql }) =>
      sql.query(`UPDATE cloud_events SET data = jsonb_set(data, '{nested,list,1}', '2.6') WHERE ${rowAt(1, 50)}`),
    finds: { wrong: 1 },
    says: /row \S+ of \S+\/1\/50: data differs from its record/,
  },
  {
    name: 'an extension is missing',
    breaks: ({ sql }) => sql.query(`UPDATE cloud_events SET extensions = NULL WHERE ${rowAt(1, 51)}`),
    finds: { wrong: 1 },
    says: /row \S+ of \S+\/1\/51: extensions differ/,
  },
  {
    name: 'two rows have changed places',
    breaks: ({ sql }) =>
      sql.query(`UPDATE cloud_events SET kafka_offset = CASE kafka_offset WHEN 61 THEN 62 ELSE 61 END
        WHERE kafka_partition = 1 AND kafka_offset IN (61, 62)`),
    finds: { wrong: 2 },
    says: /row \S+ of \S+\/1\/61: it says \(\/tests, e-1-62\), its record says \(\/tests, e-1-61\)/,
  },
  {
    name: 'an entry is gone from the middle',
    breaks: ({ redis, key }) => redis.xdel(key('a', 1), '41-0'),
    finds: { lost: 1 },
    says: /row 40 has no entry 41-0 in \S+:a:\{1\}/,
  },
  {
    name: 'the first entry is gone, and not by trimming',
    breaks: ({ redis, key }) => redis.xdel(key('a', 1), '2-0'),
    finds: { lost: 1 },
    says: /row 1 has no entry 2-0/,
  },
  {
    name: 'a stream is gone',
    breaks: ({ redis, key }) => redis.del(key('b', 0)),
    finds: { lost: 34 },
    says: /row 0 has no entry 1-0 in \S+:b:\{0\}/,
  },
  {
    name: 'an entry stands in the wrong stream',
    breaks: async ({ redis, key }) => {
      const [entry] = await redis.xrange(key('b', 0), '100-0', '100-0')
      await redis.xdel(key('b', 0), '100-0')
      await redis.xadd(key('a', 0), '100-0', 'event', entry?.[1][1] ?? '')
    },
    finds: { lost: 1, duplicated: 1 },
    says: /entry 100-0 of \S+:a:\{0\}: its row goes to \S+:b:\{0\}/,
  },
  {
    name: 'a foreign entry',
    breaks: ({ redis, key }) => redis.xadd(key('a', 0), '100-0', 'event', '{"specversion":"1.0"}'),
    finds: { duplicated: 1 },
    says: /entry 100-0 of \S+:a:\{0\}: its row goes to/,
  },
  {
    name: 'a duplicate has an entry of its own',
    breaks: async (world) => {
      const [entry] = await world.redis.xrange(world.key('a', 0), '6-0', '6-0')
      await rebuild(world, 'a', 0, (entries) => [...entries, ['21-0', entry?.[1][1] ?? '']])
    },
    finds: { duplicated: 1 },
    says: /entry 21-0 of \S+:a:\{0\} has no row: record \S+\/0\/20 made none/,
  },
  {
    name: 'an entry under an id that no offset makes',
    breaks: ({ redis, key }) => redis.xadd(key('a', 0), '99-5', 'event', '{}'),
    finds: { duplicated: 1 },
    says: /entry 99-5 of \S+:a:\{0\} bears an id that no offset makes/,
  },
  {
    name: 'an entry beyond the end of Kafka',
    breaks: ({ redis, key }) => redis.xadd(key('a', 0), '500-0', 'event', '{}'),
    finds: { duplicated: 1 },
    says: /\S+:a:\{0\} ends at 500-0, but the ledger of partition 0 at 100/,
  },
  {
    name: 'two entries have changed places',
    breaks: (world) =>
      rebuild(world, 'a', 2, (entries) => {
        const first = entries[3] as [string, string]
        const second = entries[4] as [string, string]
        return entries.toSpliced(3, 2, [first[0], second[1]], [second[0], first[1]])
      }),
    finds: { outOfOrder: 2 },
    says: /entry \d+-0 of \S+:a:\{2\} carries \(\/tests, e-2-\d+\), but its place is that of/,
  },
  {
    name: 'an entry says something else',
    breaks: (world) =>
      rebuild(world, 'a', 2, (entries) => entries.map(([id, event]) => [id, event.replace('größe', 'grosse')])),
    finds: { wrong: 64 },
    says: /entry \d+-0 of \S+:a:\{2\} says something else than its record/,
  },
  {
    name: 'the fleet has not reached the end',
    breaks: ({ sql }) =>
      sql.query(`DELETE FROM cloud_events WHERE kafka_partition = 1 AND kafka_offset >= 97;
        UPDATE ledger SET next_offset = 97, published_offset = 97, stored = stored - 3 WHERE partition = 1`),
    // Three entries and the settled mark are now ahead of the ledger.
    finds: { lost: 3, duplicated: 3, wrong: 1 },
    says: /record \S+\/1\/99 is not stored yet: the ledger ends at 97/,
  },
]

async function rebuild(
  { redis, key }: World,
  family: 'a' | 'b',
  partition: number,
  change: (entries: [string, string][]) => [string, string][],
): Promise<void> {
  const name = key(family, partition)
  const entries = await redis.xrange(name, '-', '+')
  await redis.del(name)
  const changed = change(entries.map(([id, fields]) => [id, fields[1] ?? '']))
  for (const [id, event] of changed.sort(([a], [b]) => Number.parseInt(a, 10) - Number.parseInt(b, 10))) {
    await redis.xadd(name, id, 'event', event)
  }
}

let stack: Stack
let original: Original

before(async () => {
  const root = join(import.meta.dirname, '../..')
  stack = await startStack({ root, name: `test-${randomUUID().slice(0, 8)}`, temporary: true, quick: true })
  original = await makeOriginal(stack)
})

after(async () => {
  await original?.[Symbol.asyncDispose]()
  await stack?.remove()
})

const say = (result: VerifyResult) => result.problems.map(({ kind, text }) => `${kind}: ${text}`).join('\n')

test('a sound deployment holds, and is counted in full', async () => {
  await using world = await original.copy()
  const result = await world.verify()
  assert.equal(result.holds, true, say(result))
  const { produced, rows, rejects, duplicates, skips, entries, comparedInFull } = result
  assert.deepEqual(
    { produced, rows, rejects, duplicates, skips, entries, comparedInFull },
    { produced: 300, rows: 294, rejects: 3, duplicates: 3, skips: 0, entries: 294, comparedInFull: 294 },
  )
})

for (const { name, breaks, finds, says, options } of breaches) {
  test(`found: ${name}`, async () => {
    await using world = await original.copy()
    await breaks(world)
    const result = await world.verify({ examplesMax: 1000, ...options })
    assert.equal(result.holds, false)
    assert.match(say(result), says)
    const { lost, duplicated, outOfOrder, wrong } = result
    assert.deepEqual(
      { lost, duplicated, outOfOrder, wrong },
      { lost: 0, duplicated: 0, outOfOrder: 0, wrong: 0, ...finds },
      say(result),
    )
  })
}

test('without --to-end, what the marks do not claim yet is no loss', async () => {
  await using world = await original.copy()
  await world.sql.query(`UPDATE ledger SET published_offset = 90 WHERE partition = 0`)
  const group = 'nobody'
  await rebuild(world, 'a', 0, (entries) => entries.filter(([id]) => Number.parseInt(id, 10) <= 95))
  const result = await world.verify({ toEnd: false, group })
  assert.equal(result.holds, true, say(result))
  assert.equal(result.awaited, 3)
  // What Kafka says was settled was published by the law, whatever the ledger's late mark says.
  assert.equal((await world.verify({ toEnd: false })).lost, 3)
  assert.equal((await world.verify({ group })).lost, 3)
})

test('trimmed heads are counted and forgiven', async () => {
  await using world = await original.copy()
  await world.redis.xtrim(world.key('a', 0), 'MAXLEN', 20)
  await world.redis.xtrim(world.key('b', 1), 'MAXLEN', 0)
  const result = await world.verify()
  assert.equal(result.holds, true, say(result))
  assert.equal(result.trimmed, 64 - 20 + 34)
  assert.equal(result.entries, 294 - result.trimmed)
})

test('a skip leaves no trace but its count', async () => {
  await using world = await original.copy()
  await world.sql.query(
    `DELETE FROM rejects WHERE partition = 2; UPDATE ledger SET rejected = 0, skipped = 1 WHERE partition = 2`,
  )
  const result = await world.verify()
  assert.equal(result.holds, true, say(result))
  assert.deepEqual([result.skips, result.rejects, result.lost], [1, 2, 0])
})

test('PostgreSQL only: streams are not looked at', async () => {
  await using world = await original.copy()
  await world.redis.del(world.key('a', 0))
  const result = await world.verify({ redis: null })
  assert.equal(result.holds, true, say(result))
  assert.equal(result.entries, 0)
})

// From here on Kafka's own side is changed, which all copies share.

test('found: Kafka says more was settled than is stored', async () => {
  await using world = await original.copy()
  const admin = world.kafka.admin()
  await admin.connect()
  // A group of its own: setting offsets joins it first, which takes the broker seconds.
  const group = 'ahead'
  await admin.setOffsets({ groupId: group, topic: world.topic, partitions: [{ partition: 1, offset: '101' }] })
  await admin.disconnect()
  const result = await world.verify({ group })
  assert.match(say(result), /\S+\/1: settled 101 is ahead of persisted 100/)
  assert.equal(result.holds, false)
})

test('what Kafka no longer holds is counted, not compared', async () => {
  await using world = await original.copy()
  const admin = world.kafka.admin()
  await admin.connect()
  // Makes the client know the leaders.
  await admin.fetchTopicOffsets(world.topic)
  await admin.deleteTopicRecords({ topic: world.topic, partitions: [{ partition: 0, offset: '30' }] })
  await admin.disconnect()
  const result = await world.verify()
  assert.equal(result.holds, true, say(result))
  assert.equal(result.produced, 270)
  assert.equal(result.unchecked, 29)
})
