/**
 * Promises a port on the loopback address that nobody listens on now and that no outgoing connection can take.
 * Not by binding port 0: such a port lies in the range that connect() draws from, so while a server restarts, a client that keeps trying to reach it can be
 * given that very port as its own, connect to itself, and keep the server from coming back.
 */
import { createServer } from 'node:net'
import { FatalError } from '../core/errors.ts'
import type { Ports, ServerName, State } from './state.ts'

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

/** The ports that it had before where they are free (or its own servers hold them), so that what people have noted down stays true. */
export async function choosePorts(
  name: string,
  asked: readonly ServerName[],
  before: State | undefined,
  fixed: Partial<Ports>,
  isOwn: (server: ServerName) => boolean,
): Promise<Partial<Ports>> {
  const ports: Partial<Ports> = { ...before?.ports }
  const taken = new Set<number>()
  for (const port of ['kafka', 'controller', 'postgres', 'redis'] as const) {
    const server = port === 'controller' ? 'kafka' : port
    if (!asked.includes(server)) continue
    const wanted = fixed[port] ?? ports[port]
    const isHeldByUs = isOwn(server) && wanted === ports[port]
    const isUsable = wanted !== undefined && !taken.has(wanted) && (isHeldByUs || (await isFree(wanted)))
    if (!isUsable && fixed[port] !== undefined) throw portTaken(name, server, fixed[port])
    const chosen = isUsable ? wanted : await freePort(taken)
    ports[port] = chosen
    taken.add(chosen)
  }
  return ports
}

export function portTaken(name: string, server: ServerName, port: number | undefined): FatalError {
  return new FatalError(
    'STACK_FAILED',
    `Port ${port} for ${server} of the stack ${name} is taken by another process.`,
    'End that process, or leave the port to be chosen.',
  )
}
