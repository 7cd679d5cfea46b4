/** No engine runs where these tests run, so a stand-in for the `docker` command records what it is told: this holds what is said, not what Docker does. */
import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { overrides, projectOf } from '../../src/stack/compose.ts'
import { startStack, stopStack } from '../../src/stack/stack.ts'
import { readState, stackFolder } from '../../src/stack/state.ts'
import { root, uniqueName } from './root.ts'

const folder = mkdtempSync(join(tmpdir(), 'millrace-test-'))
const path = process.env.PATH
before(() => {
  const script = `#!/bin/sh
case "$*" in
  'compose version'|info*) exit 0 ;;
  *' ps --services '*) [ -e "${folder}/up" ] && printf 'kafka\\npostgres\\nredis\\n'; exit 0 ;;
  *' up '*) [ -e "${folder}/broken" ] && { echo 'no such image'; exit 1; }; : > "${folder}/up" ;;
  *' down'*) rm -f "${folder}/up" ;;
esac
echo "$MILLRACE_REDIS_PORT $*" >> "${folder}/said"`
  writeFileSync(join(folder, 'docker'), script)
  chmodSync(join(folder, 'docker'), 0o755)
  process.env.PATH = `${folder}:${path}`
})
after(() => {
  process.env.PATH = path
  rmSync(folder, { recursive: true })
})

function said(): string[] {
  const file = join(folder, 'said')
  const lines = existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : []
  rmSync(file, { force: true })
  // Ports, and what follows the files of the project.
  return lines.map((line) => line.replace(/compose -p (\S+) -f \S+ -f \S+/, '$1').trim())
}

test('a stack of containers: up and waited for, one server at a time, down', async () => {
  const name = uniqueName('docker')
  const project = projectOf(root, name)
  const stack = await startStack({ root, name, docker: true, temporary: true })
  const redisPort = new URL(stack.redis).port
  assert.deepEqual(said(), [`${redisPort} ${project} up -d --wait --quiet-pull kafka postgres redis`])
  await stack.restart('postgres', { signal: 'SIGKILL' })
  await stack.stop()
  assert.deepEqual(said(), [
    `${project} kill --signal SIGKILL postgres`,
    `${project} wait postgres`,
    `${redisPort} ${project} up -d --wait --quiet-pull postgres`,
    `${project} down --volumes`,
  ])
  assert.equal(existsSync(stack.folder), false)
})

test('left running by up, used by others, ended by down; native servers take over only after that', async () => {
  const name = uniqueName('docker-up')
  try {
    await startStack({ root, name, docker: true, detached: true })
    const other = await startStack({ root, name, docker: true })
    assert.equal(other.adopted, true)
    await other.stop()
    assert.equal(
      said().some((line) => line.includes('down')),
      false,
    )
    assert.equal(readState(stackFolder(root, name))?.mode, 'docker')
    await using native = await startStack({ root, name, servers: ['redis'] })
    assert.deepEqual(said(), [`${projectOf(root, name)} down`])
    assert.ok(native.pids.redis)
  } finally {
    await stopStack({ root, name, remove: true })
  }
})

test('a start that Docker refuses is taken back', async () => {
  writeFileSync(join(folder, 'broken'), '')
  const name = uniqueName('docker-broken')
  await assert.rejects(
    startStack({ root, name, docker: true, temporary: true }),
    /Docker Compose failed .* no such image/,
  )
  assert.match(said().at(-1) ?? '', /down --volumes$/)
  assert.equal(existsSync(stackFolder(root, name)), false)
})

test("a caller's settings reach the containers under the names that the images read", () => {
  const made = overrides(
    { kafka: 1, postgres: 2, redis: 3 },
    { kafka: { 'group.min.session.timeout.ms': '500' }, postgres: { work_mem: '8MB' } },
  )
  const { services } = made as {
    services: Record<string, { environment?: Record<string, string>; command?: string[] }>
  }
  assert.equal(services.kafka?.environment?.KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS, '500')
  assert.equal(services.kafka?.environment?.KAFKA_ADVERTISED_LISTENERS, 'HOST://127.0.0.1:1,INTERNAL://kafka:19092')
  assert.ok(services.postgres?.command?.includes('work_mem=8MB'))
  assert.ok(services.redis?.command?.join(' ').includes('--maxmemory-policy noeviction'))
})
