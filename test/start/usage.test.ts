import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { readTreeUsage, readUsage } from '../../src/start/usage.ts'

const onLinux = process.platform === 'linux' ? {} : { skip: 'the kernel of Linux counts' }

test(
  'a process with its children: what they share is counted once, and what an ended one has used stays',
  onLinux,
  async () => {
    // A parent of two, of which one ends after it has worked for a fifth of a second of CPU.
    const work = 'while (process.cpuUsage().user < 200_000);'
    const script = `const { spawn } = require('node:child_process')
    spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e6)'])
    spawn(process.execPath, ['-e', '${work}']).on('exit', () => console.log('ready'))
    setInterval(() => {}, 1e6)`
    const parent = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'], detached: true })
    try {
      await once(parent.stdout, 'data')
      const pid = parent.pid as number
      const tree = readTreeUsage(pid)
      const alone = readUsage(pid)
      assert.ok(tree !== null && alone !== null)
      assert.ok(tree.cpuSeconds >= alone.cpuSeconds + 0.15, `${tree.cpuSeconds} of ${alone.cpuSeconds}`)
      assert.ok(tree.residentBytes > alone.residentBytes * 1.1, 'the child has memory of its own')
      assert.ok(tree.residentBytes < alone.residentBytes * 1.9, 'but the program is there once')
    } finally {
      process.kill(-(parent.pid as number), 'SIGKILL')
    }
    await once(parent, 'exit')
    assert.equal(readTreeUsage(parent.pid as number), null)
  },
)
