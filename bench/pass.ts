/** Passes of one process over a part of the topic. */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startReplica } from './replica.ts'
import { topic, type World } from './world.ts'

/** Records per second from these offsets on, stored and published. */
export async function pass(
  world: World,
  begins: ReadonlyMap<number, number>,
  records: number,
  settings: Readonly<Record<string, string>> = {},
): Promise<number> {
  const { sql, signal, logs } = world
  await world.reset()
  await sql.query(
    `INSERT INTO ledger (consumer, topic, partition, start_offset, next_offset)
     SELECT 'cloud-events', $1, * FROM unnest($2::int[], $3::bigint[], $3::bigint[])`,
    [topic, [...begins.keys()], [...begins.values()]],
  )
  const replica = await startReplica({ ...world.env(true), ...settings }, join(logs, 'replica.log'))
  const from = performance.now()
  let passed = 0
  let movedAt = from
  while (passed < records) {
    await sleep(50, undefined, { signal })
    const found = (await replica.status()).rooms.publish.records
    if (found > passed) movedAt = performance.now()
    else if (performance.now() - movedAt > 60_000)
      throw new Error(`nothing has moved for a minute: ${passed} of ${records}`)
    passed = found
  }
  const seconds = (performance.now() - from) / 1000
  await replica.stop()
  const { rows } = await sql.query('SELECT sum(stored + duplicated + rejected)::int AS passed FROM ledger')
  // Of a part of the topic, the next part may be under way.
  if (rows[0].passed < records) throw new Error(`${rows[0].passed} of ${records} records passed`)
  return records / seconds
}
