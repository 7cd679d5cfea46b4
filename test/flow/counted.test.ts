/**
 * What the consumer file declares is counted at commit: once for every row there is, through commits that fail, commits whose answer is lost,
 * producers' duplicates and records that come by again; and never twice, whatever dies in between.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TransientError } from '../../src/core/errors.ts'
import { openBusiness } from '../../src/core/tally.ts'
import { definition, type EventSpec } from './batches.ts'
import { assertPromise, type House, isCaughtUp, openHouse, startProcess, until } from './house.ts'

const open = () => openBusiness(definition.metrics ?? [], () => 0)
const shown = (business: ReturnType<typeof open>) => {
  const [counter, size] = business.series.map((series) => series.read())
  return {
    byType: Object.fromEntries((counter ?? []).map(({ labels, value }) => [labels.type, value])),
    count: (size ?? []).find(({ suffix }) => suffix === '_count')?.value ?? 0,
  }
}
const rowsByType = ({ database }: House) => {
  const byType: Record<string, number> = { 'com.x.cloud': 0, 'com.x.order': 0, other: 0 }
  for (const { type } of database.rows.values()) byType[type in byType ? type : 'other']! += 1
  return byType
}
const sum = (byType: Record<string, number>) => Object.values(byType).reduce((all, one) => all + one, 0)

let made = 0
/** One in five is a producer's duplicate of one before. */
const some = (count: number): (EventSpec | string)[] =>
  Array.from({ length: count }, (_, n) => {
    if (n % 17 === 16) return 'a reject'
    const place = n % 5 === 4 ? made - 2 : ++made
    return { id: `e${place}`, type: ['com.x.cloud', 'com.x.order', 'com.x.payment'][place % 3] as string }
  })

test('every row is counted once, whatever becomes of the commits and of their answers', async () => {
  const house = openHouse()
  let commits = 0
  house.database.commit = (apply) => {
    commits++
    if (commits % 5 === 2) throw new TransientError('POSTGRES_UNREACHABLE', 'lost before')
    apply()
    if (commits % 3 === 0) throw new TransientError('POSTGRES_UNREACHABLE', 'the answer is lost')
  }
  const business = open()
  const process = startProcess(house, { rowsMax: 20, business })
  for (let round = 0; round < 40; round++) house.produce(round % 4, ...some(15))
  await until('all of it', () => isCaughtUp(house), process)
  assert.ok(commits > 10)
  // A stream that is filled again passes the records a second time, and counts none of them.
  house.streams.streams.clear()
  await process.compareStreams()
  await until('the streams', () => isCaughtUp(house), process)
  await process.drain()
  assertPromise(house)
  assert.deepEqual(shown(business).byType, rowsByType(house))
  assert.equal(shown(business).count, house.database.rows.size)
})

test('a process that dies has counted no row that its heir counts: what it could not tell any more is missing, nothing is there twice', async () => {
  const house = openHouse()
  const lives: ReturnType<typeof open>[] = []
  for (let life = 0; life < 6; life++) {
    const business = open()
    lives.push(business)
    const process = startProcess(house, { rowsMax: 10, business })
    for (let round = 0; round < 8; round++) house.produce(round % 4, ...some(15))
    const wanted = house.database.rows.size + 20
    await until('some of it', () => house.database.rows.size >= wanted, process)
    if (life < 5) await process.kill()
    else {
      await until('all of it', () => isCaughtUp(house), process)
      await process.drain()
    }
  }
  assertPromise(house)
  const counted = lives.reduce((all, business) => all + sum(shown(business).byType), 0)
  const missing = house.database.rows.size - counted
  // At most the batch that each lane of a dying process had under way.
  assert.ok(missing >= 0 && missing <= 5 * 2 * 15, `${missing} of ${house.database.rows.size} are missing`)
})
