/** The whole of `millrace load`, small: local servers, a fleet, readers beside it, a few seconds of load, the proof, the report, and nothing left. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { loadCommand } from '../../src/load/command.ts'
import { stackFolder } from '../../src/stack/state.ts'
import { root } from '../stack/root.ts'
import { makeIo } from '../start/io.ts'
import { assertWellFormed } from './well-formed.ts'

test('a short run is judged, proved and reported, and leaves nothing behind', { timeout: 240_000 }, async () => {
  const stackName = `test-load-${randomUUID().slice(0, 8)}`
  const folder = mkdtempSync(join(tmpdir(), 'millrace-load-'))
  const report = join(folder, 'report.html')
  const { io, out, err } = makeIo(stackName)
  const code = await loadCommand(
    {
      profile: 'smoke',
      rate: '300',
      for: '5s',
      warm: '2s',
      p99: '1h',
      partitions: '10',
      replicas: '2',
      processes: '2',
      readers: true,
      seed: '7',
      json: true,
      report,
    },
    {
      ...io,
      directory: folder,
      stack: { ...io.stack, lasting: false },
      version: 'test',
      cpu: 'test',
      nodeVersion: process.version,
    },
  )
  try {
    const told = err.join('')
    assert.equal(out.length, 1, told)
    const result = JSON.parse(out[0] as string)
    assert.deepEqual([code, result.passed], [0, true], told)
    const [suite] = result.suites
    assert.equal(suite.sent, 1500)
    assert.equal(suite.scheduled, 1500)
    assert.equal(suite.samples, undefined)
    assert.ok(suite.published.p99 > 0 && suite.published.count >= 1490, JSON.stringify(suite.published))
    assert.ok(suite.acknowledged.count === 1500)
    const { proof } = result
    assert.deepEqual([proof.holds, proof.lost, proof.duplicated, proof.outOfOrder], [true, 0, 0, 0])
    assert.equal(proof.produced, 1500 + 600 + 200)
    const [group] = suite.readers.streams.groups
    assert.ok(group.read > 20, JSON.stringify(group))
    const processes = Object.keys(suite.memoryPeak)
    for (const name of ['replica-1', 'replica-2', 'kafka', 'postgres', 'redis', 'sender-1', 'sender-2', 'this view']) {
      assert.ok(processes.includes(name), `${name} in ${processes}`)
    }
    const page = readFileSync(report, 'utf8')
    assertWellFormed(page)
    assert.match(page, /Passed/)
    const figures = JSON.parse(readFileSync(join(folder, 'report.json'), 'utf8'))
    assert.ok(figures.suites[0].samples.length >= 4)
    assert.match(told, /PASSED: every goal is kept, nothing is lost/)
    assert.equal(existsSync(stackFolder(root, stackName)), false)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
