/**
 * Fetch sessions (KIP-227), which kafkajs does not know: the broker remembers which partitions a client reads and from where, so a request names only what
 * has changed since the last one, and the answer holds only what has something new. At a steady rate most of 50 partitions have nothing new 150 times a
 * second.
 *
 *   epoch 0        names everything, and asks for a session; the answer names it, or says 0: there is no room for one
 *   epoch 1, 2 ..  names what has another offset than before, what is new, and what is read no more
 *
 * Whenever it is open what the broker remembers (a lost answer, an error, a broker that has forgotten us) the next request names everything again.
 */

/** As kafkajs has it. */
export interface FetchRequest {
  readonly replicaId?: number
  readonly isolationLevel?: number
  readonly maxWaitTime?: number
  readonly minBytes?: number
  readonly maxBytes?: number
  readonly topics: readonly {
    readonly topic: string
    readonly partitions: readonly {
      readonly partition: number
      readonly fetchOffset: string
      readonly maxBytes: number
    }[]
  }[]
  readonly rackId?: string
}

export interface FetchSession {
  /** The body of the next request, Fetch version 11. */
  ask(request: FetchRequest): Buffer
  /** It was answered, without an error, for this session. */
  answered(sessionId: number): void
  /** Whatever became of the last request: the next one begins anew. */
  reset(): void
}

/** [partition, offset, bytes at most]. */
type Named = readonly [partition: number, fetchOffset: string, maxBytes: number]

const epochMax = 2 ** 31 - 1
const headBytes = 29
const partitionBytes = 28

export function createFetchSession(): FetchSession {
  let id = 0
  let epoch = 0
  /** Where the broker thinks we read, by topic. */
  let remembered = new Map<string, Map<number, string>>()

  return {
    ask(request) {
      const wanted = new Map(
        request.topics.map(({ topic, partitions }) => [
          topic,
          new Map(partitions.map(({ partition, fetchOffset }) => [partition, fetchOffset])),
        ]),
      )
      const named: [topic: string, partitions: readonly Named[]][] = []
      for (const { topic, partitions } of request.topics) {
        const before = remembered.get(topic)
        const changed = partitions.flatMap(({ partition, fetchOffset, maxBytes }): Named[] =>
          before?.get(partition) === fetchOffset ? [] : [[partition, fetchOffset, maxBytes]],
        )
        if (changed.length > 0) named.push([topic, changed])
      }
      const forgotten: [topic: string, partitions: readonly number[]][] = []
      for (const [topic, partitions] of remembered) {
        const gone = [...partitions.keys()].filter((partition) => !wanted.get(topic)?.has(partition))
        if (gone.length > 0) forgotten.push([topic, gone])
      }
      remembered = wanted
      return encode(request, id, epoch, named, forgotten)
    },
    answered(sessionId) {
      id = sessionId
      epoch = sessionId === 0 ? 0 : epoch === epochMax ? 1 : epoch + 1
      if (epoch === 0) remembered = new Map()
    },
    reset() {
      // The id stays: with epoch 0 it tells the broker that the old session may go.
      epoch = 0
      remembered = new Map()
    },
  }
}

function encode(
  request: FetchRequest,
  sessionId: number,
  epoch: number,
  named: readonly (readonly [topic: string, partitions: readonly Named[]])[],
  forgotten: readonly (readonly [topic: string, partitions: readonly number[]])[],
): Buffer {
  const { replicaId = -1, isolationLevel = 1, maxWaitTime = 5000, minBytes = 1, maxBytes = 10 * 1024 * 1024 } = request
  const rack = request.rackId ?? ''
  const textBytes = (text: string) => 2 + Buffer.byteLength(text)
  const bytes = Buffer.allocUnsafe(
    headBytes +
      named.reduce((sum, [topic, { length }]) => sum + textBytes(topic) + 4 + length * partitionBytes, 0) +
      forgotten.reduce((sum, [topic, { length }]) => sum + textBytes(topic) + 4 + length * 4, 4) +
      textBytes(rack),
  )
  let at = 0
  const int32 = (value: number) => {
    at = bytes.writeInt32BE(value, at)
  }
  const text = (value: string) => {
    at = bytes.writeInt16BE(Buffer.byteLength(value), at)
    at += bytes.write(value, at)
  }
  int32(replicaId)
  int32(maxWaitTime)
  int32(minBytes)
  int32(maxBytes)
  at = bytes.writeInt8(isolationLevel, at)
  int32(sessionId)
  int32(epoch)
  int32(named.length)
  for (const [topic, partitions] of named) {
    text(topic)
    int32(partitions.length)
    for (const [partition, fetchOffset, partitionBytesMax] of partitions) {
      int32(partition)
      // The leader's epoch: not known.
      int32(-1)
      at = bytes.writeBigInt64BE(BigInt(fetchOffset), at)
      // Where the log starts: only followers say so.
      at = bytes.writeBigInt64BE(-1n, at)
      int32(partitionBytesMax)
    }
  }
  int32(forgotten.length)
  for (const [topic, partitions] of forgotten) {
    text(topic)
    int32(partitions.length)
    for (const partition of partitions) int32(partition)
  }
  text(rack)
  return bytes
}
