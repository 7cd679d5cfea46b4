/**
 * Promises a port on the loopback address that nobody listens on now and that no outgoing connection can take.
 * Not by binding port 0: such a port lies in the range that connect() draws from, so while a server restarts, a client that keeps trying to reach it can be
 * given that very port as its own, connect to itself, and keep the server from coming back.
 */
import { createServer } from 'node:net'

const lowest = 15_000
const highest = 32_000

export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)))
  })
}

export async function freePort(taken: ReadonlySet<number>, random: () => number = Math.random): Promise<number> {
  for (let tries = 0; tries < 1000; tries += 1) {
    const port = lowest + Math.floor(random() * (highest - lowest))
    if (!taken.has(port) && (await isFree(port))) return port
  }
  throw new Error(`none of 1000 ports between ${lowest} and ${highest} is free`)
}
