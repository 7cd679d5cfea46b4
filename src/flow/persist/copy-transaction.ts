/**
 * A whole transaction in one message: `BEGIN; CALL ...; COPY ...; COPY ...; COMMIT` as one simple query, each COPY fed from a finished buffer the
 * moment the server asks for it. One round trip to the first byte and one to the end, instead of five; on busy cores each hop costs a wake-up.
 *
 * pg-copy-streams is not used: it cannot carry more than one statement, and never sends CopyFail. Nothing can fail half-way here, since the buffers
 * are complete before the query is sent.
 */
import type { Client, Connection, Submittable } from 'pg'

/** The parts of pg's Submittable protocol that its types leave out. */
interface Message {
  readonly text?: string
}

class CopyTransaction implements Submittable {
  readonly #text: string
  readonly #buffers: readonly Uint8Array[]
  readonly #settled: { resolve: (tags: string[]) => void; reject: (error: Error) => void }
  readonly #tags: string[] = []
  #next = 0

  constructor(
    text: string,
    buffers: readonly Uint8Array[],
    settled: { resolve: (tags: string[]) => void; reject: (error: Error) => void },
  ) {
    this.#text = text
    this.#buffers = buffers
    this.#settled = settled
  }

  submit(connection: Connection): void {
    connection.query(this.#text)
  }

  handleCopyInResponse(connection: Connection & { endCopyFrom(): void }): void {
    const bytes = this.#buffers[this.#next++]
    const { stream } = connection
    if (bytes !== undefined) {
      const head = Buffer.allocUnsafe(5)
      head[0] = 0x64
      head.writeUInt32BE(bytes.length + 4, 1)
      stream.cork()
      stream.write(head)
      stream.write(bytes)
      process.nextTick(() => stream.uncork())
    }
    connection.endCopyFrom()
  }

  handleCommandComplete(message: Message): void {
    this.#tags.push(message.text ?? '')
  }

  handleReadyForQuery(): void {
    this.#settled.resolve(this.#tags)
  }

  handleError(error: Error): void {
    this.#settled.reject(error)
  }

  handleRowDescription(): void {}
  handleDataRow(): void {}
  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}
}

/** Runs `text`, feeding the n-th COPY in it from the n-th buffer; answers the command tags. The n-th buffer must be a whole COPY BINARY stream. */
export function runCopies(client: Client, text: string, buffers: readonly Uint8Array[]): Promise<string[]> {
  return new Promise((resolve, reject) => {
    client.query(new CopyTransaction(text, buffers, { resolve, reject }))
  })
}
