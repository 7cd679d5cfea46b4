/**
 * COPY ... TO STDOUT with back-pressure: where nobody takes what has come, the socket is not read, and the server waits. Messages are handed over as they
 * lie in the driver's buffer, valid for the length of the call.
 */
import type pg from 'pg'

export interface CopyOut {
  /** Pauses and goes on with the reading of the socket. */
  pause(): void
  resume(): void
  readonly done: Promise<void>
}

export function copyOut(client: pg.Client, sql: string, onMessage: (message: Buffer) => void): CopyOut {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let failure: Error | null = null
  let stream: pg.Connection['stream'] | null = null
  let paused = false
  const nothing = () => {}
  const query = {
    submit(connection: pg.Connection) {
      stream = connection.stream
      connection.query(sql)
      return null
    },
    handleCopyData({ chunk }: { chunk: Buffer }) {
      if (failure !== null) return
      try {
        onMessage(chunk)
      } catch (error) {
        failure = error as Error
      }
    },
    handleReadyForQuery: () => (failure === null ? resolve() : reject(failure)),
    // The server's ReadyForQuery comes behind it, except where the connection itself is gone; a promise is settled once.
    handleError(error: Error) {
      failure ??= error
      reject(error)
    },
    handleCommandComplete: nothing,
    handleRowDescription: nothing,
    handleDataRow: nothing,
    handleEmptyQuery: nothing,
    handlePortalSuspended: nothing,
    handleCopyInResponse: nothing,
  }
  client.query(query as unknown as pg.Submittable)
  promise.catch(() => {})
  return {
    pause() {
      if (paused) return
      paused = true
      stream?.pause()
    },
    resume() {
      if (!paused) return
      paused = false
      stream?.resume()
    },
    done: promise,
  }
}
