/**
 * What of a batch a COPY must leave out: events that are stored already, by whichever record, and rejects that were written before (the ledger was set
 * back). And the COPY streams without them: COPY knows no ON CONFLICT, so what would conflict is found by its key and left out, and the rest goes
 * the fast way.
 */
import type pg from 'pg'
import type { Decoded } from '../../core/batch.ts'
import { dayOf } from '../../core/day.ts'
import { formatUuid } from '../../core/identity.ts'
import { copyRowBounds, readInt64 } from './read-copy.ts'
import * as sql from './sql.ts'

export interface Excluded {
  /** Rows by index in the batch. */
  readonly rows: ReadonlySet<number>
  /** Those of them that another record made. */
  readonly foreign: ReadonlySet<number>
  /** Rejects by position in their COPY stream. */
  readonly rejects: ReadonlySet<number>
  /** By slice: how many of its rows and of its rejects are left out. */
  readonly rowsOf: readonly number[]
  readonly rejectsOf: readonly number[]
}

export const nothing: Excluded = {
  rows: new Set(),
  foreign: new Set(),
  rejects: new Set(),
  rowsOf: [],
  rejectsOf: [],
}

/** Of the same event twice in a batch, the first record makes the row. */
export async function storedBefore(client: pg.Client, target: sql.Target, batch: Decoded): Promise<Excluded> {
  const owners = await ownersOf(client, target, batch)
  const rows = new Set<number>()
  const foreign = new Set<number>()
  const rowsOf = batch.slices.map(() => 0)
  const seen = new Set<string>()
  for (let row = 0; row < batch.rows.count; row++) {
    const id = formatUuid(batch.rows.ids, row * 16)
    const owner = owners.get(id)
    if (owner === undefined && !seen.has(id)) {
      seen.add(id)
      continue
    }
    rows.add(row)
    if (owner !== placeOf(target, batch, row)) foreign.add(row)
    const slice = batch.rows.slice[row] as number
    rowsOf[slice] = (rowsOf[slice] as number) + 1
  }
  return { rows, foreign, rowsOf, ...(await rejectedBefore(client, target, batch)) }
}

/** The rows that another record made, or that were rejected after all: whoever publishes leaves them out. */
export async function foreignOf(client: pg.Client, target: sql.Target, batch: Decoded): Promise<Set<number>> {
  const owners = await ownersOf(client, target, batch)
  const foreign = new Set<number>()
  for (let row = 0; row < batch.rows.count; row++) {
    if (owners.get(formatUuid(batch.rows.ids, row * 16)) !== placeOf(target, batch, row)) foreign.add(row)
  }
  return foreign
}

const placeOf = ({ topic }: sql.Target, { slices, rows }: Decoded, row: number) =>
  `${topic}/${slices[rows.slice[row] as number]?.partition}/${rows.offset[row]}`

/** Key to the place of the record that made the stored row. */
async function ownersOf(client: pg.Client, target: sql.Target, batch: Decoded): Promise<Map<string, string>> {
  if (batch.rows.count === 0) return new Map()
  const ids: string[] = []
  for (let row = 0; row < batch.rows.count; row++) ids.push(formatUuid(batch.rows.ids, row * 16))
  const { rows } = await client.query(sql.coordinates(target), [ids])
  return new Map(rows.map((row) => [row.id, `${row.kafka_topic}/${row.kafka_partition}/${row.kafka_offset}`]))
}

async function rejectedBefore(client: pg.Client, target: sql.Target, { rejects, slices }: Decoded) {
  const found = new Set<number>()
  const rejectsOf = slices.map(() => 0)
  if (rejects.count === 0) return { rejects: found, rejectsOf }
  const places = placesOfRejects(rejects.bytes)
  const { rows } = await client.query(sql.rejectsAt, [
    target.consumer,
    target.topic,
    places.map(({ partition }) => partition),
    places.map(({ offset }) => offset),
  ])
  const written = new Set(rows.map((row) => `${row.partition}/${row.kafka_offset}`))
  const sliceOf = new Map(slices.map(({ partition }, index) => [partition, index]))
  for (const [index, { partition, offset }] of places.entries()) {
    if (!written.has(`${partition}/${offset}`)) continue
    found.add(index)
    const slice = sliceOf.get(partition) as number
    rejectsOf[slice] = (rejectsOf[slice] as number) + 1
  }
  return { rejects: found, rejectsOf }
}

/** Third and fourth column of the stream: partition and offset. */
function placesOfRejects(bytes: Uint8Array): { partition: number; offset: number }[] {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  return copyRowBounds(bytes).map(([start]) => {
    let at = start + 2
    for (let column = 0; column < 2; column++) at += 4 + view.readInt32BE(at)
    return { partition: view.readInt32BE(at + 4), offset: readInt64(view.subarray(at + 12, at + 20)) }
  })
}

/** By copy of a day: the batch's row at each position of its stream. */
export function rowsOfCopies({ copies, rows }: Decoded): number[][] {
  const places = new Map(copies.map(({ day }) => [day, [] as number[]]))
  const ids = Buffer.from(rows.ids.buffer, rows.ids.byteOffset, rows.ids.length)
  for (let row = 0; row < rows.count; row++) {
    places.get(dayOf(ids.readUIntBE(row * 16, 6)))?.push(row)
  }
  return copies.map(({ day }) => places.get(day) as number[])
}

/** The COPY stream with the rows at these positions only. */
export function pickRows(bytes: Uint8Array, wanted: (position: number) => boolean): Uint8Array {
  const bounds = copyRowBounds(bytes)
  const parts = [bytes.subarray(0, bounds[0]?.[0] ?? bytes.length - 2)]
  for (const [position, [start, end]] of bounds.entries()) if (wanted(position)) parts.push(bytes.subarray(start, end))
  parts.push(bytes.subarray(bytes.length - 2))
  return Buffer.concat(parts)
}
