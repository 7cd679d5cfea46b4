/** The whole of `npm start`, small: local servers, two replicas, five seconds of load, the proof, and nothing left behind. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { stackFolder } from '../../src/stack/state.ts'
import { startCommand } from '../../src/start/start.ts'
import { root } from '../stack/root.ts'
import { leftovers, makeIo } from './io.ts'

test('a short run holds, says so in one JSON line, and leaves nothing behind', { timeout: 180_000 }, async () => {
  const stackName = `test-start-${randomUUID().slice(0, 8)}`
  const { io, out, err } = makeIo(stackName)
  const flags = { for: '5s', rate: '500', partitions: '10', duplicates: '0.02', poison: '0.02', seed: '7', json: true }
  const code = await startCommand(flags, io)
  assert.equal(code, 0, err.join(''))
  assert.equal(out.length, 1)
  const summary = JSON.parse(out[0] as string)
  const { produced, rows, rejects, duplicates, entries, lost, duplicated, holds } = summary
  assert.deepEqual({ lost, duplicated, holds }, { lost: 0, duplicated: 0, holds: true })
  assert.equal(summary.primed, 200)
  assert.equal(produced, 2500 + summary.primed)
  assert.equal(produced, rows + rejects + duplicates)
  assert.equal(entries, rows)
  assert.ok(rejects > 10 && duplicates > 10, JSON.stringify(summary))
  for (const name of ['p50Ms', 'p95Ms', 'p99Ms', 'publishedP50Ms', 'publishedP99Ms', 'ratePerSecond']) {
    assert.ok(summary[name] > 0, `${name} is ${summary[name]}`)
  }
  assert.equal(summary.warmupSeconds, 1)
  assert.ok(
    err.some((text) => /running {2}in [\d,]+\/s {2}stored/.test(text)),
    err.join(''),
  )
  assert.match(err.join(''), /HOLDS: 0 lost, 0 duplicated, in order/)
  assert.deepEqual(leftovers(stackName), [])
  assert.equal(existsSync(stackFolder(root, stackName)), false)
})
