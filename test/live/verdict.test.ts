import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bottleneckText, helpText, judge } from '../../src/live/verdict.ts'
import { partition, picture } from './picture.ts'

const well = { ...picture, replicas: picture.replicas.slice(0, 1), partitions: [partition(0, 3)] }

test('when nothing is wrong, it says so', () => {
  assert.deepEqual(judge(well), { mood: 'good', text: 'All is well', troubles: [] })
})

test('what is worst comes first, and everything is told', () => {
  const why = { code: 'RETENTION_OVERTOOK', reason: 'Kafka no longer holds 12 records.' }
  const stopped = [1, 2, 3, 4, 5, 6, 7].map((number) => partition(number, 0, { stopped: why }))
  const { mood, text, troubles } = judge({
    ...picture,
    partitions: stopped,
    unassigned: 3,
    lagSeconds: 12,
    replicas: picture.replicas.map((replica) => ({
      ...replica,
      reasons: ['redis is away: storing goes on without it', 'partition 3 is stopped: RETENTION_OVERTOOK'],
    })),
  })
  assert.equal(mood, 'bad')
  assert.equal(text, 'Partitions 1, 2, 3, 4, 5 and 2 more are stopped until somebody decides: RETENTION_OVERTOOK')
  assert.deepEqual(troubles.slice(1), [
    'Records wait for more than 10 s to be stored',
    'replica-2 does not serve',
    'Some partitions are carried by none of these replicas',
    'replica-1: redis is away: storing goes on without it',
    'replica-2: redis is away: storing goes on without it',
  ])
})

test('one late, one gone, nobody there', () => {
  assert.deepEqual(judge({ ...well, lagSeconds: 61 }).mood, 'bad')
  const gone = { ...(picture.replicas[1] as (typeof picture.replicas)[number]) }
  assert.deepEqual(judge({ ...well, replicas: [gone] }).text, 'replica-2 does not serve')
  assert.deepEqual(judge({ ...well, replicas: [gone, gone] }).text, 'No replica serves')
  assert.deepEqual(judge({ ...well, replicas: [] }).mood, 'bad')
})

test('the sentences do not change while nothing does: figures that run are not in them', () => {
  const at = (lagSeconds: number, seconds: number) =>
    judge({
      ...picture,
      lagSeconds,
      elapsedMs: seconds * 1000,
      replicas: [
        { ...picture.replicas[0]!, reasons: [`no sign of life from the Kafka client for ${seconds} s`] },
        { ...picture.replicas[1]!, state: `starts again in ${seconds} s` },
      ],
    })
  assert.deepEqual(at(11.2, 4), at(13.9, 7))
})

test('the bottleneck, and whether more replicas would help', () => {
  assert.equal(bottleneckText(picture), 'The bottleneck is persist')
  assert.equal(bottleneckText({ ...picture, bottleneck: 'source' }), 'No bottleneck: every room has time to spare')
  assert.equal(bottleneckText({ ...picture, bottleneck: null }), 'Nothing flows')
  assert.equal(bottleneckText({ ...picture, limits: 'none' }), 'The busiest room is persist, and it keeps up')
  assert.equal(bottleneckText({ ...picture, limits: 'publish' }), 'The bottleneck is publish')
  assert.equal(bottleneckText({ ...picture, bottleneck: 'source', limits: 'consume' }), 'The bottleneck is consume')
  const help = (usefulReplicas: number | null) => helpText({ ...picture, usefulReplicas })
  assert.deepEqual([null, 1, 2, 5].map(help), [
    '',
    'one replica would do',
    'more replicas would not help',
    '5 replicas would help',
  ])
})
