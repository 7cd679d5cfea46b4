import assert from 'node:assert/strict'
import { existsSync, linkSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { ReplayEvent } from '../../src/replay/entry.ts'
import { openFileTarget } from '../../src/replay/file-target.ts'
import type { Saved } from '../../src/replay/target.ts'

const folder = mkdtempSync(join(tmpdir(), 'millrace-replay-'))
after(() => rmSync(folder, { recursive: true }))

const event = (n: number, json = `{"n":${n}}`): ReplayEvent => ({
  micros: n,
  partition: 0,
  offset: n,
  entry: Buffer.from(json),
})
const behind: Omit<Saved, 'target'> = { position: { after: null, kafka: null }, last: null, events: 0, bytes: 0 }
const never = new AbortController().signal
const wrong = (pattern: RegExp) => (error: Error & { code?: string }) =>
  error.code === 'REPLAY_TARGET' && pattern.test(error.message)

test('a line for each event, whatever white space its JSON has; the name comes at the end', async () => {
  const path = join(folder, 'lines.jsonl')
  const target = await openFileTarget({ path, format: 'jsonl', isNew: true, state: null })
  await target.write([event(1), event(2, '{\n  "n": 2,\r\n  "s": "a\\nb"\n}')], behind, never)
  await target.write([event(3)], behind, never)
  assert(!existsSync(path))
  assert.deepEqual(await target.settle(), { length: readFileSync(`${path}.part`).length })
  await target.finish()
  await target.close()
  const lines = readFileSync(path, 'utf8').split('\n')
  assert.deepEqual(
    lines.slice(0, -1).map((line) => JSON.parse(line)),
    [{ n: 1 }, { n: 2, s: 'a\nb' }, { n: 3 }],
  )
  assert(!existsSync(`${path}.part`))
})

for (const format of ['jsonl', 'batch'] as const) {
  const read = (path: string) => {
    const text = readFileSync(path, 'utf8')
    return format === 'batch'
      ? JSON.parse(text)
      : text
          .split('\n')
          .slice(0, -1)
          .map((line) => JSON.parse(line))
  }

  test(`${format}: gone on with, it is cut back to what was noted`, async () => {
    const path = join(folder, `resumed.${format}`)
    let target = await openFileTarget({ path, format, isNew: true, state: null })
    const nothing = await target.settle()
    await target.close()
    target = await openFileTarget({ path, format, isNew: false, state: nothing })
    await target.write([event(1), event(2)], behind, never)
    const noted = await target.settle()
    await target.write([event(3)], behind, never)
    await target.close()
    target = await openFileTarget({ path, format, isNew: false, state: noted })
    await target.write([event(4)], behind, never)
    await target.finish()
    await target.close()
    assert.deepEqual(read(path), [{ n: 1 }, { n: 2 }, { n: 4 }])
  })

  test(`${format}: of no event at all`, async () => {
    const path = join(folder, `empty.${format}`)
    const target = await openFileTarget({ path, format, isNew: true, state: null })
    await target.finish()
    await target.close()
    assert.deepEqual(read(path), [])
  })
}

test('batch: what has no event yet has no bytes either, so that a disk that is full when it begins leaves nothing half done', async () => {
  const path = join(folder, 'begun.batch')
  const target = await openFileTarget({ path, format: 'batch', isNew: true, state: null })
  assert.deepEqual(await target.settle(), { length: 0 })
  await target.discard()
  await target.close()
})

test('killed between its name and the note that it is done, it is done', async () => {
  const path = join(folder, 'named.jsonl')
  const target = await openFileTarget({ path, format: 'jsonl', isNew: true, state: null })
  await target.write([event(1)], behind, never)
  const noted = await target.settle()
  await target.close()
  linkSync(`${path}.part`, path)
  const again = await openFileTarget({ path, format: 'jsonl', isNew: false, state: noted })
  await again.finish()
  assert(!existsSync(`${path}.part`))
  assert.equal(readFileSync(path, 'utf8'), '{"n":1}\n')
  await (await openFileTarget({ path, format: 'jsonl', isNew: false, state: noted })).finish()
})

test('what is there already stays as it is', async () => {
  const path = join(folder, 'there.jsonl')
  writeFileSync(path, 'mine')
  await assert.rejects(openFileTarget({ path, format: 'jsonl', isNew: true, state: null }), wrong(/is there already/))
  const later = join(folder, 'later.jsonl')
  const target = await openFileTarget({ path: later, format: 'jsonl', isNew: true, state: null })
  await assert.rejects(
    openFileTarget({ path: later, format: 'jsonl', isNew: true, state: null }),
    wrong(/is there already/),
  )
  await target.write([event(1)], behind, never)
  writeFileSync(later, 'mine')
  await assert.rejects(target.finish(), wrong(/is there already/))
  await target.close()
  assert.deepEqual([readFileSync(path, 'utf8'), readFileSync(later, 'utf8')], ['mine', 'mine'])
})

test('a file that has lost what was written is not gone on with; one that is given up goes', async () => {
  const path = join(folder, 'short.jsonl')
  const target = await openFileTarget({ path, format: 'jsonl', isNew: true, state: null })
  await target.write([event(1)], behind, never)
  const noted = await target.settle()
  truncateSync(`${path}.part`, 3)
  await assert.rejects(openFileTarget({ path, format: 'jsonl', isNew: false, state: noted }), wrong(/shorter/))
  await target.discard()
  assert(!existsSync(`${path}.part`))
  // Somebody was faster.
  await target.discard()
  await target.close()
  await assert.rejects(
    openFileTarget({ path, format: 'jsonl', isNew: false, state: noted }),
    wrong(/cannot be written/),
  )
})

test('a folder that is not there is told', async () => {
  const path = join(folder, 'none', 'x.jsonl')
  await assert.rejects(openFileTarget({ path, format: 'jsonl', isNew: true, state: null }), wrong(/cannot be written/))
})
