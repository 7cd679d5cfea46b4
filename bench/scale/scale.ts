/**
 * What more of everything costs. Each part opens a world of its own, measures the usual case and the larger ones in turns, and prints a table whose last
 * column is the ratio to the first row: where it is 1, the cost of an event is flat.
 */
import type { WorldOptions } from '../world.ts'
import { aio } from './aio.ts'
import { backlog } from './backlog.ts'
import { bytes, days, partitions, replicas, rows } from './drains.ts'
import { pauses } from './pauses.ts'

export const partNames = ['replicas', 'partitions', 'bytes', 'rows', 'days', 'backlog', 'pauses', 'aio'] as const
export type PartName = (typeof partNames)[number]

export interface ScaleOptions {
  readonly parts: readonly PartName[]
  readonly events: number
  readonly rounds: number
  readonly rate: number
  /** Sizes of the table. */
  readonly rows: readonly number[]
  readonly backlog: number
}

/** Opens what it is given, measures, and answers a table for people and the figures for a file. */
export type Part = (world: WorldOptions, options: ScaleOptions) => Promise<{ table: string; found: object }>

const parts: Readonly<Record<PartName, Part>> = { replicas, partitions, bytes, rows, days, backlog, pauses, aio }

export async function scale(world: WorldOptions, options: ScaleOptions): Promise<Record<string, object>> {
  const all: Record<string, object> = {}
  for (const name of options.parts) {
    world.signal.throwIfAborted()
    world.say(`${name}:`)
    const { table, found } = await parts[name](world, options)
    process.stdout.write(`${table}\n`)
    all[name] = found
  }
  return all
}
