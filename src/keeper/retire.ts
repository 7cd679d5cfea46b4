/**
 * Takes a day away from its table: DETACH ... CONCURRENTLY, then drop it, or keep it under another name.
 *
 *   attached -> marked by a comment -> pending -> detached -> dropped | renamed to <table>_detached_YYYY_MM_DD
 *
 * Each step is looked up in the catalog before it is taken, so whoever comes after an interruption goes on where it stopped. Waits are bounded by
 * lock_timeout: a reader of the table that stays for hours leaves the day pending, where no query sees it any more, until a later round finishes it.
 *
 * A kept table is renamed because COPY goes to a day by its name: into a detached one rows would be lost to sight.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { TransientError } from '../core/errors.ts'
import { type Partition, type Partitions, readPartitions } from '../schema/partitions.ts'
import { quoted, type Session, sqlState } from '../schema/sql.ts'
import { begun, type Retention, retireNotes } from './plan.ts'

export interface RetireOptions {
  readonly how: Retention
  readonly signal: AbortSignal
  readonly attempts?: number
  readonly pauseMs?: number
}

const qualified = ({ schema }: Partitions, name: string) => `${quoted(schema)}.${quoted(name)}`

export const keptName = (table: string, partition: string) => `${table}_detached${partition.slice(-11)}`

/** Answers what became of the day: how it was retired, or null where it was only detached (as whoever had begun it meant to). */
export async function retire(
  session: Session,
  table: string,
  day: number,
  { how, signal, attempts = 3, pauseMs = 200 }: RetireOptions,
): Promise<Retention | null> {
  let done: Retention | null = null
  for (let busy = 0; ; ) {
    signal.throwIfAborted()
    const found = await readPartitions(session, table)
    const partition = found.partitions.find((one) => one.day === day)
    if (partition === undefined) return done
    if (partition.state === 'detached' && begun(partition) === undefined) return done
    try {
      const step = nextStep(found, partition, how)
      if (partition.state === 'detached') done = begun(partition) ?? null
      await session.query(step)
    } catch (error) {
      const state = sqlState(error)
      // 55000: somebody else finished the same detach in between, or another one of this table is pending.
      if (state !== '55P03' && state !== '40P01' && state !== '55000') throw error
      if (++busy === attempts) {
        throw new TransientError(
          'POSTGRES_BUSY',
          `${partition.name} (${partition.state}) waits for a lock that others hold.`,
          error,
        )
      }
      await sleep(pauseMs * busy, undefined, { signal })
    }
  }
}

function nextStep(found: Partitions, partition: Partition, how: Retention): string {
  const parent = qualified(found, found.table)
  const child = qualified(found, partition.name)
  switch (partition.state) {
    case 'attached':
      if (begun(partition) !== how) return `comment on table ${child} is '${retireNotes[how]}'`
      return `alter table ${parent} detach partition ${child} concurrently`
    case 'pending':
      return `alter table ${parent} detach partition ${child} finalize`
    case 'detached':
      if (begun(partition) === 'drop') return `drop table ${child}`
      return `alter table ${child} rename to ${quoted(keptName(found.table, partition.name))}`
  }
}
