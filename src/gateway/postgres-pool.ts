/** A few connections for what the server itself keeps, and for looks at the past; each question ends with the request it is for. */
import pg from 'pg'
import { FatalError } from '../core/errors.ts'
import type { Settings } from '../core/settings.ts'
import { postgresConfig, postgresFailure } from '../process/connect-postgres.ts'
import { type Session, sqlState } from '../schema/sql.ts'

export interface Pool extends Session {
  /** One connection for all of it. What a signal cuts off is ended in the database too. */
  with<T>(work: (session: Session) => Promise<T>, signal?: AbortSignal): Promise<T>
  close(): Promise<void>
}

const connectionsMax = 5

export function openPool(settings: Settings): Pool {
  const pool = new pg.Pool({ ...postgresConfig(settings, 'millrace serve'), max: connectionsMax })
  // A connection that is lost while nobody uses it is made anew for the next who does.
  pool.on('error', () => {})

  function explained(error: unknown): unknown {
    if (error instanceof FatalError || !(error instanceof Error)) return error
    // Of several addresses tried in vain the code says it alone.
    const said = `${(error as NodeJS.ErrnoException).code} ${error.message}`
    const isConnection = /Connection terminated|timeout exceeded|ECONN|EPIPE|ENOTFOUND|ETIMEDOUT|EHOSTUNREACH/.test(
      said,
    )
    return sqlState(error) !== undefined || isConnection ? postgresFailure(error, settings) : error
  }

  async function withSession<T>(work: (session: Session) => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted()
    const client = await pool.connect().catch((error: unknown) => {
      throw explained(error)
    })
    const cut = () => client.connection?.stream.destroy()
    client.on('error', ignore)
    signal?.addEventListener('abort', cut, { once: true })
    let broken = true
    try {
      // The server looks for a client that has gone, so that what was cut off does not go on reading.
      await client.query("set client_connection_check_interval = '1s'")
      const result = await work(client)
      broken = false
      return result
    } catch (error) {
      // What the database has refused it has also ended; anything else may have left the connection anywhere.
      broken = sqlState(error) === undefined && !(error instanceof FatalError)
      throw explained(error)
    } finally {
      signal?.removeEventListener('abort', cut)
      client.off('error', ignore)
      client.release(broken || signal?.aborted === true)
    }
  }

  return {
    query: (text, values) =>
      pool.query(text, values).catch((error: unknown) => {
        throw explained(error)
      }),
    with: withSession,
    close: () => pool.end(),
  }
}

const ignore = () => {}
