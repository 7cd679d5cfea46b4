/** A Redis Cluster of masters without replicas: slots move between them with their keys, as a reshard does it, and empty nodes join. */
import { Cluster } from 'ioredis'
import { until } from '../../e2e/until.ts'
import { type RedisServer, startRedisServer } from './redis-server.ts'

export interface RedisCluster {
  readonly env: Readonly<Record<string, string>>
  /** Knows the nodes that the cluster has now. */
  readonly client: Cluster
  readonly nodes: readonly RedisServer[]
  /** The slots that a node serves, by its own word. */
  slotsOf(node: RedisServer): Promise<number[]>
  /**
   * Moves slots one group after the other, keys by MIGRATE; all slots of `from` unless named. A slot with keys stays half moved for `pauseMs` per key.
   * Answers how many keys went.
   */
  moveSlots(from: RedisServer, to: RedisServer, options?: MoveOptions): Promise<number>
  /** An empty node that knows no function and serves no slot. */
  addNode(): Promise<RedisServer>
  /** A node whose slots have gone elsewhere: forgotten by the others, and ended. */
  removeNode(node: RedisServer): Promise<void>
  /** Every node says that all slots are served. */
  whole(limitMs?: number): Promise<void>
  remove(): Promise<void>
}

export interface MoveOptions {
  readonly slots?: readonly number[]
  readonly pauseMs?: number
  readonly signal?: AbortSignal
}

const slotCount = 16_384
const slotsAtOnce = 512

export async function startRedisCluster(options: {
  readonly root: string
  readonly name: string
  readonly nodes?: number
  readonly settings?: Record<string, string>
  readonly signal?: AbortSignal
}): Promise<RedisCluster> {
  const { root, name, settings, signal } = options
  const count = options.nodes ?? 3
  const nodes: RedisServer[] = []
  const startNode = (index: number) =>
    startRedisServer({
      root,
      name: `${name}-${index}`,
      settings: {
        'cluster-enabled': 'yes',
        'cluster-announce-ip': '127.0.0.1',
        'cluster-node-timeout': '2000',
        'cluster-config-file': 'nodes.conf',
        // A master whose last slot goes stays a master, so that slots can come back to it.
        'cluster-allow-replica-migration': 'no',
        ...settings,
      },
      ...(signal && { signal }),
    })
  let client: Cluster | undefined
  const remove = async () => {
    client?.disconnect()
    await Promise.all(nodes.map((node) => node.remove()))
  }
  const whole = async (limitMs = 45_000) => {
    for (const { admin } of nodes) {
      await until('the cluster to be whole', limitMs, async () => {
        const info = String(await admin.cluster('INFO'))
        return (info.includes('cluster_state:ok') && info.includes(`cluster_known_nodes:${nodes.length}`)) || null
      })
    }
  }
  try {
    const starting = await Promise.allSettled(Array.from({ length: count }, (_, index) => startNode(index)))
    for (const started of starting) if (started.status === 'fulfilled') nodes.push(started.value)
    for (const started of starting) if (started.status === 'rejected') throw started.reason
    const first = nodes[0] as RedisServer
    for (const [index, { admin }] of nodes.entries()) {
      const bound = (at: number) => Math.round((slotCount * at) / count)
      await admin.cluster('ADDSLOTSRANGE', bound(index), bound(index + 1) - 1)
      // Two nodes with the same epoch settle it between them, but that takes a while.
      await admin.cluster('SET-CONFIG-EPOCH', index + 1)
      if (index > 0) await admin.cluster('MEET', '127.0.0.1', first.port)
    }
    await whole()
    client = new Cluster(nodes.map(({ port }) => ({ host: '127.0.0.1', port })))
    client.on('error', () => {})
  } catch (error) {
    await remove()
    throw error
  }

  async function slotsOf({ admin }: RedisServer): Promise<number[]> {
    const own = String(await admin.cluster('MYID'))
    const ranges = await admin.cluster('SLOTS')
    return ranges
      .filter(([, , master]) => master?.[2] === own)
      .flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, index) => from + index))
  }

  return {
    env: { MILLRACE_REDIS: nodes.map(({ url }) => url).join(','), MILLRACE_REDIS_CLUSTER: 'on' },
    client,
    nodes,
    slotsOf,
    whole,
    remove,
    async moveSlots(from, to, { slots, pauseMs = 0, signal } = {}) {
      const [source, target] = [String(await from.admin.cluster('MYID')), String(await to.admin.cluster('MYID'))]
      const each = async (node: RedisServer, some: readonly number[], ...words: string[]) => {
        const line = node.admin.pipeline()
        for (const slot of some) line.call('CLUSTER', words[0] as string, slot, ...words.slice(1))
        const answers = (await line.exec()) ?? []
        return answers.map(([error, answer]) => {
          if (error) throw error
          return answer
        })
      }
      const wanted = slots ?? (await slotsOf(from))
      let moved = 0
      for (let at = 0; at < wanted.length; at += slotsAtOnce) {
        signal?.throwIfAborted()
        const some = wanted.slice(at, at + slotsAtOnce)
        await each(to, some, 'SETSLOT', 'IMPORTING', source)
        await each(from, some, 'SETSLOT', 'MIGRATING', target)
        const counts = await each(from, some, 'COUNTKEYSINSLOT')
        for (const slot of some.filter((_, index) => Number(counts[index]) > 0)) {
          for (;;) {
            const keys = (await from.admin.cluster('GETKEYSINSLOT', slot, 1)) as string[]
            if (keys.length === 0) break
            await from.admin.call('MIGRATE', '127.0.0.1', to.port, '', 0, 10_000, 'KEYS', ...keys)
            moved += keys.length
            if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs))
          }
        }
        // The one that gets them first: nobody is sent in circles for long, and it is the one that tells the others.
        await each(to, some, 'SETSLOT', 'NODE', target)
        await each(from, some, 'SETSLOT', 'NODE', target)
      }
      return moved
    },
    async addNode() {
      const node = await startNode(nodes.length)
      nodes.push(node)
      await node.admin.cluster('MEET', '127.0.0.1', (nodes[0] as RedisServer).port)
      await whole()
      return node
    },
    async removeNode(node) {
      const own = String(await node.admin.cluster('MYID'))
      nodes.splice(nodes.indexOf(node), 1)
      await node.remove()
      for (const { admin } of nodes) await admin.cluster('FORGET', own)
      await whole()
    },
  }
}
