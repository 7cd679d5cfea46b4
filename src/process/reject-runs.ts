/**
 * The runs of rejects that partitions end in, as the last process has left them: a limit on runs must hold over restarts, or a supervisor that starts
 * the process again and again would drain the topic into `rejects` after all. Offsets without a record end a run here, so it may be read as shorter
 * than it is, never as longer.
 */
import type { KnownRun } from '../core/reject-limit.ts'
import type { Session } from '../schema/sql.ts'

export async function rejectRuns(
  session: Session,
  consumer: string,
  topic: string,
  runMax: number,
): Promise<KnownRun[]> {
  const { rows } = await session.query(
    `select l.partition, l.next_offset::float8 as "nextOffset", count(*)::int as length
     from ledger l cross join lateral (
       select r.kafka_offset, row_number() over (order by r.kafka_offset desc) as n from rejects r
       where r.consumer = l.consumer and r.topic = l.topic and r.partition = l.partition
         and r.kafka_offset < l.next_offset and r.kafka_offset >= l.next_offset - $3::bigint and r.attempts = 0
     ) last
     where l.consumer = $1 and l.topic = $2 and last.kafka_offset = l.next_offset - last.n
     group by 1, 2`,
    [consumer, topic, runMax],
  )
  return rows
}
