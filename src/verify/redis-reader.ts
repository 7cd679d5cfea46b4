/**
 * The streams of one partition, each read from its beginning by XRANGE in chunks, and what XINFO says of their heads: an entry that was trimmed away
 * is not a lost one.
 */
import type { RedisClient } from '../process/connect-redis.ts'
import { createFeed, type Feed } from '../records/feed.ts'

export interface StreamEntry {
  readonly id: string
  /** The Kafka offset its id stands for; NaN where the id is none of ours. */
  readonly offset: number
  /** The value of the one field `event`; null where the entry looks otherwise. */
  readonly event: Buffer | null
}

export interface StreamInfo {
  /** One past the offset of the last entry ever added; 0 where there is no such stream. */
  readonly nextOffset: number
  /** Everything below was trimmed away or never there. */
  readonly firstOffset: number
  /** How many entries were added and are gone. */
  readonly gone: number
  /** The last entry that somebody deleted by its id, which trimming does not do; -1 where nobody did. */
  readonly deletedOffset: number
}

export interface StreamRead {
  readonly key: string
  readonly family: string
  readonly info: StreamInfo
  readonly feed: Feed<StreamEntry>
}

const entriesPerRead = 500
const ownId = /^(\d+)-0$/

const absent: StreamInfo = { nextOffset: 0, firstOffset: 0, gone: 0, deletedOffset: -1 }

/** The offset an id stands for, whatever follows its dash. */
const offsetOf = (id: unknown): number => Number(String(id).split('-')[0]) - 1

export async function streamInfo(redis: RedisClient, key: string): Promise<StreamInfo> {
  let reply: unknown[]
  try {
    reply = (await redis.xinfo('STREAM', key)) as unknown[]
  } catch (error) {
    if (error instanceof Error && /no such key/i.test(error.message)) return absent
    throw error
  }
  const field = (name: string) => reply[reply.indexOf(name) + 1]
  const first = field('first-entry') as [string, unknown] | null
  const nextOffset = offsetOf(field('last-generated-id')) + 1
  return {
    nextOffset,
    firstOffset: first === null ? nextOffset : offsetOf(first[0]),
    gone: Number(field('entries-added')) - Number(field('length')),
    deletedOffset: offsetOf(field('max-deleted-entry-id')),
  }
}

/** Entries of the offsets [from, to). */
export async function openStream(
  redis: RedisClient,
  key: string,
  family: string,
  from: number,
  to: number,
): Promise<StreamRead> {
  let start = `${from + 1}-0`
  let last = false
  const feed = createFeed(async () => {
    if (last) return null
    const reply = await redis.xrangeBuffer(key, start, `${to}`, 'COUNT', entriesPerRead)
    last = reply.length < entriesPerRead
    const end = reply.at(-1)
    if (end !== undefined) start = `(${end[0]}`
    return reply.map(([id, fields]): StreamEntry => {
      const name = id.toString('latin1')
      const ms = ownId.exec(name)?.[1]
      const ours = fields.length === 2 && fields[0]?.toString('latin1') === 'event'
      return {
        id: name,
        offset: ms === undefined ? Number.NaN : Number(ms) - 1,
        event: ours ? (fields[1] as Buffer) : null,
      }
    })
  })
  const [info] = await Promise.all([streamInfo(redis, key), feed.empty ? feed.ready() : undefined])
  return { key, family, info, feed }
}
