/**
 * A TCP proxy between a replica and a server: it passes bytes on, until a test holds them back, delays them, cuts the line, or lets it lead elsewhere
 * (as an address does that moves to another machine).
 */
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
  /** All lines are reset now, and whoever connects is reset at once, until mend(). */
  cut(): void
  mend(): void
  /** All lines are reset, once. */
  cutAll(): void
  /** Whatever a client sends reaches the server so much later, in its order; 0: as it comes. */
  delay(ms: number): void
  /** New connections lead there; those that are open stay where they are. */
  switchTo(target: string): void
  close(): Promise<void>
}

export async function startProxy(target: string, filterOf?: (line: Line) => Filter): Promise<TcpProxy> {
  let { hostname, port } = new URL(target)
  const lines = new Set<Line>()
  let isHeld = false
  let isCut = false
  let delayMs = 0

  const listener = createServer({ noDelay: true }, (client) => {
    if (isCut) {
      client.resetAndDestroy()
      return
    }
    const server = connect({ host: hostname, port: Number(port), noDelay: true })
    const line: Line = {
      client,
      server,
      cut() {
        reset(client)
        reset(server)
      },
    }
    lines.add(line)
    const filter = filterOf?.(line) ?? {
      fromClient: (bytes) => void server.write(bytes),
      fromServer: (bytes) => void client.write(bytes),
    }
    const later = inOrder(() => delayMs)
    client.on('data', (bytes) => later(() => filter.fromClient(bytes))).on('end', () => later(() => server.end()))
    server.on('data', filter.fromServer).on('end', () => client.end())
    client.on('error', () => server.destroy())
    server.on('error', () => client.destroy())
    client.on('close', () => {
      lines.delete(line)
      later(() => server.end())
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
    cut() {
      isCut = true
      cutAll()
    },
    mend() {
      isCut = false
    },
    cutAll,
    delay(ms) {
      delayMs = ms
    },
    switchTo(next) {
      ;({ hostname, port } = new URL(next))
    },
    async close() {
      cutAll()
      await new Promise((resolve) => listener.close(resolve))
    },
  }
}

/** A socket that is just being closed in order cannot be reset: libuv refuses, the handle stays, and the process would never end. */
function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}

/** Runs what it is given after the delay of that moment, and never before what it was given earlier. */
function inOrder(delayMs: () => number): (work: () => void) => void {
  const waiting: { readonly dueMs: number; readonly work: () => void }[] = []
  const next = () => {
    for (let [first] = waiting; first !== undefined; [first] = waiting) {
      const leftMs = first.dueMs - performance.now()
      if (leftMs > 0) {
        setTimeout(next, Math.ceil(leftMs))
        return
      }
      waiting.shift()
      first.work()
    }
  }
  return (work) => {
    const ms = delayMs()
    if (waiting.length === 0 && ms === 0) {
      work()
      return
    }
    waiting.push({ dueMs: performance.now() + ms, work })
    if (waiting.length === 1) setTimeout(next, ms)
  }
}

/** The same address behind the proxy. */
export function through(url: string, { port }: TcpProxy): string {
  return Object.assign(new URL(url), { port: String(port) }).href
}
