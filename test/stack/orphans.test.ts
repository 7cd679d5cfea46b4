import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { identify } from '../../src/stack/lock.mjs'
import { readState, stackFolder } from '../../src/stack/state.ts'
import { sweepStacks } from '../../src/stack/sweep.ts'
import { eventually, root, uniqueName } from './root.ts'

type Owned = { owner: ChildProcess; pids: number[]; folder: string }

async function startOwner(name: string, servers: string): Promise<Owned> {
  const owner = spawn(process.execPath, [join(import.meta.dirname, 'owner.ts'), root, name, servers], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const { pids, folder } = JSON.parse(await firstLine(owner)) as { pids: Record<string, number>; folder: string }
  return { owner, pids: Object.values(pids), folder }
}

async function firstLine(child: ChildProcess): Promise<string> {
  for await (const line of createInterface({ input: child.stdout! })) return line
  throw new Error('the owner ended without a word')
}

/** The owner's watchdog: its only child shell. */
function watchdogOf(owner: ChildProcess): number {
  return Number(execFileSync('pgrep', ['-P', String(owner.pid), 'sh'], { encoding: 'utf8' }).trim())
}

function running(pids: number[]): number[] {
  return pids.filter((pid) => identify(pid))
}

test('kill -9 of the owner ends all its servers within seconds, and the next start clears what is left', async () => {
  const { owner, pids, folder } = await startOwner(uniqueName('killed'), 'kafka,postgres,redis')
  assert.equal(running(pids).length, 3)
  owner.kill('SIGKILL')
  await eventually('all servers are gone', () => running(pids).length === 0, 5000)
  // Other tests start stacks meanwhile, and one of those may be clearing it away already.
  await sweepStacks(root)
  await eventually('a temporary stack leaves no data', () => !existsSync(folder), 5000)
})

test('when the watchdog was killed too, the next start ends the servers', async () => {
  const name = uniqueName('unwatched')
  const { owner, pids, folder } = await startOwner(name, 'postgres,redis')
  const watchdog = watchdogOf(owner)
  process.kill(watchdog, 'SIGSTOP')
  owner.kill('SIGKILL')
  await eventually('the owner is gone', () => !identify(owner.pid!))
  process.kill(watchdog, 'SIGKILL')
  assert.equal(running(pids).length, 2)
  assert.ok(readState(stackFolder(root, name))?.owner)
  await sweepStacks(root)
  await eventually('all servers are gone', () => running(pids).length === 0)
  await eventually('its data is gone', () => !existsSync(folder), 5000)
})

test('an owner that ends without stopping its stack, by an error or process.exit, leaves nothing either', async () => {
  const { owner, pids } = await startOwner(uniqueName('quit'), 'redis')
  owner.kill('SIGTERM')
  await eventually('all servers are gone', () => running(pids).length === 0, 5000)
  await sweepStacks(root)
})
