/** A connection of persist/ to PostgreSQL, under a name by which its kind can be found, with the limits that no transaction of ours may pass. */
import pg from 'pg'
import type { Target } from './sql.ts'

export interface PostgresOptions {
  readonly target: Target
  readonly connection: pg.ClientConfig
  readonly transactionTimeoutMs: number
  readonly lockTimeoutMs: number
}

/** As the server keeps it: at most 63 bytes. */
export const sessionName = ({ consumer }: Target, what: string) => `millrace ${consumer.slice(0, 40)} ${what}`

/** One connection that is opened when needed and thrown away after any error. */
export function session({ connection, target, transactionTimeoutMs, lockTimeoutMs }: PostgresOptions, name: string) {
  let current: pg.Client | null = null
  let opening: Promise<pg.Client> | null = null

  async function open(): Promise<pg.Client> {
    const client = new pg.Client({ ...connection, application_name: sessionName(target, name) })
    // A connection that dies while idle is noticed by the next query; without a listener it would end the process.
    client.on('error', () => {
      if (current === client) current = null
    })
    try {
      await client.connect()
      await client.query(
        // The generic plan: millrace_advance would otherwise be planned anew for small calls, 0.20 ms instead of 0.08.
        `SET synchronous_commit = on; SET plan_cache_mode = force_generic_plan;
         SET transaction_timeout = ${transactionTimeoutMs}; SET lock_timeout = ${lockTimeoutMs}`,
      )
    } catch (error) {
      destroy(client)
      throw error
    }
    current = client
    return client
  }

  return {
    async client(): Promise<pg.Client> {
      if (current !== null) return current
      // Lanes share the control session: who comes while it is being opened must not open another.
      opening ??= open().finally(() => {
        opening = null
      })
      return opening
    },
    /** Ends the connection at once, also in the middle of a query, which then fails. */
    async discard(): Promise<void> {
      const client = current
      current = null
      if (client !== null) destroy(client)
    },
    async close(): Promise<void> {
      const client = current
      current = null
      await client?.end()
    },
  }
}

function destroy(client: pg.Client): void {
  const { connection } = client as pg.Client & { connection: { stream: { destroy(): void } } }
  connection.stream.destroy()
}
