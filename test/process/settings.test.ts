import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { loadSettings } from '../../src/process/load-settings.ts'
import { settingsCommand } from '../../src/process/settings-command.ts'

const directory = mkdtempSync(join(tmpdir(), 'millrace-settings-'))
after(() => rmSync(directory, { recursive: true }))
const servers = {
  MILLRACE_KAFKA: 'k:9092',
  MILLRACE_POSTGRES: 'postgres://u:s3cret@p/db',
  MILLRACE_REDIS: 'redis://:s3cret@r',
}
const load = (env: Record<string, string> = {}) => loadSettings({ env: { ...servers, ...env }, directory })

test('millrace.json is taken when it is there, another file when it is named', () => {
  assert.equal(load().file, null)
  writeFileSync(join(directory, 'millrace.json'), '{ "lanes": 3, "redisPasswordFile": "pw" }')
  writeFileSync(join(directory, 'pw'), 's3cret2\n')
  const { settings, file } = load()
  assert.deepEqual([settings.lanes, settings.redisPassword, file], [3, 's3cret2', join(directory, 'millrace.json')])
  writeFileSync(join(directory, 'other.json'), '{ "lanes": 5 }')
  assert.equal(load({ MILLRACE_SETTINGS: 'other.json' }).settings.lanes, 5)
  assert.throws(() => load({ MILLRACE_SETTINGS: 'gone.json' }), {
    code: 'SETTINGS_INVALID',
    message: /gone\.json.*ENOENT/,
  })
  assert.throws(() => load({ MILLRACE_SETTINGS: '.' }), { code: 'SETTINGS_INVALID', message: /EISDIR/ })
})

test('the command shows value, origin and variable, and no secret', () => {
  const out: string[] = []
  const options = { ...load({ MILLRACE_SETTLE_MS: '250' }), write: (text: string) => void out.push(text) }
  settingsCommand({ ...options, json: false })
  const lines = out.join('')
  assert.match(lines, /^settleMs +250 +env +MILLRACE_SETTLE_MS$/m)
  assert.match(lines, /^lanes +3 +file +MILLRACE_LANES$/m)
  assert.match(lines, /^redisPassword +\(set, hidden\) +file +MILLRACE_REDIS_PASSWORD$/m)
  assert.match(lines, /^kafkaUser +- +default/m)
  out.length = 0
  settingsCommand({ ...options, json: true })
  const { settings } = JSON.parse(out.join(''))
  assert.deepEqual(settings.settleMs, { value: 250, origin: 'env', env: 'MILLRACE_SETTLE_MS' })
  assert.doesNotMatch(lines + out.join(''), /s3cret/)
})
