/** `npm start -- --observe`, small: Prometheus finds the replicas by their names while the run goes on, and leaves with it. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { stackFolder } from '../../src/stack/state.ts'
import { startCommand } from '../../src/start/start.ts'

const root = join(import.meta.dirname, '../..')

interface Answer {
  readonly data: { readonly result: readonly { readonly metric: Readonly<Record<string, string>> }[] }
}

/** The replicas that Prometheus has reached, once it is there; undefined when that never came. */
async function seen(told: () => string, running: () => boolean): Promise<string[] | undefined> {
  for (; running(); await sleep(200)) {
    const port = /Prometheus +answers on port (\d+)/.exec(told())?.[1]
    if (port === undefined) continue
    const url = `http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent('up{job="millrace"} == 1')}`
    const answer = await fetch(url)
      .then((response) => response.json() as Promise<Answer>)
      .catch(() => null)
    const names = answer?.data.result.map(({ metric }) => `${metric.consumer} ${metric.instance}`).sort() ?? []
    if (names.length === 2) return names
  }
  return undefined
}

test('a run that is observed holds like any other, and its observers see the fleet', { timeout: 240_000 }, async () => {
  const stackName = `test-observe-${randomUUID().slice(0, 8)}`
  const err: string[] = []
  const out: string[] = []
  const output = (into: string[]) => ({
    write: (text: string) => void into.push(text),
    columns: 80,
    rows: 24,
    isTerminal: false,
  })
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('MILLRACE_')))
  const flags = { for: '15s', rate: '300', partitions: '10', seed: '7', json: true, observe: true }
  let isRunning = true
  const run = startCommand(flags, {
    root,
    env,
    directory: join(root, '.local'),
    cores: 2,
    execPath: process.execPath,
    mainPath: join(root, 'src/main.ts'),
    stdout: output(out),
    stderr: output(err),
    now: Date.now,
    signal: new AbortController().signal,
    kill: new AbortController().signal,
    stackName,
    stack: { quick: true, temporary: true },
  }).finally(() => {
    isRunning = false
  })
  const names = await seen(
    () => err.join(''),
    () => isRunning,
  )
  assert.equal(await run, 0, err.join(''))
  assert.deepEqual(names, ['cloud-events replica-1', 'cloud-events replica-2'])
  assert.equal(existsSync(stackFolder(root, stackName)), false)
  if (!existsSync('/proc')) return
  const left = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ')
        return command.includes(`/stacks/${stackName}`) ? [command] : []
      } catch {
        return []
      }
    })
  assert.deepEqual(left, [])
})
