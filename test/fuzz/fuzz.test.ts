/** The fuzzer itself: its command line, and a few seconds of it with every run of the tests, under a seed of the day's own. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'

const main = join(import.meta.dirname, 'main.ts')

function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr })
    })
  })
}

test('help names every option; a wrong command line is told and is 2', async () => {
  const help = await run('--help')
  assert.equal(help.code, 0)
  for (const option of ['--for', '--seed', '--json', '--help']) assert.ok(help.stdout.includes(option))
  for (const wrong of [['--for', '60'], ['--seed', 'x'], ['--sed', '1'], ['1']]) {
    const { code, stderr } = await run(...wrong)
    assert.equal(code, 2, wrong.join(' '))
    assert.match(stderr, /^millrace: USAGE: /)
  }
})

test('a few seconds of it hold', async (t) => {
  const { code, stdout, stderr } = await run('--for', '5s', '--json')
  t.diagnostic(stdout)
  assert.equal(code, 0, `${stdout}${stderr}`)
  const result = JSON.parse(stdout)
  assert.ok(result.holds && result.stored > 200 && result.rejected > 200)
  assert.ok(Object.keys(result.codes).length > 15)
})
