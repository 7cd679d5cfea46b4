import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { installPlan } from '../../../src/flow/consume/kafkajs-plan.ts'

const require = createRequire(import.meta.url)
const ConsumerGroup = require('kafkajs/src/consumer/consumerGroup')
const OffsetManager = require('kafkajs/src/consumer/offsetManager')
const Cluster = require('kafkajs/src/cluster')
const original = { ...Object.getOwnPropertyDescriptors(ConsumerGroup.prototype) }
const originalReadReplica = original.findReadReplicaForPartitions?.value

const metadataOf = (leaders: readonly (number | null)[]) => ({
  topicMetadata: [
    {
      topic: 'events',
      partitionMetadata: leaders.map((leader, partitionId) => ({ partitionId, leader, offlineReplicas: [] })),
    },
  ],
})

function openGroup(leaders: readonly (number | null)[]) {
  installPlan()
  const logger = { namespace: () => logger, debug() {}, info() {}, warn() {} }
  const cluster = {
    brokerPool: { metadata: metadataOf(leaders) },
    findTopicPartitionMetadata: Cluster.prototype.findTopicPartitionMetadata,
  }
  const group = new ConsumerGroup({ cluster, logger, topics: ['events'], groupId: 'g' })
  group.partitionsPerSubscribedTopic = group.generatePartitionsPerSubscribedTopic()
  return { group, cluster }
}

test('partitions go to their leaders as kafkajs has it, also when the leaders have moved', () => {
  const { group, cluster } = openGroup([1, 2, 1, 3, 2])
  const same = (partitions: number[]) => {
    const found = group.findReadReplicaForPartitions('events', partitions)
    assert.deepEqual(found, originalReadReplica.call(group, 'events', partitions))
    return found
  }
  assert.deepEqual(same([0, 1, 2, 4, 9]), { 1: [0, 2], 2: [1, 4] })
  cluster.brokerPool.metadata = metadataOf([2, 2, 2, 2, 2])
  assert.deepEqual(same([0, 3]), { 2: [0, 3] })
  assert.deepEqual(same([]), {})
})

test('a partition without a leader is an error still', () => {
  const { group } = openGroup([1, null])
  assert.throws(() => group.findReadReplicaForPartitions('events', [0, 1]))
})

test('where a broker has named another one to read from, it is asked', () => {
  const { group } = openGroup([1, 1])
  group.preferredReadReplicasPerTopicPartition.events = { 1: { nodeId: 7, expireAt: Date.now() + 60_000 } }
  assert.deepEqual(group.findReadReplicaForPartitions('events', [0, 1]), { 1: [0], 7: [1] })
})

test('new partitions are noticed with new metadata, and until the assignment knows them', () => {
  const { group, cluster } = openGroup([1, 1])
  group.checkForStaleAssignment()
  group.checkForStaleAssignment()
  cluster.brokerPool.metadata = metadataOf([1, 1, 1])
  assert.throws(() => group.checkForStaleAssignment(), { name: 'KafkaJSStaleTopicMetadataAssignment' })
  assert.throws(() => group.checkForStaleAssignment(), { name: 'KafkaJSStaleTopicMetadataAssignment' })
  group.partitionsPerSubscribedTopic = group.generatePartitionsPerSubscribedTopic()
  group.checkForStaleAssignment()
})

test('offsets: resolved before committed, the start where none is known', async () => {
  installPlan()
  const committed: Record<string, Record<number, string>> = {}
  const offsets = new OffsetManager({
    cluster: { committedOffsets: () => committed },
    memberAssignment: { events: [0, 1, 2] },
    groupId: 'g',
    autoCommit: false,
  })
  committed.events = { 0: '41', 1: '-1' }
  const next = (partition: number) => offsets.nextOffset('events', partition).toString()
  assert.deepEqual([next(0), next(1)], ['41', '0'])
  offsets.resolveOffset({ topic: 'events', partition: 0, offset: '99' })
  assert.equal(next(0), '100')
  await offsets.seek({ topic: 'events', partition: 0, offset: '7' })
  assert.equal(next(0), '7')
  await offsets.seek({ topic: 'events', partition: 1, offset: '0' })
  assert.equal(next(1), '0')
  offsets.resetOffset({ topic: 'events', partition: 0 })
  assert.equal(next(0), '41')
})
