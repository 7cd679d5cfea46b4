/**
 * The yardstick: one psql-like stream that COPYs a file of binary rows. Run as a process of its own, so that it competes for the cores as a replica
 * would. The file is read and framed before the clock starts: what is measured is PostgreSQL, with as little client as can be.
 *
 *   node bench/raw-copy.ts <url> <table> <file>...     one connection per file, all at once; tells its parent {seconds}
 */
import { readFileSync } from 'node:fs'
import pg from 'pg'
import { columns } from '../src/flow/persist/sql.ts'

const [url, table, ...files] = process.argv.slice(2)
/** As psql sends: frames of 64 KiB. */
const frameBytes = 64 * 1024

/** The file as CopyData frames, in writes of about a megabyte. */
function framed(file: string): Buffer[] {
  const bytes = readFileSync(file)
  const writes: Buffer[] = []
  for (let at = 0; at < bytes.length; at += 16 * frameBytes) {
    const part = bytes.subarray(at, at + 16 * frameBytes)
    const frames: Buffer[] = []
    for (let from = 0; from < part.length; from += frameBytes) {
      const body = part.subarray(from, from + frameBytes)
      const head = Buffer.alloc(5)
      head[0] = 0x64
      head.writeUInt32BE(body.length + 4, 1)
      frames.push(head, body)
    }
    writes.push(Buffer.concat(frames))
  }
  return writes
}

async function copy(client: pg.Client, writes: readonly Buffer[]): Promise<void> {
  const done = Promise.withResolvers<void>()
  const nothing = () => {}
  client.query({
    submit: (connection: pg.Connection) => connection.query(`COPY ${table} (${columns}) FROM STDIN (FORMAT binary)`),
    handleCopyInResponse: async (connection: pg.Connection & { endCopyFrom(): void }) => {
      for (const part of writes) {
        if (!connection.stream.write(part)) await new Promise((resolve) => connection.stream.once('drain', resolve))
      }
      connection.endCopyFrom()
    },
    handleReadyForQuery: () => done.resolve(),
    handleError: (error: Error) => done.reject(error),
    handleCommandComplete: nothing,
    handleRowDescription: nothing,
    handleDataRow: nothing,
    handleEmptyQuery: nothing,
    handlePortalSuspended: nothing,
  } as unknown as pg.Submittable)
  await done.promise
}

const clients = await Promise.all(
  files.map(async () => {
    const client = new pg.Client({ connectionString: url ?? '' })
    await client.connect()
    return client
  }),
)
const all = files.map(framed)
const from = performance.now()
await Promise.all(clients.map((client, index) => copy(client, all[index] as Buffer[])))
const seconds = (performance.now() - from) / 1000
await Promise.all(clients.map((client) => client.end()))
process.send?.({ seconds })
// Its parent reads what it has used while it is still there.
await new Promise((resolve) => process.once('SIGTERM', resolve))
process.disconnect?.()
