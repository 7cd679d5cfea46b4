import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { identify, isAlive, tryWithLock, withLock } from '../../src/stack/lock.mjs'

const folder = mkdtempSync(join(tmpdir(), 'millrace-test-'))
after(() => rmSync(folder, { recursive: true }))

test('one at a time, each gets its turn, and a throw gives the lock back', async () => {
  const path = join(folder, 'turns')
  let inside = 0
  let turns = 0
  const work = async () => {
    inside += 1
    assert.equal(inside, 1)
    await setImmediate()
    inside -= 1
    turns += 1
    if (turns === 2) throw new Error('on purpose')
  }
  const results = await Promise.allSettled(Array.from({ length: 5 }, () => withLock(path, work)))
  assert.equal(turns, 5)
  assert.equal(results.filter((result) => result.status === 'rejected').length, 1)
  assert.equal(existsSync(path), false)
})

test('a dead holder, also one whose pid has been given to somebody else, blocks nobody', async () => {
  const path = join(folder, 'stale')
  for (const holder of [
    { pid: 2 ** 22 - 1, start: '1' },
    { pid: process.pid, start: 'another life' },
  ]) {
    writeFileSync(path, JSON.stringify(holder))
    assert.deepEqual(await tryWithLock(path, async () => 'done'), { value: 'done' })
  }
})

test('a live holder is waited for, and named', async () => {
  const path = join(folder, 'live')
  const release = Promise.withResolvers<void>()
  const first = withLock(path, () => release.promise)
  assert.equal(await tryWithLock(path, async () => 'never'), undefined)
  const waited = Promise.withResolvers<number | undefined>()
  const second = withLock(path, async () => 'second', { onWait: waited.resolve })
  assert.equal(await waited.promise, process.pid)
  release.resolve()
  await first
  assert.equal(await second, 'second')

  const stop = new AbortController()
  stop.abort(new Error('enough'))
  await withLock(path, () =>
    assert.rejects(
      withLock(path, async () => 'never', { signal: stop.signal }),
      /enough/,
    ),
  )
})

test('a process is itself, and only while it lives', () => {
  const self = identify(process.pid)
  assert.ok(isAlive(self))
  assert.equal(isAlive({ pid: process.pid, start: '0' }), false)
  assert.equal(isAlive(undefined), false)
  assert.equal(identify(2 ** 22 - 1), undefined)
})
