/**
 * What a replay into a file is measured by: COPY TO STDOUT of the same rows in the text format, written to a file as it comes, which is what psql does with
 * \copy. A process of its own, so that it competes for the cores as a replay would.
 *
 *   node bench/copy-to.ts <url> <query> <file>     tells its parent {seconds}
 */
import pg from 'pg'
import { copyOut } from './copy-out.ts'

const [url = '', query = '', file = ''] = process.argv.slice(2)
const client = new pg.Client({ connectionString: url })
await client.connect()
const from = performance.now()
await copyOut(client, `COPY (${query}) TO STDOUT`, file)
const seconds = (performance.now() - from) / 1000
await client.end()
process.send?.({ seconds })
process.disconnect?.()
