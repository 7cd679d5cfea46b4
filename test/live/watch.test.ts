import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Status } from '../../src/core/status.ts'
import { openWatch, type Watched } from '../../src/live/watch.ts'
import { flowing, partitionStatus, statusOf } from './statuses.ts'

const at = (name: string): Watched => ({ name, state: { kind: 'serving', adminUrl: `http://${name}` }, restarts: 0 })

/** Replicas that answer what a test says, on a clock of its own; `null` does not answer. */
function crowd(answers: Record<string, (second: number) => Status | null>, options = {}) {
  let second = 0
  const replicas = Object.keys(answers).map(at)
  const failures: string[] = []
  const watch = openWatch({
    replicas,
    now: () => second * 1000,
    ask: async (adminUrl) => {
      const status = answers[adminUrl.replace('http://', '')]?.(second) ?? null
      if (status === null) throw new Error('ECONNREFUSED')
      return status
    },
    onAnswer: (name, failure) => void (failure !== null && failures.push(name)),
    ...options,
  })
  return {
    watch,
    replicas,
    failures,
    async run(seconds: number) {
      for (let i = 0; i < seconds; i += 1) {
        second += 1
        await watch.look()
      }
    },
  }
}

test('a picture of two replicas: rates, times, lag, partitions, and who carries them', async () => {
  const one = flowing(1000, 0.9, {
    partitions: [partitionStatus(0, 500, 512, 0.2), partitionStatus(2, 100, 100)],
    lagRecords: 12,
    lagSeconds: 0.2,
    limitingRoom: null,
  })
  const two = flowing(500, 0.7, {
    replica: 'replica-2',
    pid: 102,
    partitions: [partitionStatus(1, 7, 9_007, 30)],
    lagRecords: 9000,
    lagSeconds: 30,
    usefulReplicas: 3,
    limitingRoom: 'publish',
  })
  const { watch, run } = crowd({ 'a:1': one, 'b:1': two })
  await run(4)
  const picture = watch.picture()
  assert.equal(picture.consumer, 'cloud-events')
  assert.equal(picture.phase, 'running')
  assert.deepEqual([picture.load, picture.seed], [null, null])
  assert.equal(Math.round(picture.storedPerSecond), 1500)
  const persist = picture.rooms.find(({ room }) => room === 'persist')
  assert.ok(persist?.times)
  assert.ok(Math.abs(persist.times.working - 0.8) < 1e-9)
  assert.ok(Math.abs(persist.times.working + persist.times.input + persist.times.output - 1) < 1e-9)
  assert.equal(persist.lagRecords, 9012)
  assert.deepEqual([picture.bottleneck, picture.limits], ['persist', 'publish'])
  assert.equal(picture.usefulReplicas, 3)
  assert.deepEqual([picture.lagRecords, picture.lagSeconds], [9012, 30])
  assert.deepEqual(
    picture.partitions.map(({ partition, replica, behind, lagSeconds }) => [
      partition,
      replica,
      behind?.persist,
      lagSeconds,
    ]),
    [
      [0, 'replica-1', 12, 0.2],
      [1, 'replica-2', 9000, 30],
      [2, 'replica-1', 0, 0],
    ],
  )
  // Four partitions has the topic.
  assert.equal(picture.unassigned, 1)
  assert.deepEqual(picture.lagHistory, [30, 30, 30, 30])
  assert.deepEqual(
    picture.replicas.map(({ name, cpuShare, partitions }) => [name, Math.round((cpuShare ?? 0) * 100), partitions]),
    [
      ['replica-1', 40, 2],
      ['replica-2', 40, 1],
    ],
  )
  // For programs it has to survive JSON.
  assert.equal(JSON.parse(JSON.stringify(picture)).partitions[1].marks.persist, 7)
})

test('one that stops answering is said to, and its partitions are nobody’s', async () => {
  const one = flowing(100, 0.1, { partitions: [partitionStatus(0, 1, 1)], topicPartitions: 2 })
  const two = flowing(100, 0.1, { replica: 'replica-2', partitions: [partitionStatus(1, 1, 1)], topicPartitions: 2 })
  const { watch, run, failures } = crowd({ 'a:1': one, 'b:1': (second) => (second > 3 ? null : two(second)) })
  await run(3)
  assert.equal(watch.picture().unassigned, 0)
  await run(2)
  const picture = watch.picture()
  assert.deepEqual(failures, ['b:1', 'b:1'])
  assert.deepEqual(
    picture.replicas.map(({ name, state, partitions }) => [name, state, partitions]),
    [
      ['replica-1', null, 1],
      ['replica-2', 'no answer', 0],
    ],
  )
  assert.equal(picture.unassigned, 1)
  assert.equal(picture.totals.rows, 500 + 300)
})

test('with nobody there is still a picture', async () => {
  const { watch, run } = crowd({ 'a:1': () => null })
  await run(2)
  const picture = watch.picture()
  assert.equal(picture.phase, 'no answer')
  assert.deepEqual([picture.partitions, picture.bottleneck, picture.lagSeconds], [[], null, 0])
})

test('a partition that two tell of is the one’s that is further; a stopped one is told with its reason', async () => {
  const { watch, run } = crowd({
    'a:1': () => statusOf({ partitions: [partitionStatus(5, 100, 200)] }),
    'b:1': () =>
      statusOf({
        replica: 'replica-2',
        partitions: [partitionStatus(5, 150, 200)],
        stopped: [{ partition: 6, code: 'TOPIC_TRUNCATED', reason: 'The ledger is ahead.' }],
      }),
  })
  await run(1)
  const { partitions } = watch.picture()
  assert.deepEqual(
    partitions.map(({ partition, replica, marks, stopped }) => [partition, replica, marks?.persist, stopped?.code]),
    [
      [5, 'replica-2', 150, undefined],
      [6, 'replica-2', undefined, 'TOPIC_TRUNCATED'],
    ],
  )
})

test('an older replica that does not tell everything yet is shown with what it tells', async () => {
  const {
    cpuSeconds: _,
    publishes: __,
    topicPartitions: ___,
    ...old
  } = statusOf({ partitions: [partitionStatus(0, 1, 1)] })
  const { watch, run } = crowd({ 'a:1': () => old })
  await run(2)
  const picture = watch.picture()
  assert.deepEqual([picture.replicas[0]?.cpuShare, picture.publishes, picture.unassigned], [null, true, 0])
})

test('a replica that watches itself finds no partition missing', async () => {
  const { watch, run } = crowd(
    { 'a:1': flowing(10, 0.1, { partitions: [partitionStatus(0, 1, 1)], topicPartitions: 100 }) },
    { partitions: 0 },
  )
  await run(2)
  assert.equal(watch.picture().unassigned, 0)
})
