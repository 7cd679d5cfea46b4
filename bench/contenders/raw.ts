/** The yardstick: the very rows of an earlier drain, COPYed from two files by two connections. What is measured is PostgreSQL, with as little client as can be. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { partitionName } from '../../src/core/day.ts'
import { columns } from '../../src/flow/persist/sql.ts'
import { copyOut } from '../copy-out.ts'
import type { World } from '../world.ts'
import { startChild } from './child.ts'
import type { Contender } from './contender.ts'

const script = fileURLToPath(new URL('../raw-copy.ts', import.meta.url))
const files = ({ logs }: World) => [0, 1].map((half) => join(logs, `../rows-${half}.bin`))

/** Keeps the rows that are stored now. */
export async function keepRows(world: World): Promise<void> {
  for (const [half, file] of files(world).entries()) {
    const rows = `SELECT ${columns} FROM cloud_events WHERE kafka_partition % 2 = ${half} ORDER BY ctid`
    await copyOut(world.sql, `COPY (${rows}) TO STDOUT (FORMAT binary)`, file)
  }
}

export const raw: Contender = {
  name: 'raw',
  title: 'raw COPY, two streams',
  stores: true,
  publishes: false,
  async start(world) {
    const table = partitionName('cloud_events', world.today)
    const words = [process.execPath, script, world.stack.postgres, table, ...files(world)] as const
    const child = startChild([...words], join(world.logs, 'raw-copy.log'), { channel: true })
    // Two commits say nothing about a rate: it has a clock of its own, which starts when the files are read.
    return Object.assign(child, {
      took: () => (child.told() as { seconds: number } | undefined) ?? null,
    })
  },
}
