/**
 * Which requests a broker knows, and in which versions. Asked with the one request that every broker answers to anybody (ApiVersions 0), since the
 * client keeps the answer to itself: the day a broker drops what the client speaks, this says so before anything else fails in a stranger way.
 */
import type { Socket } from 'node:net'
import type { Settings } from '../core/settings.ts'
import { kafkaConfig, openSocket } from '../process/connect-kafka.ts'

export interface ApiRange {
  readonly min: number
  readonly max: number
}

/** What the fleet sends, with the versions that kafkajs 2.2.4 has. */
export const needed: readonly (readonly [name: string, key: number, min: number, max: number])[] = [
  ['Fetch', 1, 0, 11],
  ['ListOffsets', 2, 0, 3],
  ['Metadata', 3, 0, 6],
  ['OffsetCommit', 8, 0, 5],
  ['OffsetFetch', 9, 1, 4],
  ['FindCoordinator', 10, 0, 2],
  ['JoinGroup', 11, 0, 5],
  ['Heartbeat', 12, 0, 3],
  ['LeaveGroup', 13, 0, 3],
  ['SyncGroup', 14, 0, 3],
]

const apiVersionsKey = 18
/** A longer answer is not Kafka. */
const answerBytesMax = 64 * 1024

export async function kafkaApis(
  settings: Settings,
  broker: string,
  signal: AbortSignal,
): Promise<Map<number, ApiRange>> {
  const colon = broker.lastIndexOf(':')
  const { ssl } = kafkaConfig(settings)
  const connected = Promise.withResolvers<void>()
  const socket = openSocket({
    host: broker.slice(0, colon).replace(/^\[(.+)\]$/, '$1'),
    port: Number(broker.slice(colon + 1)),
    // Null is what the client itself passes where there is no TLS.
    ssl: (ssl ?? null) as never,
    onConnect: connected.resolve,
  }) as Socket
  const abort = () => socket.destroy(new Error('no answer in time'))
  signal.addEventListener('abort', abort, { once: true })
  try {
    socket.once('error', connected.reject)
    await connected.promise
    socket.write(question(settings.kafkaClientId))
    return parse(await answer(socket))
  } finally {
    signal.removeEventListener('abort', abort)
    socket.destroy()
  }
}

/** size, key, version 0, correlation id, client id */
function question(clientId: string): Buffer {
  const id = Buffer.from(clientId)
  const request = Buffer.alloc(14 + id.length)
  request.writeInt32BE(10 + id.length, 0)
  request.writeInt16BE(apiVersionsKey, 4)
  request.writeInt32BE(1, 8)
  request.writeInt16BE(id.length, 12)
  id.copy(request, 14)
  return request
}

async function answer(socket: Socket): Promise<Buffer> {
  let got = Buffer.alloc(0)
  for await (const chunk of socket) {
    got = Buffer.concat([got, chunk as Buffer])
    const size = got.length < 4 ? 0 : got.readInt32BE(0)
    if (size < 0 || size > answerBytesMax) throw new Error('the answer is not Kafka')
    if (size > 0 && got.length >= 4 + size) return got.subarray(4, 4 + size)
  }
  throw new Error('the connection was closed without an answer')
}

/** correlation id, error code, then per request: key, lowest and highest version */
function parse(body: Buffer): Map<number, ApiRange> {
  const ranges = new Map<number, ApiRange>()
  const count = body.length < 10 ? -1 : body.readInt32BE(6)
  if (count < 0 || body.readInt32BE(0) !== 1 || body.length < 10 + 6 * count) throw new Error('the answer is not Kafka')
  for (let at = 10; ranges.size < count; at += 6) {
    ranges.set(body.readInt16BE(at), { min: body.readInt16BE(at + 2), max: body.readInt16BE(at + 4) })
  }
  return ranges
}

/** The requests that broker and client have no version of in common. */
export function withoutCommonVersion(ranges: ReadonlyMap<number, ApiRange>): string[] {
  return needed
    .filter(([, key, min, max]) => {
      const range = ranges.get(key)
      return range === undefined || range.max < min || range.min > max
    })
    .map(([name]) => name)
}

/** Kafka 4 dropped the oldest fetches (KIP-896); nothing else in the protocol names the release. */
export const isKafka4 = (ranges: ReadonlyMap<number, ApiRange>): boolean => (ranges.get(1)?.min ?? 0) >= 4
