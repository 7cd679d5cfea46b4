/** PostgreSQL and Redis on the same machine, reached by sockets of its file system instead of ports, also when they have been away. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Redis } from 'ioredis'
import { useStack } from './harness.ts'

// Not beside the stack: a socket's path has 107 bytes at most.
const folder = mkdtempSync(join(tmpdir(), 'millrace-'))
// The server may run as somebody else.
chmodSync(folder, 0o777)
const redisSocket = join(folder, 'redis.sock')
const servers = useStack({
  postgres: { unix_socket_directories: folder },
  redis: { unixsocket: redisSocket, unixsocketperm: '700' },
})
after(() => rmSync(folder, { recursive: true, force: true }))

test('a fleet over sockets, whose servers go away and come back', async (t) => {
  const client = new Redis({ path: redisSocket, db: 3, lazyConnect: true })
  client.on('error', () => {})
  t.after(() => client.disconnect())
  const world = await servers.world(t, { redis: { client, env: { MILLRACE_REDIS: `unix://${redisSocket}?db=3` } } })
  const { port, pathname, username, password } = new URL(world.postgresUrl)
  const MILLRACE_POSTGRES = `postgres://${username}:${password}@${encodeURIComponent(folder)}:${port}${pathname}`
  await world.replica({ MILLRACE_POSTGRES })
  await world.replica({
    MILLRACE_POSTGRES: `postgres://${pathname}?host=${folder}&port=${port}&user=${username}&password=${password}`,
  })
  const load = world.load({ rate: 1000 })
  for (const server of ['postgres', 'redis'] as const) {
    // Killed, it leaves its socket behind; ended in order, it takes it away.
    for (const how of [{ signal: 'SIGKILL' }, {}] as const) {
      await world.untilServing()
      await world.stack.restart(server, how)
    }
  }
  await world.untilServing()
  await load.stop()
  await world.untilDrained()
  await world.proof()
})
