/** A TCP proxy between a replica and a server: it passes bytes on, until a test holds them back or cuts the line. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface Line {
  readonly client: Socket
  readonly server: Socket
  /** Ends both sides at once, with a reset. */
  cut(): void
}

/** What becomes of the bytes of one connection; by default they are passed on as they come. */
export interface Filter {
  fromClient(bytes: Buffer): void
  fromServer(bytes: Buffer): void
}

export interface TcpProxy {
  readonly port: number
  readonly lines: ReadonlySet<Line>
  /** From now on nothing passes in either direction, on new connections neither. */
  hold(): void
  release(): void
  cutAll(): void
  close(): Promise<void>
}

export async function startProxy(target: string, filterOf?: (line: Line) => Filter): Promise<TcpProxy> {
  const { hostname, port } = new URL(target)
  const lines = new Set<Line>()
  let isHeld = false

  const listener = createServer({ noDelay: true }, (client) => {
    const server = connect({ host: hostname, port: Number(port), noDelay: true })
    const line: Line = {
      client,
      server,
      cut() {
        client.resetAndDestroy()
        server.resetAndDestroy()
      },
    }
    lines.add(line)
    const filter = filterOf?.(line) ?? {
      fromClient: (bytes) => void server.write(bytes),
      fromServer: (bytes) => void client.write(bytes),
    }
    client.on('data', filter.fromClient).on('end', () => server.end())
    server.on('data', filter.fromServer).on('end', () => client.end())
    client.on('error', () => server.destroy())
    server.on('error', () => client.destroy())
    client.on('close', () => {
      lines.delete(line)
      server.end()
    })
    if (isHeld) pause(line)
  })
  listener.listen(0, '127.0.0.1')
  await new Promise((resolve) => listener.once('listening', resolve))

  const pause = ({ client, server }: Line) => {
    client.pause()
    server.pause()
  }
  const cutAll = () => {
    for (const line of lines) line.cut()
  }
  return {
    port: (listener.address() as AddressInfo).port,
    lines,
    hold() {
      isHeld = true
      for (const line of lines) pause(line)
    },
    release() {
      isHeld = false
      for (const { client, server } of lines) {
        client.resume()
        server.resume()
      }
    },
    cutAll,
    async close() {
      cutAll()
      await new Promise((resolve) => listener.close(resolve))
    },
  }
}

/** The same address behind the proxy. */
export function through(url: string, { port }: TcpProxy): string {
  return Object.assign(new URL(url), { port: String(port) }).href
}
