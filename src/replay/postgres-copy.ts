/**
 * COPY ... TO STDOUT with back-pressure: where nobody takes what has come, the socket is not read, and the server waits. Messages are handed over as they
 * lie in what came from the socket, valid for the length of the call.
 *
 * The driver makes three objects of every row. So while a COPY is under way its rows are picked from the socket's bytes here, and the driver is
 * given everything else.
 */
import type pg from 'pg'

export interface CopyOut {
  /** Pauses and goes on with the reading of the socket. */
  pause(): void
  resume(): void
  readonly done: Promise<void>
}

export interface CopyReader {
  /** A message of the server lies in [start, end). */
  message(bytes: Buffer, start: number, end: number): void
  /** All that came at once was handed over. */
  handedOver(): void
}

const copyData = 0x64
const readyForQuery = 0x5a
/** A byte that says what it is, four of length, which count themselves. */
const headBytes = 5

export function copyOut(client: pg.Client, sql: string, reader: CopyReader): CopyOut {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let failure: Error | null = null
  let stream: pg.Connection['stream'] | null = null
  let paused = false
  const nothing = () => {}
  const query = {
    submit(connection: pg.Connection) {
      stream = connection.stream
      pick(connection.stream, {
        message(bytes, start, end) {
          if (failure !== null) return
          try {
            reader.message(bytes, start, end)
          } catch (error) {
            failure = error as Error
          }
        },
        handedOver: () => reader.handedOver(),
      })
      connection.query(sql)
      return null
    },
    handleReadyForQuery: () => (failure === null ? resolve() : reject(failure)),
    // The server's ReadyForQuery comes behind it, except where the connection itself is gone; a promise is settled once.
    handleError(error: Error) {
      failure ??= error
      reject(error)
    },
    handleCommandComplete: nothing,
    handleCopyData: nothing,
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

/** Stands between the socket and the driver up to the end of the query. */
function pick(stream: pg.Connection['stream'], reader: CopyReader): void {
  const driver = stream.listeners('data') as ((bytes: Buffer) => void)[]
  /** The beginning of a message that has not come whole, in pieces: a large one is put together once. */
  let pieces: Buffer[] = []
  let have = 0
  let need = 0
  const take = (came: Buffer) => {
    pieces.push(came)
    have += came.length
    if (have < need) return
    const bytes = pieces.length === 1 ? came : Buffer.concat(pieces, have)
    need = headBytes
    let at = 0
    while (at + headBytes <= bytes.length) {
      const end = at + 1 + bytes.readInt32BE(at + 1)
      if (end > bytes.length) {
        need = end - at
        break
      }
      const kind = bytes[at]
      if (kind === copyData) reader.message(bytes, at + headBytes, end)
      else {
        if (kind === readyForQuery) {
          stream.off('data', take)
          for (const one of driver) stream.on('data', one)
        }
        for (const one of driver) one.call(stream, bytes.subarray(at, end))
      }
      at = end
    }
    pieces = at < bytes.length ? [bytes.subarray(at)] : []
    have = bytes.length - at
    reader.handedOver()
  }
  for (const one of driver) stream.off('data', one)
  stream.on('data', take)
}
