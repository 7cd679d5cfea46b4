/**
 * The count, event by event. The load's account, the rows and the entries are put beside each other in PostgreSQL and compared by joins both ways, by
 * the event's own source and id; then src/verify proves Kafka, rows and entries against each other record by record. Neither believes a counter.
 *
 *   lost          acknowledged and not a row; a row and no entry; a bad record acknowledged and not in rejects
 *   duplicated    an event that is two rows, or two entries
 *   outOfOrder    an entry at another event's place in its partition
 *   wrong         a row, reject or entry of what was never sent, and all else that verify finds
 */
import type { Readable } from 'node:stream'
import { Cluster } from 'ioredis'
import pg from 'pg'
import definition from '../../consumers/cloud-events.ts'
import type { RedisClient } from '../../src/process/connect-redis.ts'
import { verify } from '../../src/verify/verify.ts'
import type { Account } from './account.ts'
import type { Told } from './records.ts'
import type { OpenWorld } from './world.ts'

export interface Counted {
  /** Records acknowledged, and of them events by source and id. */
  readonly acknowledged: number
  readonly events: number
  /** Records of requests without an answer. */
  readonly uncertain: number
  /** Taken out of Kafka before they could be stored, and told so: they need not be there. */
  readonly declared: number
  readonly rows: number
  readonly entries: number
  readonly rejects: number
  /** Records that were an event already stored: sent twice by the load on purpose, or again by a client without an answer. */
  readonly duplicates: number
  readonly lost: number
  readonly duplicated: number
  readonly outOfOrder: number
  readonly wrong: number
  readonly problems: readonly string[]
}

const chunk = 10_000
const examplesMax = 5
const verifyMs = 300_000

export async function check(world: OpenWorld): Promise<Counted> {
  const client = new pg.Client({ connectionString: world.databaseUrl(world.ground.postgres.directUrl) })
  client.on('error', () => {})
  await client.connect()
  // A client that has been there all the while may not know yet of a node that has come back, and would leave out what that one holds.
  const redis = world.redis instanceof Cluster ? world.redis.duplicate() : world.redis.duplicate()
  redis.on('error', () => {})
  try {
    await redis.ping()
    return await count(world, client, redis)
  } finally {
    redis.disconnect()
    await client.end()
  }
}

async function count(world: OpenWorld, client: pg.Client, redis: RedisClient): Promise<Counted> {
  const { account } = world
  await client.query(`
    CREATE TEMP TABLE sent (kind "char", acked boolean, source text COLLATE "C", id text COLLATE "C", partition int, at timestamptz);
    CREATE TEMP TABLE entries (partition int, kafka_offset bigint, source text COLLATE "C", id text COLLATE "C")`)
  await insertSent(client, account)
  const declared = await excuse(client, world.declared)
  await insertEntries(client, redis)
  await client.query('ANALYZE sent; ANALYZE entries; ANALYZE cloud_events; ANALYZE rejects')

  const problems: string[] = []
  const found = { lost: 0, duplicated: 0, outOfOrder: 0, wrong: 0 }
  const find = async (kind: keyof typeof found, what: string, select: string) => {
    const { rows } = await client.query<{ text: string; total: number }>(
      `SELECT text, count(*) OVER ()::int AS total FROM (${select}) AS found(text) LIMIT ${examplesMax}`,
    )
    found[kind] += rows[0]?.total ?? 0
    for (const { text } of rows) problems.push(`${kind}: ${what}: ${text}`)
  }
  const events = "SELECT source, id FROM sent WHERE kind <> 'p'"
  const name = "format('(%s, %s)', source, id)"
  await find(
    'lost',
    'acknowledged, and not a row',
    `SELECT ${name} FROM (${events} AND acked EXCEPT SELECT source, event_id FROM cloud_events) AS a`,
  )
  await find(
    'wrong',
    'a row of what was never sent',
    `SELECT ${name} FROM (SELECT source, event_id AS id FROM cloud_events EXCEPT ${events}) AS a`,
  )
  await find(
    'duplicated',
    'more than one row',
    `SELECT format('(%s, %s) %s times', source, event_id, count(*)) FROM cloud_events GROUP BY source, event_id HAVING count(*) > 1`,
  )
  const bad = "SELECT partition, at, id FROM sent WHERE kind = 'p'"
  const rejected = "SELECT partition, date_trunc('milliseconds', kafka_time), convert_from(key, 'UTF8') FROM rejects"
  const place = "format('partition %s, %s, key %s', partition, at, id)"
  await find(
    'lost',
    'a bad record acknowledged, and not in rejects',
    `SELECT ${place} FROM (${bad} AND acked EXCEPT ${rejected}) AS a`,
  )
  await find(
    'wrong',
    'a reject of what was never sent as bad',
    `SELECT ${place} FROM (${rejected} EXCEPT ${bad}) AS a(partition, at, id)`,
  )
  const joined = `cloud_events AS r FULL JOIN entries AS e ON e.partition = r.kafka_partition AND e.kafka_offset = r.kafka_offset`
  const at = "format('partition %s, offset %s, (%s, %s)', kafka_partition, r.kafka_offset, r.source, r.event_id)"
  // Where streams are trimmed, only verify can tell a trimmed entry from a lost one: by what the stream says of its own head.
  if (!world.scenario.trims) {
    await find('lost', 'a row without its entry', `SELECT ${at} FROM ${joined} WHERE e.partition IS NULL`)
  }
  await find(
    'wrong',
    'an entry without its row',
    `SELECT format('partition %s, offset %s, (%s, %s)', partition, e.kafka_offset, e.source, e.id) FROM ${joined} WHERE r.id IS NULL`,
  )
  await find(
    'outOfOrder',
    "an entry at another event's place",
    `SELECT format('%s: there is (%s, %s)', ${at}, e.source, e.id) FROM ${joined} WHERE (e.source, e.id) <> (r.source, r.event_id)`,
  )
  await find(
    'duplicated',
    'more than one entry',
    `SELECT format('(%s, %s) %s times', source, id, count(*)) FROM entries GROUP BY source, id HAVING count(*) > 1`,
  )
  const [totals] = (
    await client.query<{ events: number; entries: number }>(
      `SELECT (SELECT count(*)::int FROM (SELECT DISTINCT source, id FROM sent WHERE kind <> 'p' AND acked) AS a) AS events,
              (SELECT count(*)::int FROM entries) AS entries`,
    )
  ).rows

  const proof = await verify({
    consumer: 'cloud-events',
    group: world.group,
    definition,
    kafka: { brokers: world.ground.kafka.brokers.split(',') },
    client,
    redis,
    toEnd: true,
    examplesMax,
    signal: AbortSignal.any([world.signal, AbortSignal.timeout(verifyMs)]),
    now: () => performance.now(),
  })
  for (const { kind, text } of proof.problems) problems.push(`${kind}: ${text}`)
  const { produced, rows, rejects, duplicates, skips } = proof
  if (produced !== rows + rejects + duplicates + skips) {
    found.wrong++
    problems.push(
      `wrong: ${produced} records are ${rows} rows, ${rejects} rejects, ${duplicates} duplicates, ${skips} skips`,
    )
  }
  const known = produced + declared + world.storedAndGone
  if (known < account.acknowledged) {
    found.lost += account.acknowledged - known
    problems.push(`lost: Kafka has held ${known} records and acknowledged ${account.acknowledged}`)
  }
  return {
    acknowledged: account.acknowledged,
    events: totals?.events ?? 0,
    uncertain: account.sent - account.acknowledged,
    declared,
    rows,
    entries: totals?.entries ?? 0,
    rejects,
    duplicates,
    // Both see the same thing, each in its own way: what one does not see is the other's.
    lost: Math.max(found.lost, proof.lost),
    duplicated: Math.max(found.duplicated, proof.duplicated),
    outOfOrder: Math.max(found.outOfOrder, proof.outOfOrder),
    wrong: Math.max(found.wrong, proof.wrong),
    problems,
  }
}

async function insertSent(client: pg.Client, account: Account): Promise<void> {
  function empty() {
    return {
      kinds: [] as string[],
      acked: [] as boolean[],
      sources: [] as string[],
      ids: [] as string[],
      partitions: [] as number[],
      times: [] as number[],
    }
  }
  let rows = empty()
  const flush = async () => {
    await client.query(
      `INSERT INTO sent SELECT k::"char", a, s, i, p, to_timestamp(t / 1000.0)
       FROM unnest($1::text[], $2::boolean[], $3::text[], $4::text[], $5::int[], $6::float8[]) AS u(k, a, s, i, p, t)`,
      [rows.kinds, rows.acked, rows.sources, rows.ids, rows.partitions, rows.times],
    )
    rows = empty()
  }
  for (const answer of account.answers) {
    rows.kinds.push(...answer.kinds)
    for (let i = 0; i < answer.kinds.length; i++) rows.acked.push(answer.acknowledged)
    rows.sources.push(...answer.sources)
    rows.ids.push(...answer.ids)
    rows.partitions.push(...answer.partitions)
    rows.times.push(...answer.timesMs)
    if (rows.kinds.length >= chunk) await flush()
  }
  await flush()
}

/** Nobody knows any more whether these are rows: they may be, where the producer had sent them twice. */
async function excuse(client: pg.Client, declared: readonly Told[]): Promise<number> {
  await client.query(
    `UPDATE sent SET acked = false
     FROM unnest($1::int[], $2::float8[], $3::text[], $4::text[]) AS d(partition, ms, source, id)
     WHERE (kind <> 'p' AND sent.source = d.source AND sent.id = d.id)
        OR (kind = 'p' AND sent.partition = d.partition AND sent.at = to_timestamp(d.ms / 1000.0))`,
    [
      declared.map(({ partition }) => partition),
      declared.map(({ timeMs }) => timeMs),
      declared.map(({ source }) => source),
      declared.map(({ id }) => id),
    ],
  )
  return declared.length
}

const streamName = /^.+:\{(\d+)\}$/

/** Every entry of every stream of every node: where it stands, and which event it says it is. */
async function insertEntries(client: pg.Client, redis: RedisClient): Promise<void> {
  const nodes = redis instanceof Cluster ? redis.nodes('master') : [redis]
  const keys = new Set<string>()
  for (const node of nodes) {
    const scan = node.scanStream({ type: 'stream', count: 1000 }) as Readable
    for await (const found of scan) for (const key of found as string[]) if (streamName.test(key)) keys.add(key)
  }
  for (const key of keys) {
    const partition = Number(streamName.exec(key)?.[1])
    let start = '-'
    for (;;) {
      const reply = await redis.xrangeBuffer(key, start, '+', 'COUNT', 1000)
      const rows = reply.map(([id, fields]) => {
        const { source, id: eventId } = JSON.parse((fields[1] as Buffer).toString()) as { source: string; id: string }
        return { offset: Number(id.toString().split('-')[0]) - 1, source, eventId }
      })
      await client.query(
        'INSERT INTO entries SELECT $1, o, s, i FROM unnest($2::bigint[], $3::text[], $4::text[]) AS u(o, s, i)',
        [
          partition,
          rows.map(({ offset }) => offset),
          rows.map(({ source }) => source),
          rows.map(({ eventId }) => eventId),
        ],
      )
      if (reply.length < 1000) break
      start = `(${reply.at(-1)?.[0]}`
    }
  }
}
