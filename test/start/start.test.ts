/** The whole of `npm start`, small: local servers, two replicas, five seconds of load, the proof, and nothing left behind. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { stackFolder } from '../../src/stack/state.ts'
import { type StartIo, startCommand } from '../../src/start/start.ts'

const root = join(import.meta.dirname, '../..')

function makeIo(stackName: string) {
  const out: string[] = []
  const err: string[] = []
  const stop = new AbortController()
  const kill = new AbortController()
  const output = (into: string[]) => ({
    write: (text: string) => void into.push(text),
    columns: 80,
    rows: 24,
    isTerminal: false,
  })
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('MILLRACE_')))
  const io: StartIo = {
    root,
    env,
    directory: join(root, '.local'),
    cores: 2,
    execPath: process.execPath,
    mainPath: join(root, 'src/main.ts'),
    stdout: output(out),
    stderr: output(err),
    now: Date.now,
    signal: stop.signal,
    kill: kill.signal,
    stackName,
    stack: { quick: true, temporary: true },
  }
  return { io, out, err, stop, kill }
}

/** Command lines of processes that mention this stack, or replicas started from this process. */
function leftovers(stackName: string): string[] {
  if (!existsSync('/proc')) return []
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      try {
        const environment = readFileSync(`/proc/${pid}/environ`, 'latin1')
        const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ')
        const isOurs = command.includes(`/stacks/${stackName}`) || environment.includes(`TEST_STACK=${stackName}`)
        return isOurs ? [`${pid} ${command}`] : []
      } catch {
        return []
      }
    })
}

test('a short run holds, says so in one JSON line, and leaves nothing behind', { timeout: 180_000 }, async () => {
  const stackName = `test-start-${randomUUID().slice(0, 8)}`
  const { io, out, err } = makeIo(stackName)
  const flags = { for: '5s', rate: '500', partitions: '10', duplicates: '0.02', poison: '0.02', seed: '7', json: true }
  const code = await startCommand(flags, { ...io, env: { ...io.env, TEST_STACK: stackName } })
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
