import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'

const url = new URL('../../src/replay/terminal.ts', import.meta.url).href

test('where nobody reads any more, the write fails and nothing else does', async () => {
  const program = `
    import { slowOutput } from '${url}'
    const out = slowOutput(process.stdout)
    try {
      for (let i = 0; ; i++) await out.write(Buffer.from('line\\n'.repeat(1000)))
    } catch (error) {
      await new Promise((resolve) => setTimeout(resolve, 50))
      process.stderr.write('told: ' + error.code)
    }`
  const words = ['-c', '"$0" --input-type=module -e "$1" | head -2', process.execPath, program]
  const { stdout, stderr } = await promisify(execFile)('sh', words, { timeout: 20_000 })
  assert.equal(stdout, 'line\nline\n')
  assert.match(stderr, /told: EPIPE$/)
})
