/** A webhook for tests: takes CloudEvents in any mode by the official SDK, and is busy for the first request and every hundredth. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type CloudEvent, HTTP } from 'cloudevents'

export interface Hook extends AsyncDisposable {
  readonly url: string
  readonly events: unknown[]
  readonly refused: number
}

/** `status`: what it always answers. */
export async function openHook(status?: number): Promise<Hook> {
  const events: unknown[] = []
  let requests = 0
  let refused = 0
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    if (status !== undefined) return response.writeHead(status).end('no more\n')
    if (requests++ % 100 === 0) {
      refused++
      return response.writeHead(503).end()
    }
    const found = HTTP.toEvent({ headers: request.headers, body: Buffer.concat(chunks).toString('utf8') })
    for (const event of Array.isArray(found) ? found : [found]) events.push((event as CloudEvent).toJSON())
    response.writeHead(204).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/events`,
    events,
    get refused() {
      return refused
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
    },
  }
}
