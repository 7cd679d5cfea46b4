/**
 * Which rows of a batch PostgreSQL refuses for what they are. The decoder lets nothing through that it knows of, but there is always a next limit (an
 * index entry over 2,704 bytes, a check that somebody added). A COPY knows all or nothing, so halves are tried, each in a transaction that is
 * rolled back, until the rows stand alone. Nothing is stored here: the records are decoded again, as rejects.
 */
import type pg from 'pg'
import type { Condemned, Decoded } from '../../core/batch.ts'
import { sqlState } from './classify.ts'
import { runCopies } from './copy-transaction.ts'
import { type Excluded, pickRows, rowsOfCopies } from './excluded.ts'
import * as sql from './sql.ts'

/** Each costs a dozen small COPYs. Who has more of them finds the next ones with the next attempt. */
const foundMax = 32

/** Data exceptions, broken constraints other than the keys that excluded.ts knows, and limits: the row is at fault, not the world. */
export const isRefusal = (error: unknown): boolean => {
  const state = sqlState(error)
  return state !== '23505' && /^(22|23|54)/.test(state)
}

export async function refusedRows(
  client: pg.Client,
  target: sql.Target,
  batch: Decoded,
  without: Excluded,
): Promise<Condemned[]> {
  const found: Condemned[] = []
  const places = rowsOfCopies(batch)
  for (const [index, { day, bytes }] of batch.copies.entries()) {
    const rows = places[index] as number[]
    const candidates = rows.map((_, position) => position).filter((at) => !without.rows.has(rows[at] as number))
    await search(candidates, async (positions) => {
      const chosen = new Set(positions)
      const error = await refusal(client, sql.copyDay(target, day), [pickRows(bytes, (at) => chosen.has(at))])
      if (error === null || positions.length > 1) return error !== null
      const row = rows[positions[0] as number] as number
      found.push({
        partition: batch.slices[batch.rows.slice[row] as number]?.partition ?? -1,
        offset: batch.rows.offset[row] as number,
        reason: `SQLSTATE ${sqlState(error)}: ${error.message}`,
      })
      return true
    })
    if (found.length >= foundMax) break
  }
  return found

  /** `fails` says whether any of these is at fault. */
  async function search(positions: number[], fails: (positions: number[]) => Promise<boolean>): Promise<void> {
    if (positions.length === 0 || found.length >= foundMax || !(await fails(positions)) || positions.length === 1)
      return
    const middle = positions.length >> 1
    await search(positions.slice(0, middle), fails)
    await search(positions.slice(middle), fails)
  }
}

async function refusal(client: pg.Client, copy: string, buffers: Uint8Array[]): Promise<Error | null> {
  try {
    await runCopies(client, `BEGIN;${copy};ROLLBACK`, buffers)
    return null
  } catch (error) {
    if (!isRefusal(error)) throw error
    await client.query('ROLLBACK')
    return error as Error
  }
}
