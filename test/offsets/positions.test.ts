/** Offsets of a time, and positions saved and gone back to, on real servers with a fleet at work and without; nothing lost, nothing doubled. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { topic, useStack, type World } from '../e2e/harness.ts'
import { millrace } from '../e2e/millrace.ts'

const servers = useStack()

async function offsets(world: World, ...args: string[]) {
  const answer = await millrace(world.env, 'offsets', ...args)
  return { ...answer, json: () => JSON.parse(answer.out) }
}

const entries = (all: ReadonlyMap<number, number>) => Object.fromEntries([...all].sort(([a], [b]) => a - b))

test('offsets of a time; save, restore dry and done, refused while the group is live, with an audit; then everything is there once', async (t) => {
  const world = await servers.world(t)
  const first = await world.replica()
  await world.load({ rate: 2000, events: 1200, duplicates: 0 }).done
  await world.untilDrained()
  const early = await world.ledger()
  const saved = await offsets(world, 'save', 'before-the-second', '--json')
  assert.equal(saved.code, 0, saved.err)
  assert.deepEqual(saved.json().partitions, entries(early))

  await sleep(50)
  const between = new Date().toISOString()
  await sleep(50)
  await world.load({ rate: 2000, events: 1200, duplicates: 0 }).done
  await world.untilDrained()
  const [late, ends] = [await world.ledger(), await world.ends()]

  const at = (await offsets(world, 'at', between, '--json')).json()
  assert.equal(at.topic, topic)
  for (const { partition, offset, latestOffset, fromThenOn, nextOffset } of at.partitions) {
    assert.equal(offset, early.get(partition), `partition ${partition}: the first record of the second load`)
    assert.deepEqual([latestOffset, nextOffset], [ends.get(partition), late.get(partition)])
    assert.equal(fromThenOn, latestOffset - (offset as number))
  }
  assert.match((await offsets(world, 'at', between)).out, /from then on[\s\S]*stored[\s\S]*offsets from/)
  const byTime = await offsets(world, 'save', 'by-time', '--at', between, '--json')
  assert.deepEqual(byTime.json().partitions, entries(early))

  const dry = await offsets(world, 'restore', 'before-the-second')
  assert.equal(dry.code, 1, 'the fleet serves them')
  assert.match(dry.out, /read again[\s\S]*REFUSED: it is not stopped, and the group has 1 members[\s\S]*--force/)
  const live = await offsets(world, 'restore', 'before-the-second', '--yes', '--json')
  assert.deepEqual([live.code, live.json().done], [1, false])
  assert.deepEqual(await world.ledger(), late)
  assert.equal((await first.stop()).code, 0)

  const told = await offsets(world, 'restore', 'before-the-second', '--json')
  assert.deepEqual([told.code, told.json().done], [0, false])
  assert.deepEqual(await world.ledger(), late, 'a dry run changes nothing')
  const done = await offsets(world, 'restore', 'before-the-second', '--yes', '--json')
  assert.deepEqual([done.code, done.json().done], [0, true], done.err)
  assert.deepEqual(await world.ledger(), early)

  const { rows: audit } = await world.sql.query('SELECT actor, action, target, detail FROM audit ORDER BY id')
  const moved = audit.filter(({ action }) => action === 'offsets restore')
  assert.deepEqual(
    audit.slice(0, 2).map(({ action, target, detail }) => [action, target, detail.name]),
    [
      ['offsets save', `cloud-events ${topic}`, 'before-the-second'],
      ['offsets save', `cloud-events ${topic}`, 'by-time'],
    ],
  )
  assert.equal(moved.length, early.size)
  for (const { actor, target, detail } of moved) {
    const partition = Number(target.split('/')[1])
    assert.match(actor, /@/)
    assert.equal(detail.position, 'before-the-second')
    assert.deepEqual([detail.before.nextOffset, detail.after.nextOffset], [late.get(partition), early.get(partition)])
  }

  // Read again, and not doubled.
  const rows = await world.rows()
  await world.replica()
  await world.untilDrained()
  assert.equal(await world.rows(), rows)
  const verified = await millrace(world.env, 'verify', '--to-end', '--json')
  assert.equal(verified.code, 0, verified.out)
  assert.equal(JSON.parse(verified.out).duplicated, 0)
})

test('positions: listed, one name once, unknown ones, forgotten', async (t) => {
  const world = await servers.world(t)
  assert.equal((await offsets(world, 'save', 'a')).code, 0)
  const twice = await offsets(world, 'save', 'a')
  assert.deepEqual([twice.code, /USAGE: There is a position 'a' already/.test(twice.err)], [2, true], twice.err)
  const bad = await offsets(world, 'save', 'a b')
  assert.deepEqual([bad.code, /cannot be named/.test(bad.err)], [2, true])
  assert.equal((await offsets(world, 'save', 'monday', '--partition', '3,4')).code, 0)
  const listed = (await offsets(world, 'positions', '--json')).json()
  assert.deepEqual(
    listed.map(({ name, source, positions }: never) => [name, source, Object.keys(positions).length]),
    [
      ['monday', 'ledger', 2],
      ['a', 'ledger', 12],
    ],
  )
  assert.match((await offsets(world, 'positions')).out, /monday.*ledger/)
  const missing = await offsets(world, 'restore', 'mondy')
  assert.deepEqual([missing.code, /POSITION_MISSING.*Did you mean 'monday'/.test(missing.err)], [1, true], missing.err)
  const part = await offsets(world, 'restore', 'monday', '--yes')
  assert.equal(part.code, 0, part.err)
  assert.match(part.err, /says nothing of partition 0, 1, 2, 5/)
  await world.sql.query("UPDATE saved_positions SET topic_id = 'of-another' WHERE name = 'a'")
  assert.match((await offsets(world, 'restore', 'a')).err, /TOPIC_RECREATED: 'a' is of another topic/)
  assert.equal((await offsets(world, 'forget', 'a')).code, 0)
  assert.match((await offsets(world, 'forget', 'a')).err, /POSITION_MISSING/)
  const { rows } = await world.sql.query("SELECT detail FROM audit WHERE action = 'offsets forget'")
  assert.equal(Object.keys(rows[0].detail.positions).length, 12, 'what was forgotten is in the audit')
  const wrong = await offsets(world, 'at', 'yesterday')
  assert.deepEqual([wrong.code, /USAGE: the time reads 'yesterday'/.test(wrong.err)], [2, true])
})
