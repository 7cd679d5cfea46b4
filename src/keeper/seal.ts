/**
 * Gives a closed day what investigators and replay need: three indexes, fresh statistics, frozen tuples.
 *
 * Nothing here keeps a late event out: indexes are made CONCURRENTLY, one at a time, and VACUUM does not truncate. Each step is looked up before it is
 * taken: what is valid stays, and an index that a killed process left invalid is dropped and made again. Only the owner of the table may do this, and
 * not in a function, since CREATE INDEX CONCURRENTLY and VACUUM refuse to run in a transaction.
 */
import { FatalError } from '../core/errors.ts'
import { readPartitions } from '../schema/partitions.ts'
import { quoted, type Session, sqlState } from '../schema/sql.ts'
import { isSealed, sealedNote, sealIndexes, sealIndexName } from './plan.ts'

export interface SealOptions {
  readonly signal: AbortSignal
  /** Told before each step that takes time, say `index subject`. */
  readonly onStep?: (step: string) => void
}

/** True: this call sealed the day. False: it was sealed, or is no partition any more. The session is a keeper's (see turn.ts), in its turn. */
export async function seal(
  session: Session,
  table: string,
  day: number,
  { signal, onStep }: SealOptions,
): Promise<boolean> {
  const found = await readPartitions(session, table)
  const partition = found.partitions.find((one) => one.day === day && one.state === 'attached')
  if (partition === undefined || isSealed(partition)) return false
  const schema = quoted(found.schema)
  const child = `${schema}.${quoted(partition.name)}`
  try {
    // Both wait for transactions that write to the day or hold an old snapshot. Nobody queues behind that, so it may take its time.
    await session.query('set lock_timeout = 0')
    for (const { suffix, columns } of sealIndexes) {
      signal.throwIfAborted()
      const name = sealIndexName(partition.name, suffix)
      const index = partition.indexes.find((one) => one.name === name)
      if (index?.valid) continue
      onStep?.(`index ${suffix}`)
      if (index !== undefined) await session.query(`drop index concurrently ${schema}.${quoted(name)}`)
      await session.query(`create index concurrently ${quoted(name)} on ${child} (${columns})`)
    }
    signal.throwIfAborted()
    onStep?.('freeze and analyze')
    await session.query(`vacuum (freeze, analyze, truncate off, parallel 0) ${child}`)
    const last = sealIndexName(partition.name, sealIndexes[sealIndexes.length - 1]!.suffix)
    await session.query(`comment on index ${schema}.${quoted(last)} is '${sealedNote}'`)
    return true
  } catch (error) {
    if (sqlState(error) !== '42P07') throw error
    throw new FatalError(
      'SCHEMA_MISSING',
      `${(error as Error).message}: it is no index of ${partition.name}.`,
      'Rename it, so that the index of the day can be made.',
      error,
    )
  } finally {
    await session.query("set lock_timeout = '1s'").catch(() => {})
  }
}
