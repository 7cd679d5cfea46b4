/**
 * A Redis primary with a replica behind one address: a proxy that leads to whichever is primary, as a floating IP or HAProxy does. (Sentinel is not
 * among what Millrace asks for the primary; whoever runs it puts such an address in front.) The replication runs through a proxy too, so that the
 * replica can be kept behind.
 */
import { Redis } from 'ioredis'
import { startProxy, through } from '../../e2e/proxy.ts'
import { until } from '../../e2e/until.ts'
import { type RedisServer, startRedisServer } from './redis-server.ts'

export interface RedisPair {
  readonly env: Readonly<Record<string, string>>
  /** Through the address, wherever it leads. */
  readonly client: Redis
  readonly nodes: readonly RedisServer[]
  readonly primary: RedisServer
  readonly replica: RedisServer
  /** From now on the replica hears nothing of what the primary acknowledges. */
  holdReplica(): void
  /**
   * The replica as it is becomes the primary, and the address leads there. `keepLines`: connections that are open stay with the old one, as they do where
   * the address is a name in DNS.
   */
  promote(options?: { readonly keepLines?: boolean }): Promise<void>
  /** The other one (started by now) follows the primary and has caught up with it. */
  follow(): Promise<void>
  remove(): Promise<void>
}

const settings = {
  // A primary would wait for more replicas to ask for the same snapshot.
  'repl-diskless-sync-delay': '0',
}

export async function startRedisPair(options: {
  readonly root: string
  readonly name: string
  readonly signal?: AbortSignal
}): Promise<RedisPair> {
  const open = new AsyncDisposableStack()
  try {
    const start = async (word: string) => {
      const server = await startRedisServer({ ...options, name: `${options.name}-${word}`, settings })
      open.defer(() => server.remove())
      return server
    }
    const nodes = await Promise.allSettled([start('a'), start('b')]).then((all) =>
      all.map((one) => {
        if (one.status === 'rejected') throw one.reason
        return one.value
      }),
    )
    let [primary, replica] = nodes as [RedisServer, RedisServer]
    const address = await startProxy(primary.url)
    open.defer(() => address.close())
    const replication = await startProxy(primary.url)
    open.defer(() => replication.close())
    const url = through(primary.url, address)
    const client = new Redis(url)
    client.on('error', () => {})
    open.defer(() => client.disconnect())

    async function follow(): Promise<void> {
      replication.release()
      await replica.admin.call('REPLICAOF', '127.0.0.1', replication.port)
      await until('the replica to catch up', 60_000, async () => {
        const link = await replica.info('master_link_status')
        const [behind, ahead] = [await replica.info('master_repl_offset'), await primary.info('master_repl_offset')]
        if (link === 'up' && Number(ahead) - Number(behind) < 1_000_000) return true
        throw new Error(`link ${link}, ${behind} of ${ahead} bytes`)
      })
    }
    await follow()
    const resources = open.move()
    return {
      env: { MILLRACE_REDIS: url },
      client,
      nodes,
      get primary() {
        return primary
      },
      get replica() {
        return replica
      },
      holdReplica: () => replication.hold(),
      async promote({ keepLines = false } = {}) {
        await replica.admin.call('REPLICAOF', 'NO', 'ONE')
        ;[primary, replica] = [replica, primary]
        replication.switchTo(primary.url)
        replication.cutAll()
        address.switchTo(primary.url)
        if (!keepLines) address.cutAll()
        // Ours is to see what the address leads to.
        client.disconnect(true)
      },
      follow,
      remove: () => resources.disposeAsync(),
    }
  } catch (error) {
    await open.disposeAsync()
    throw error
  }
}
