/** One Redis server that can be harmed: killed, stalled, made to forget what no disk had, and started again on the same port. It never outlives this process. */
import { readdirSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { startStack } from '../../../src/stack/stack.ts'
import { until } from '../../e2e/until.ts'

export interface RedisServer {
  readonly url: string
  readonly port: number
  readonly folder: string
  /** Straight to the server, also through its restarts. A command that meets a closed connection fails. */
  readonly admin: Redis
  readonly isUp: boolean
  /** Resolves when the process is gone. */
  kill(signal?: NodeJS.Signals): Promise<void>
  /** On the same port, with what its disk holds; resolves when it answers. */
  start(): Promise<void>
  /** SIGSTOP: connections stay open, nothing answers. */
  stall(): void
  resume(): void
  /**
   * Killed as by a loss of power under `appendfsync everysec`: what was written to the file after `since` is gone, acknowledged as it was. A process that
   * dies alone loses nothing, for the kernel keeps what was written.
   */
  losePower(since: AofMark): Promise<number>
  aofMark(): AofMark
  /** One line of INFO. */
  info(field: string): Promise<string>
  remove(): Promise<void>
}

/** Where the append-only file ended. */
export interface AofMark {
  readonly path: string
  readonly size: number
}

export interface RedisServerOptions {
  readonly root: string
  readonly name: string
  readonly settings?: Record<string, string>
  readonly signal?: AbortSignal
}

export async function startRedisServer({ root, name, settings, signal }: RedisServerOptions): Promise<RedisServer> {
  const stack = await startStack({
    root,
    name,
    servers: ['redis'],
    temporary: true,
    quick: true,
    redis: settings ?? {},
    ...(signal && { signal }),
  })
  const admin = new Redis(stack.redis, { retryStrategy: () => 50, maxRetriesPerRequest: 0, enableOfflineQueue: false })
  admin.on('error', () => {})
  const answers = () =>
    until(`${name} to answer`, 30_000, async () => ((await admin.ping()) === 'PONG' ? true : null)).then(() => {})
  await answers()
  const send = (signal: NodeJS.Signals) => {
    if (stack.pids.redis !== undefined) process.kill(stack.pids.redis, signal)
  }
  const kill = (signal: NodeJS.Signals = 'SIGKILL') => stack.stopServer('redis', { signal })
  return {
    url: stack.redis,
    port: Number(new URL(stack.redis).port),
    folder: stack.folder,
    admin,
    get isUp() {
      return stack.pids.redis !== undefined
    },
    kill,
    async start() {
      await stack.startServer('redis')
      await answers()
    },
    stall: () => send('SIGSTOP'),
    resume: () => send('SIGCONT'),
    aofMark() {
      const folder = join(stack.folder, 'redis', 'appendonlydir')
      const newest = readdirSync(folder)
        .filter((file) => file.endsWith('.incr.aof'))
        .map((file) => join(folder, file))
        .sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)[0] as string
      return { path: newest, size: statSync(newest).size }
    },
    async losePower({ path, size }) {
      await kill()
      const lost = (statSync(path, { throwIfNoEntry: false })?.size ?? 0) - size
      if (lost <= 0) return 0
      truncateSync(path, size)
      return lost
    },
    async info(field) {
      return new RegExp(`^${field}:(.*?)\r?$`, 'm').exec(await admin.info())?.[1] ?? ''
    },
    async remove() {
      admin.disconnect()
      // In order it would not end while its first append-only file after a resync is being written.
      await kill()
      await stack.remove()
    },
  }
}
