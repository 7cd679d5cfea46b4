/** `npm start -- --observe`, small: Prometheus finds the replicas by their names while the run goes on, and leaves with it. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { stackFolder } from '../../src/stack/state.ts'
import { startCommand } from '../../src/start/start.ts'
import { root } from '../stack/root.ts'
import { leftovers, makeIo } from './io.ts'

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
  const { io, err } = makeIo(stackName)
  const flags = { for: '15s', rate: '300', partitions: '10', seed: '7', json: true, observe: true }
  let isRunning = true
  const run = startCommand(flags, io).finally(() => {
    isRunning = false
  })
  const names = await seen(
    () => err.join(''),
    () => isRunning,
  )
  assert.equal(await run, 0, err.join(''))
  assert.deepEqual(names, ['cloud-events replica-1', 'cloud-events replica-2'])
  assert.equal(existsSync(stackFolder(root, stackName)), false)
  assert.deepEqual(leftovers(stackName), [])
})
