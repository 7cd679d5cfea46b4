/** Carries plans out: one transaction for all of them, with a row of `audit` for each. */
import { audit } from '../schema/audit.ts'
import { quoted, type Session, transaction } from '../schema/sql.ts'
import type { FullRow, Plan } from './plan.ts'
import { type LedgerState, readLedger, type Target } from './read.ts'

/** Who, and on which command; `because` is told beside what was done. */
export interface By {
  readonly actor: string
  readonly action: 'offsets set' | 'offsets restore'
  readonly because?: Readonly<Record<string, unknown>>
}

/** Partitions that somebody has moved since the plans were made: then nothing is done. */
export async function apply(
  session: Session,
  target: Target,
  plans: readonly Plan[],
  aside: string,
  by: By,
): Promise<readonly number[]> {
  return transaction(session, async () => {
    const now = new Map((await readLedger(session, target, true)).map((row) => [row.partition, row]))
    const movedOn = plans.filter(({ partition, before }) => now.get(partition)?.nextOffset !== before.nextOffset)
    if (movedOn.length > 0) return movedOn.map(({ partition }) => partition)
    for (const plan of plans) {
      const { partition, kind, before, after } = plan
      const set = kind === 'anew' ? await setAside(session, target, partition, after.nextOffset, aside) : null
      await write(session, target, after, kind === 'anew')
      await audit(session, {
        actor: by.actor,
        action: by.action,
        target: `${target.consumer} ${target.topic}/${partition}`,
        detail: {
          ...by.because,
          kind,
          says: plan.says,
          before: plain(now.get(partition) ?? before),
          after: plain(after),
          ...(set !== null && { keptUnder: aside, ...set }),
        },
      })
    }
    return []
  })
}

const plain = (row: FullRow | LedgerState) => ({ ...row, streams: Object.fromEntries(row.streams) })

async function write(session: Session, { consumer, topic }: Target, row: FullRow, anew: boolean): Promise<void> {
  const ranges = row.passedOver.map(([from, to]) => `[${from},${to})`).join(',')
  await session.query(
    `UPDATE ledger SET start_offset = $4, next_offset = $5, published_offset = $6, streams = $7, stopped = NULL, topic_id = $8,
       passed_over = $9::int8multirange, repeated_below = $10, updated_at = now()
       ${anew ? ', stored = 0, rejected = 0, duplicated = 0, skipped = 0' : ''}
     WHERE consumer = $1 AND topic = $2 AND partition = $3`,
    [
      consumer,
      topic,
      row.partition,
      row.startOffset,
      row.nextOffset,
      row.publishedOffset,
      JSON.stringify(Object.fromEntries(row.streams)),
      row.topicId,
      `{${ranges}}`,
      row.repeatedBelow,
    ],
  )
}

/** Rows and rejects whose coordinates will be those of other records: they keep their bytes, under another topic's name. */
async function setAside(
  session: Session,
  { consumer, topic, table }: Target,
  partition: number,
  from: number,
  aside: string,
) {
  const places = 'kafka_topic = $1 AND kafka_partition = $2 AND kafka_offset >= $3'
  const { rows } = await session.query(
    `WITH moved AS (UPDATE ${quoted(table)} SET kafka_topic = $4 WHERE ${places} RETURNING 1)
     SELECT count(*)::int AS count FROM moved`,
    [topic, partition, from, aside],
  )
  const { rows: rejects } = await session.query(
    `WITH moved AS (UPDATE rejects SET topic = $5
       WHERE consumer = $1 AND topic = $2 AND partition = $3 AND kafka_offset >= $4 RETURNING 1)
     SELECT count(*)::int AS count FROM moved`,
    [consumer, topic, partition, from, aside],
  )
  return { rows: rows[0].count as number, rejects: rejects[0].count as number }
}
