/** A Redis that never evicts and writes an append-only file, as the fleet needs it: its settings, and when it is ready. */
import { mkdirSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RedisParts } from './install-redis.ts'
import type { Launch } from './server.ts'

export function redisMarker(folder: string): string[] {
  return ['--dir', join(folder, 'redis')]
}

export function launchRedis(
  parts: RedisParts,
  folder: string,
  port: number,
  overrides: Record<string, string>,
): Launch {
  const data = join(folder, 'redis')
  const settings: Record<string, string> = {
    bind: '127.0.0.1',
    port: String(port),
    dir: data,
    appendonly: 'yes',
    appendfsync: 'everysec',
    // Rewriting the file takes a core for a third of a second, at 64 MB by default and whenever it has doubled: on a laptop everybody else's.
    'auto-aof-rewrite-min-size': '1gb',
    save: '',
    'maxmemory-policy': 'noeviction',
    daemonize: 'no',
    // The arguments stay readable to whoever cleans up after a killed owner.
    'set-proc-title': 'no',
    ...overrides,
  }
  return {
    words: () => [
      parts.command,
      ...parts.args,
      ...Object.entries(settings).flatMap(([key, value]) => [`--${key}`, value]),
    ],
    stopSignal: 'SIGTERM',
    abandonSignal: 'TERM',
    marker: redisMarker(folder),
    async prepare() {
      mkdirSync(data, { recursive: true })
    },
    async ready(signal) {
      while ((await ping(port)) !== '+PONG') await sleep(20, undefined, { signal })
    },
  }
}

/** The answer's first line: +PONG, or -LOADING while it reads its file. */
function ping(port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true })
    const end = (answer: string) => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(1000, () => end(''))
    socket.once('connect', () => socket.write('PING\r\n'))
    socket.once('data', (data) => end(data.toString().split('\r\n')[0]!))
    socket.once('error', () => end(''))
    socket.once('close', () => end(''))
  })
}
