#!/usr/bin/env node
/**
 * npm test: bootstrap, types, lint, the local stack's downloads, then node's test runner, each stopping the rest when it fails.
 * Arguments go to the runner: files, or options such as --test-name-pattern=fenced. Without a file: all of test/.
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { canRunHere, prepare, root, runOn } from './setup.mjs'

const node = await prepare({ everything: true })
const isChild = process.env.MILLRACE_TEST_CHILD === '1'
if (isChild || (canRunHere() && process.execPath === node)) await test()
else {
  process.env.MILLRACE_TEST_CHILD = '1'
  process.exitCode = await runOn(node, [import.meta.filename ?? join(root, 'bin/test.mjs'), ...process.argv.slice(2)])
}

async function test() {
  const given = process.argv.slice(2)
  const bin = (name) => join(root, 'node_modules', '.bin', name)
  step('types', bin('tsc'))
  step('lint', bin('biome'), 'check', '.')

  const { installObservers, installParts } = await import('../src/stack/parts.ts')
  const { progressLines } = await import('../src/stack/progress.ts')
  const { explain } = await import('../src/core/errors.ts')
  const onProgress = progressLines((text) => process.stderr.write(text), Date.now)
  try {
    await Promise.all([
      installParts(root, ['kafka', 'postgres', 'redis'], onProgress),
      installObservers(root, onProgress),
    ])
  } catch (error) {
    process.stderr.write(`millrace: ${explain(error)}\n`)
    process.exit(1)
  }

  const files = given.some((word) => !word.startsWith('-')) ? [] : ['test/**/*.test.ts']
  // The tests' servers share the cores with the tests. Where nobody looks on, one file at a time: a red one shall be about the code.
  const concurrency = process.env.CI ? 1 : 2
  const options = ['--test', '--test-reporter=spec', `--test-concurrency=${concurrency}`, '--test-timeout=300000']
  process.exitCode = await runOn(process.execPath, [...options, ...given, ...files])
}

function step(name, command, ...args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' })
  if (status === 0) return
  process.stderr.write(`millrace: ${name} failed${error ? `: ${error.message}` : ''}\n`)
  process.exit(status || 1)
}
