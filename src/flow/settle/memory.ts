/** settle/ in memory: the offsets a group has committed, as Kafka would keep them. Like Kafka it takes what it is given, from a zombie too. */
import type { Settle } from './port.ts'

export function openMemorySettle(committed: Map<number, number>): Settle {
  return {
    async commit(nextOffsets) {
      for (const [partition, nextOffset] of nextOffsets) committed.set(partition, nextOffset)
    },
  }
}
