/** `COPY ... TO STDOUT (FORMAT binary)` into a file, as psql's \copy does it. */

import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import type pg from 'pg'

export async function copyOut(client: pg.Client, text: string, path: string): Promise<void> {
  const file = createWriteStream(path)
  const done = Promise.withResolvers<void>()
  const nothing = () => {}
  client.query({
    submit: (connection: pg.Connection) => connection.query(text),
    // The parser writes over its buffer with the next answer.
    handleCopyData: ({ chunk }: { chunk: Buffer }) => file.write(Buffer.from(chunk)),
    handleReadyForQuery: () => done.resolve(),
    handleError: (error: Error) => done.reject(error),
    handleCommandComplete: nothing,
    handleRowDescription: nothing,
    handleDataRow: nothing,
    handleEmptyQuery: nothing,
    handlePortalSuspended: nothing,
  } as unknown as pg.Submittable)
  await done.promise
  file.end()
  await once(file, 'finish')
}
