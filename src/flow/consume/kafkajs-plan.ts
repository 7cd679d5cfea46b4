/**
 * What kafkajs works out anew before every fetch, though it changes with the metadata or the assignment only: which broker leads each partition (it
 * copies what it has found so far for each of them), and whether the topic has got partitions (all are sorted, and each is looked for among all). Both
 * grow with the square of the partitions. Here the answer is kept for as long as the metadata is the same object, and kafkajs makes a new one whenever it
 * asks for it. Offsets are read and counted as numbers, not as BigInts made from strings and back, several times per partition.
 *
 * Of a consumer alone; where kafkajs is another version than the one whose insides are known, nothing is touched. Follower fetching (a broker that
 * names another one to read from) is left to kafkajs's own code.
 */
import { kafkajsInsides } from './kafkajs-insides.ts'

interface PartitionMetadata {
  readonly partitionId: number
  readonly leader: number | null
}

interface Group {
  readonly cluster: {
    readonly brokerPool: { readonly metadata: object | null }
    findTopicPartitionMetadata(topic: string): readonly PartitionMetadata[]
  }
  readonly partitionsPerSubscribedTopic: object | null
  readonly preferredReadReplicasPerTopicPartition: Readonly<Record<string, object>>
  checkForStaleAssignment(): void
  findReadReplicaForPartitions(topic: string, partitions: readonly number[]): Record<string, number[]>
}

interface Offsets {
  readonly resolvedOffsets: Record<string, Record<number, string | undefined>>
  committedOffsets(): Record<string, Record<number, string | undefined>>
  nextOffset(topic: string, partition: number): { toString(): string }
  resolveOffset(at: { topic: string; partition: number; offset: string }): void
}

interface Batch {
  offsetLag(): string | null
  offsetLagLow(): string | null
}

let installed = false

/** Call once, before the first fetch. */
export function installPlan(): void {
  const require = kafkajsInsides()
  if (require === null || installed) return
  installed = true
  const group = (require('kafkajs/src/consumer/consumerGroup') as { prototype: Group }).prototype
  group.checkForStaleAssignment = staleAssignmentOf(group.checkForStaleAssignment)
  group.findReadReplicaForPartitions = readReplicaOf(group.findReadReplicaForPartitions)
  const offsets = (require('kafkajs/src/consumer/offsetManager') as { prototype: Offsets }).prototype
  offsets.nextOffset = nextOffset
  offsets.resolveOffset = resolveOffset
  const batch = (require('kafkajs/src/consumer/batch') as { prototype: Batch }).prototype
  // For its events, where nobody reads them.
  batch.offsetLag = () => null
  batch.offsetLagLow = () => null
}

/** Of each group the metadata and the assignment that were last compared, and agreed. */
const agreed = new WeakMap<Group, readonly [metadata: object | null, assignment: object | null]>()

function staleAssignmentOf(original: Group['checkForStaleAssignment']): Group['checkForStaleAssignment'] {
  return function (this: Group) {
    const { metadata } = this.cluster.brokerPool
    const assignment = this.partitionsPerSubscribedTopic
    const last = agreed.get(this)
    if (metadata !== null && last?.[0] === metadata && last[1] === assignment) return
    original.call(this)
    agreed.set(this, [metadata, assignment])
  }
}

const leaders = new WeakMap<readonly PartitionMetadata[], ReadonlyMap<number, number | null>>()

function readReplicaOf(original: Group['findReadReplicaForPartitions']): Group['findReadReplicaForPartitions'] {
  return function (this: Group, topic, partitions) {
    for (const _ in this.preferredReadReplicasPerTopicPartition[topic]) return original.call(this, topic, partitions)
    const metadata = this.cluster.findTopicPartitionMetadata(topic)
    let leaderOf = leaders.get(metadata)
    if (leaderOf === undefined) {
      leaderOf = new Map(metadata.map(({ partitionId, leader }) => [partitionId, leader]))
      leaders.set(metadata, leaderOf)
    }
    const found: Record<string, number[]> = {}
    for (const partition of partitions) {
      const leader = leaderOf.get(partition)
      if (leader === undefined) continue
      // It has an error for that.
      if (leader === null) return original.call(this, topic, partitions)
      found[leader] ??= []
      found[leader].push(partition)
    }
    return found
  }
}

/** What asks for it makes a string of it. */
function nextOffset(this: Offsets, topic: string, partition: number): string {
  const resolved = this.resolvedOffsets[topic] as Record<number, string | undefined>
  const offset = resolved[partition] || this.committedOffsets()[topic]?.[partition]
  resolved[partition] = offset
  return offset === undefined || Number(offset) < 0 ? '0' : offset
}

function resolveOffset(
  this: Offsets,
  { topic, partition, offset }: { topic: string; partition: number; offset: string },
) {
  ;(this.resolvedOffsets[topic] as Record<number, string>)[partition] = String(Number(offset) + 1)
}
