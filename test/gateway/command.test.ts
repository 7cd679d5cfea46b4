/** `millrace serve` before there is a server: help, and settings that are missing or weak. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { millrace } from '../e2e/millrace.ts'

// Nobody listens on port 1.
const env = { MILLRACE_KAFKA: '127.0.0.1:1', MILLRACE_POSTGRES: 'postgres://a@127.0.0.1:1/b', MILLRACE_REDIS: 'off' }

test('its help says where the document is, what the token is for, and the exit codes', async () => {
  const { code, out } = await millrace({}, 'serve', '--help')
  assert.equal(code, 0)
  assert.match(out, /MILLRACE_GATEWAY_TOKEN_FILE[\s\S]*\/api\/v1\/event-replay\/openapi\.json[\s\S]*Exit codes: 0/)
})

test('no token, a weak one, one of a file; and it is never printed', async () => {
  const without = await millrace(env, 'serve')
  assert.equal(without.code, 2)
  assert.match(without.err, /SETTINGS_INVALID: The server has no token\. Set MILLRACE_GATEWAY_TOKEN/)
  const weak = await millrace({ ...env, MILLRACE_GATEWAY_TOKEN: 'guessed-it' }, 'serve')
  assert.equal(weak.code, 2)
  assert.match(weak.err, /gatewayToken must have 16 characters/)
  assert.doesNotMatch(weak.err, /guessed-it/)
  const folder = mkdtempSync(join(tmpdir(), 'millrace-token-'))
  try {
    const file = join(folder, 'token')
    writeFileSync(file, 'nobody-guesses-this-one\n')
    const told = await millrace({ ...env, MILLRACE_GATEWAY_TOKEN_FILE: file }, 'serve')
    assert.equal(told.code, 1)
    assert.match(told.err, /POSTGRES_UNREACHABLE/)
    const { out } = await millrace({ ...env, MILLRACE_GATEWAY_TOKEN_FILE: file }, 'settings')
    assert.match(out, /gatewayToken.*hidden/)
    assert.doesNotMatch(told.err + told.out + out, /nobody-guesses/)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
